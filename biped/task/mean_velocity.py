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

    No robot follows a new command at once, and one that was too slow at first should not make up for it by being too
    fast: the average is zero until the robot has had time to settle.
    """

    persistent: ClassVar[tuple[str, ...]] = ("_error", "_command", "_settling")

    def __init__(
        self, time_constant: float, settling_time: float, num_envs: int, control_dt: float, device: torch.device
    ) -> None:
        """Start without an error.

        Args:
            time_constant: s with which the average forgets; about one period of the gait.
            settling_time: s that robots have for reaching a new planar velocity.
            num_envs: `N`.
            control_dt: s between two steps.
            device: of the tensors.
        """
        self._rate = control_dt / (control_dt + time_constant)
        self._settling_steps = torch.tensor(round(settling_time / control_dt), device=device)
        self._error = torch.zeros(num_envs, 3, device=device)
        settles = settling_time > 0.0
        self._command = torch.full((num_envs, 2), torch.nan, device=device) if settles else None
        self._settling = torch.zeros(num_envs, dtype=torch.int64, device=device) if settles else None

    def step(self, state: State, command: Tensor) -> Tensor:
        """Take in a control step under `command` `[N, 3]` and return the averages, `[N, 3]`: m/s, m/s and rad/s."""
        self._error = torch.lerp(self._error, velocity_error(state, command), self._rate)
        if self._command is not None and self._settling is not None:
            planar = command[:, :2]
            # Unlike any command, NaN is what a robot was told before its episode.
            changed = (planar != self._command).any(dim=1)
            self._command = planar.clone()
            self._settling = torch.where(changed, self._settling_steps, self._settling - 1)
            self._error = self._error.masked_fill((self._settling > 0).unsqueeze(1), 0.0)
        return self._error

    def reset(self, mask: Tensor) -> None:
        """Begin anew, without an error, for the robots in `mask` `[N]` bool."""
        self._error.masked_fill_(mask.unsqueeze(-1), 0.0)
        if self._command is not None:
            self._command.masked_fill_(mask.unsqueeze(-1), torch.nan)
