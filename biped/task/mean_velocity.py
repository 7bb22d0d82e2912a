"""By how much robots miss their commanded velocity on average, however it swings within a stride."""

from typing import ClassVar

import torch
from torch import Tensor

from biped.simulators.state import State
from biped.task.buffers import Buffers


def velocity_error(state: State, command: Tensor) -> Tensor:
    """By how much planar velocity and yaw rate exceed the `command`: both `[N, 3]`, m/s, m/s and rad/s."""
    return torch.cat((state.base_linear_velocity[:, :2], state.base_angular_velocity[:, 2:]), dim=1) - command


class MeanVelocityError(Buffers):
    """Exponential moving average of what `N` robots are faster than told.

    The velocity of a walking robot swings within a stride by several times the error that counts, so that a reward for
    the velocity of an instant hardly tells a robot that is a little slow from one that is not.
    """

    persistent: ClassVar[tuple[str, ...]] = ("_error",)

    def __init__(self, time_constant: float, num_envs: int, control_dt: float, device: torch.device) -> None:
        """Start without an error; the average forgets with `time_constant` s, about one period of the gait."""
        self._rate = control_dt / (control_dt + time_constant)
        self._error = torch.zeros(num_envs, 3, device=device)

    def step(self, state: State, command: Tensor) -> Tensor:
        """Take in a control step under `command` `[N, 3]` and return the averages, `[N, 3]`: m/s, m/s and rad/s."""
        error = velocity_error(state, command)
        self._error = torch.lerp(self._error, error, self._rate)
        return self._error

    def reset(self, mask: Tensor) -> None:
        """Begin anew, without an error, for the robots in `mask` `[N]` bool."""
        self._error.masked_fill_(mask.unsqueeze(-1), 0.0)
