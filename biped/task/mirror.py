"""The robot's mirror image in the plane between left and right: one half of a stride stands for the other.

While the clock asks the left foot to carry, policy and robot see each other in the mirror. The policy then always steps
off the right foot, learns half a stride and walks with both sides alike (the PHASE method of F. Abdolhosseini et al.,
On Learning Symmetric Locomotion, 2019). Nothing about the network or its training changes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.task.observations import ObservationField

COLUMN_SIGNS: dict[str, tuple[float, ...]] = {
    "roll_pitch_yaw": (-1.0, 1.0, -1.0),
    "base_angular_velocity": (-1.0, 1.0, -1.0),
    "base_linear_velocity": (1.0, -1.0, 1.0),
    "base_position": (1.0, -1.0, 1.0),
    "command": (1.0, -1.0, -1.0),
    "clock": (-1.0, -1.0),
}
"""Signs of the mirrored quantities whose columns stay in place. Half a period later, sine and cosine have turned."""


def other_side(robot: Robot) -> tuple[int, ...]:
    """For each joint the one on the other side, itself in the middle. Opposite angles left and right are symmetric.

    Raises:
        ValueError: A joint of one side has no counterpart.
    """
    swap = {"right": "left", "left": "right"}
    sides = [name.partition("_") for name in robot.joint_names]
    return robot.joint_indices(f"{swap.get(side, side)}_{joint}" for side, _, joint in sides)


class Mirror:
    """Mirrors actions `[N, J]` and observations `[N, D]`; doing so twice changes nothing."""

    def __init__(self, robot: Robot, fields: Sequence[ObservationField], device: torch.device) -> None:
        """Prepare for the observations that `fields` describe."""
        joints = other_side(robot)
        columns: list[int] = []
        signs: list[float] = []
        for field in fields:
            start = len(columns)
            for column in field.columns:
                if field.source == "foot_contact":
                    mirrored, sign = 1 - column, 1.0
                elif field.source in COLUMN_SIGNS:
                    mirrored, sign = column, COLUMN_SIGNS[field.source][column]
                else:
                    mirrored, sign = joints[column], -1.0
                columns.append(start + field.columns.index(mirrored))
                signs.append(sign)
        self._joints = torch.tensor(joints, device=device)
        self._columns = torch.tensor(columns, device=device)
        self._signs = torch.tensor(signs, device=device)

    def action(self, action: Tensor, mask: Tensor) -> Tensor:
        """`action` `[N, J]`, mirrored for the robots in `mask` `[N]` bool."""
        return torch.where(mask.unsqueeze(-1), -action.index_select(1, self._joints), action)

    def observation(self, observation: Tensor, mask: Tensor) -> Tensor:
        """`observation` `[N, D]`, mirrored for the robots in `mask` `[N]` bool."""
        mirrored = observation.index_select(1, self._columns) * self._signs
        return torch.where(mask.unsqueeze(-1), mirrored, observation)
