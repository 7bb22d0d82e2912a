"""Velocity commands and when they change."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from biped.simulators.state import State
from biped.task.buffers import Buffers
from ppo.value_ranges import Range, check_order, check_ranges

SPEED = Range(-1000.0, 1000.0)
"""m/s or rad/s, either way."""


@dataclass(frozen=True)
class CommandConfig:
    """Ranges are drawn from uniformly, each robot for itself."""

    linear_velocity_x: Annotated[tuple[float, float], SPEED] = (-0.5, 1.0)
    """m/s forwards, body frame."""
    linear_velocity_y: Annotated[tuple[float, float], SPEED] = (-0.3, 0.3)
    """m/s to the left, body frame."""
    yaw_rate: Annotated[tuple[float, float], SPEED] = (0.0, 0.0)
    """rad/s, counter-clockwise."""
    resampling_time_s: Annotated[float, Range(0.0, 1e9, open=True)] = 4.0
    """s until a robot gets a new command; a new episode brings one too."""
    standing_probability: Annotated[float, Range(0.0, 1.0)] = 0.0
    """Probability that a new command is to stand still."""
    course_gain: Annotated[float, Range(0.0, 100.0)] = 0.0
    """rad/s per rad; how fast a robot is told to turn back to its course, which is where the commanded yaw rate alone
    would have taken it. 0 lets robots drift."""
    course_rate: Annotated[float, Range(1e-3, 100.0)] = 0.3
    """rad/s, largest yaw rate added for that."""

    def __post_init__(self) -> None:
        check_ranges(self)
        check_order(self, "linear_velocity_x", "linear_velocity_y", "yaw_rate")


def tracking_metrics(state: State, command: Tensor) -> dict[str, Tensor]:
    """How well the planar velocity follows the command `[N, 3]`: means over the robots in m/s, `[]`."""
    velocity = state.base_linear_velocity[:, :2]
    lengths = torch.linalg.vector_norm(torch.stack((velocity - command[:, :2], velocity)), dim=-1)
    error, speed = lengths.masked_fill_(state.failed, 0.0).mean(dim=1).unbind()
    return {"tracking/velocity_error": error, "tracking/speed": speed}


class Commands(Buffers):
    """The commands that `N` robots follow now."""

    persistent: ClassVar[tuple[str, ...]] = ("value", "_held")

    def __init__(self, config: CommandConfig, num_envs: int, control_dt: float, generator: torch.Generator) -> None:
        """Start with zero commands; the first `step` of an episode draws one."""
        device = generator.device
        ranges = torch.tensor([config.linear_velocity_x, config.linear_velocity_y, config.yaw_rate], device=device)
        self._low = ranges[:, 0].contiguous()
        self._span = ranges[:, 1] - ranges[:, 0]
        self._interval = max(1, round(config.resampling_time_s / control_dt))
        self._standing_probability = config.standing_probability
        self._generator = generator
        self.value = torch.zeros(num_envs, 3, device=device)
        """`[N, 3]`: forward and leftward velocity in m/s and yaw rate in rad/s, body frame."""
        self._held = torch.zeros((), dtype=torch.bool, device=device)

    def step(self, episode_steps: Tensor) -> None:
        """Draw new commands where they are due, given the control steps since each episode began, `[N]` int64."""
        due = (episode_steps % self._interval == 0).masked_fill_(self._held, False)
        sample = torch.rand((self.value.shape[0], 4), generator=self._generator, device=self.value.device)
        command = torch.addcmul(self._low, sample[:, :3], self._span)
        if self._standing_probability > 0.0:
            command.masked_fill_(sample[:, 3:] < self._standing_probability, 0.0)
        self.value = torch.where(due.unsqueeze(-1), command, self.value)

    def hold(self, command: Tensor) -> None:
        """Follow `command`, `[3]` for all robots or `[N, 3]`, until `release`.

        Raises:
            ValueError: `command` has another shape.
        """
        if command.shape not in ((3,), self.value.shape):
            raise ValueError(f"a command has shape [3] or {list(self.value.shape)}, got {list(command.shape)}")
        self.value = command.to(self.value).expand_as(self.value).clone()
        self._held.fill_(True)

    def release(self) -> None:
        """Draw commands again; a held one stays until the next is due."""
        self._held.fill_(False)
