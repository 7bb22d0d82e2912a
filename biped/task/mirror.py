"""The robot's mirror image in the plane between left and right: one half of a stride stands for the other.

While the clock asks the left foot to carry, policy and robot see each other in the mirror. The policy then always steps
off the right foot, learns half a stride and walks with both sides alike (the PHASE method of F. Abdolhosseini et al.,
On Learning Symmetric Locomotion, 2019). Nothing about the network or its training changes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from biped.robots.robot import Robot


@dataclass(frozen=True)
class Image:
    """How a vector looks in the mirror: value `i` of the image is `signs[i]` times value `columns[i]` of the vector.

    Raises:
        ValueError: the image of the image is not the vector.
    """

    columns: tuple[int, ...]
    signs: tuple[float, ...]

    def __post_init__(self) -> None:
        columns, signs = self.columns, self.signs
        width = len(columns)
        if (
            len(signs) != width
            or sorted(columns) != list(range(width))
            or any(columns[columns[i]] != i or signs[i] * signs[columns[i]] != 1.0 for i in range(width))
        ):
            raise ValueError(f"mirroring twice must change nothing: columns {columns}, signs {signs}")


MirrorRule = Image | Callable[[Robot], Image]
"""The mirror image of a quantity, or what gives it for a robot."""


def in_place(*signs: float) -> Image:
    """The image of a quantity whose values stay in place and keep or change their signs."""
    return Image(tuple(range(len(signs))), signs)


VECTOR = in_place(1.0, -1.0, 1.0)
"""Of a position, a velocity or a force."""
ROTATION = in_place(-1.0, 1.0, -1.0)
"""Of an angular velocity, a torque or roll, pitch and yaw, which a mirror turns the other way."""
OTHER_FOOT = Image((1, 0), (1.0, 1.0))
"""Of one value for the right foot and one for the left."""


def other_joints(robot: Robot) -> Image:
    """The image of one value for each joint, and of an action."""
    return Image(robot.mirror_joints, robot.mirror_signs)


def other_motors(robot: Robot) -> Image:
    """The image of one property of each joint that has no direction."""
    return Image(robot.mirror_joints, (1.0,) * robot.num_joints)


class Mirror:
    """Mirrors actions `[N, J]` and observations `[N, D]`; doing so twice changes nothing."""

    def __init__(self, robot: Robot, observation: Image, device: torch.device) -> None:
        """Prepare for observations that look in the mirror as `observation` says."""
        self._joints = torch.tensor(robot.mirror_joints, device=device)
        self._joint_signs = torch.tensor(robot.mirror_signs, device=device)
        self._columns = torch.tensor(observation.columns, device=device)
        self._signs = torch.tensor(observation.signs, device=device)

    def action(self, action: Tensor, mask: Tensor) -> Tensor:
        """`action` `[N, J]`, mirrored for the robots in `mask` `[N]` bool."""
        mirrored = action.index_select(1, self._joints) * self._joint_signs
        return torch.where(mask.unsqueeze(-1), mirrored, action)

    def observation(self, observation: Tensor, mask: Tensor) -> Tensor:
        """`observation` `[N, D]`, mirrored for the robots in `mask` `[N]` bool."""
        mirrored = observation.index_select(1, self._columns) * self._signs
        return torch.where(mask.unsqueeze(-1), mirrored, observation)
