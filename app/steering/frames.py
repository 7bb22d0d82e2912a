"""What one control step looked like, and the last seconds of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from biped.env import BipedEnv

Floats = NDArray[np.float64]


class Pose(NamedTuple):
    """Where everything is that can be seen."""

    base_position: Floats
    """`[3]` m, world frame."""
    base_quaternion: Floats
    """`[4]` body to world, w x y z."""
    joint_position: Floats
    """`[J]` rad."""
    foot_position: Floats
    """`[2, 3]` m, world frame, centres of the right and the left sole."""

    def between(self, later: "Pose", fraction: float) -> "Pose":
        """The pose at a `fraction` of the way to a `later` one, for slow motion."""
        before, after = self.base_quaternion, later.base_quaternion
        # Both signs of a quaternion are the same rotation; the nearer one is the way.
        after = after if float(before @ after) >= 0.0 else -after
        parts = [start + fraction * (end - start) for start, end in zip(self, later, strict=True)]
        quaternion = before + fraction * (after - before)
        parts[1] = quaternion / np.linalg.norm(quaternion)
        return Pose(*parts)


class Frame(NamedTuple):
    """One control step."""

    pose: Pose
    joint_target: Floats
    """`[J]` rad, what the motors were told."""
    contact: tuple[bool, bool]
    """Whether the right and the left foot were on the ground."""
    command: tuple[float, float, float]
    """Forward and leftward velocity in m/s, yaw rate in rad/s."""
    velocity: tuple[float, float, float]
    """What they were."""
    rewards: Mapping[str, float]
    """Reward per second by term."""
    fell: bool
    """The step ended in a fall."""


def read_frame(
    env: BipedEnv, command: Sequence[float], joint_target: torch.Tensor, metrics: Mapping[str, torch.Tensor], fell: bool
) -> Frame:
    """The control step that the one robot of `env` has just made.

    Args:
        env: holds the robot.
        command: that it followed: forward and leftward velocity in m/s, yaw rate in rad/s.
        joint_target: `[1, J]` rad that the motors got.
        metrics: of the step.
        fell: the step ended in a fall.
    """
    state = env.state
    pose = Pose(
        *(
            part[0].double().cpu().numpy()
            for part in (state.base_position, state.base_quaternion, state.joint_position, state.foot_position)
        )
    )
    forward, left = state.base_linear_velocity[0, :2].tolist()
    vx, vy, yaw_rate = command
    right_contact, left_contact = (state.foot_contact_force[0] > env.config.gait.contact_threshold).tolist()
    names = [name for name in metrics if name.startswith("reward/")]
    values = torch.stack([metrics[name] for name in names]).tolist() if names else []
    return Frame(
        pose,
        joint_target[0].double().cpu().numpy(),
        (right_contact, left_contact),
        (vx, vy, yaw_rate),
        (forward, left, float(state.base_angular_velocity[0, 2])),
        {name.removeprefix("reward/"): value for name, value in zip(names, values, strict=True)},
        fell,
    )


class History:
    """The last frames as columns of numbers, `[T]` each, oldest first."""

    def __init__(self, joints: Sequence[str], rewards: Sequence[str], control_dt: float, seconds: float) -> None:
        """Have room for `seconds`; the names say how many columns the joints and the rewards are."""
        self.joints, self.rewards = tuple(joints), tuple(rewards)
        self._control_dt = control_dt
        width = 8 + 2 * len(self.joints) + len(self.rewards)
        self._rows = np.zeros((max(2, round(seconds / control_dt)), width))
        self._filled = 0

    def add(self, frame: Frame) -> None:
        """Note one more frame; the oldest is forgotten."""
        rewards = [frame.rewards.get(name, 0.0) for name in self.rewards]
        self._rows[:-1] = self._rows[1:]
        self._rows[-1] = np.concatenate(
            (frame.command, frame.velocity, frame.contact, frame.joint_target, frame.pose.joint_position, rewards)
        )
        self._filled = min(self._filled + 1, len(self._rows))

    @property
    def times(self) -> Floats:
        """`[T]` s before now, as negative numbers."""
        return self._control_dt * np.arange(1.0 - self._filled, 1.0)

    def commands(self) -> Floats:
        """`[T, 3]`."""
        return self._part(0, 3)

    def velocities(self) -> Floats:
        """`[T, 3]`."""
        return self._part(3, 3)

    def contacts(self) -> Floats:
        """`[T, 2]`, 1 where the right and the left foot were on the ground, else 0."""
        return self._part(6, 2)

    def joint_targets(self) -> Floats:
        """`[T, J]` rad."""
        return self._part(8, len(self.joints))

    def joint_positions(self) -> Floats:
        """`[T, J]` rad."""
        return self._part(8 + len(self.joints), len(self.joints))

    def reward_rates(self, seconds: float) -> Floats:
        """`[T, R]` reward per second, each the mean over the `seconds` before it: what is paid at once is a spike."""
        rates = self._part(8 + 2 * len(self.joints), len(self.rewards))
        count = max(1, round(seconds / self._control_dt))
        total = np.concatenate((np.zeros((1, rates.shape[1])), rates.cumsum(axis=0)))
        ends = np.arange(1, len(rates) + 1)
        begins = np.maximum(ends - count, 0)
        means: Floats = (total[ends] - total[begins]) / (ends - begins)[:, None]
        return means

    def _part(self, start: int, width: int) -> Floats:
        return self._rows[len(self._rows) - self._filled :, start : start + width]
