"""Staying on course: a correction of the commanded yaw rate, as somebody who steers makes it."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from biped.task.buffers import Buffers
from biped.task.commands import CommandConfig


class Course(Buffers):
    """Where `N` robots are to face, and the yaw rate that turns them there.

    The course of a robot is where its commanded yaw rate alone would have taken it, or a heading that is given.
    """

    persistent: ClassVar[tuple[str, ...]] = ("heading", "correction", "_target")

    def __init__(self, config: CommandConfig, num_envs: int, control_dt: float, device: torch.device) -> None:
        """Start with all robots on course; `course_gain` is above 0."""
        self._gain = config.course_gain
        self._largest_error = min(math.pi, config.course_rate / config.course_gain)
        self._control_dt = control_dt
        self.heading = torch.zeros(num_envs, device=device)
        """`[N]` rad, the course."""
        self.correction = torch.zeros(num_envs, device=device)
        """`[N]` rad/s, what is added to the commanded yaw rate."""
        self._target = torch.full((num_envs,), torch.nan, device=device)

    def reset(self, mask: Tensor, yaw: Tensor) -> None:
        """Begin anew for the robots in `mask` `[N]` bool, which face `yaw` `[N]` rad: they are on course."""
        self.heading = torch.where(mask, yaw, self.heading)
        self.correction.masked_fill_(mask, 0.0)

    def step(self, command: Tensor, standing: Tensor, yaw: Tensor, began: Tensor) -> None:
        """Move the course on by one control step.

        Args:
            command: `[N, 3]` m/s, m/s, rad/s.
            standing: `[N]` bool, where it asks to stand: a robot that stands is on course, wherever it faces.
            yaw: `[N]` rad.
            began: `[N]` bool, whose episode has just begun: they are where `reset` put them.
        """
        given = ~self._target.isnan()
        heading = torch.where(given, self._target, self.heading + self._control_dt * command[:, 2])
        heading = torch.where(standing, yaw, heading)
        error = torch.remainder(heading - yaw + math.pi, 2.0 * math.pi) - math.pi
        # A robot that cannot turn as told does not have to make up for all of it later.
        error = error.clamp(-self._largest_error, self._largest_error)
        heading = torch.where(given, heading, yaw + error)
        self.heading = torch.where(began, self.heading, heading)
        self.correction = torch.where(began, self.correction, self._gain * error)

    def hold(self, heading: Tensor | None) -> None:
        """Face `heading`, `[]` or `[N]` rad in the world, from now on; None: keep the course that the command gives."""
        target = torch.full_like(self._target, torch.nan) if heading is None else heading.to(self._target)
        self._target = target.expand_as(self._target).clone()

    def __call__(self, command: Tensor) -> Tensor:
        """`command` `[N, 3]` with the yaw rate that keeps the robots on course."""
        return torch.cat((command[:, :2], command[:, 2:] + self.correction.unsqueeze(1)), dim=1)
