"""The last push that a robot was given: no sensor shows it, and a critic that knows of it can tell luck from skill."""

from typing import ClassVar

import torch
from torch import Tensor

from biped.simulators.state import State, rotate_inverse
from biped.task.buffers import Buffers


class LastPush(Buffers):
    """What the last push of the episode did to each of `N` robots, and how long ago."""

    persistent: ClassVar[tuple[str, ...]] = ("reading",)

    def __init__(self, num_envs: int, control_dt: float, device: torch.device) -> None:
        """Start with robots that have not been pushed; a control step takes `control_dt` s."""
        self._control_dt = control_dt
        self.reading = torch.zeros(num_envs, 3, device=device)
        """`[N, 3]`: change of the velocity, forward and leftward in m/s as the body stood then, 0 without a push; s
        since then, or since the episode began."""

    def step(self) -> None:
        """Let a control step pass."""
        self.reading[:, 2] += self._control_dt

    def remember(self, state: State, at_rest: Tensor, linear_velocity: Tensor) -> None:
        """Take in a push of all robots.

        Args:
            state: the state before the push; a robot at rest counts as turned as it is there.
            at_rest: `[N]` bool, robots that have been put at rest since `state` was read.
            linear_velocity: `[N, 3]` m/s after the push, world frame.
        """
        before = state.base_linear_velocity.masked_fill(at_rest.unsqueeze(-1), 0.0)
        self.reading = rotate_inverse(state.base_quaternion, linear_velocity) - before
        self.reading[:, 2] = 0.0

    def reset(self, mask: Tensor) -> None:
        """Forget the pushes of the robots in `mask` `[N]` bool."""
        self.reading.masked_fill_(mask.unsqueeze(-1), 0.0)
