"""What robots are asked to do in an examination."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from biped.robots.robot import Robot

Command = tuple[float, float, float]
"""Forward and leftward velocity in m/s, yaw rate in rad/s."""

STRAIGHT: Command = (0.5, 0.0, 0.0)
"""The command under which the course is watched."""


@dataclass(frozen=True)
class Trial:
    """Commands that follow one another at once, each for an equal part of the run."""

    commands: tuple[Command, ...]
    course: bool = False
    """The robots are asked to stay on their course as well."""
    seconds: float | None = None
    """s that it takes where time is not short; as long as the others if not given."""

    @property
    def straight(self) -> bool:
        """No turn is asked for."""
        return not any(yaw_rate for _, _, yaw_rate in self.commands)

    @property
    def on_the_spot(self) -> bool:
        """No command asks to go anywhere."""
        return not any(forward or left for forward, left, _ in self.commands)

    @property
    def speed(self) -> float:
        """m/s, the largest planar speed asked for."""
        return max(math.hypot(forward, left) for forward, left, _ in self.commands)


def constant(*commands: Command) -> tuple[Trial, ...]:
    """One trial for each command, which is held for the whole run."""
    return tuple(Trial((command,)) for command in commands)


WALKING = constant(
    (0.0, 0.0, 0.0),
    (0.3, 0.0, 0.0),
    STRAIGHT,
    (0.8, 0.0, 0.0),
    (-0.3, 0.0, 0.0),
    (0.0, 0.2, 0.0),
    (0.0, -0.2, 0.0),
    (0.3, 0.2, 0.0),
)
"""The eight commands that every policy has been examined in from the first day on."""
SUDDEN_CHANGES = Trial((STRAIGHT, (-0.3, 0.0, 0.0), STRAIGHT, (0.0, 0.0, 0.0)))
"""Ahead, back, ahead and stop."""
ENDURANCE = Trial((STRAIGHT,), seconds=60.0)
COURSE = replace(ENDURANCE, course=True)
TURNING = constant((0.0, 0.0, 0.5), (0.0, 0.0, -0.5), (0.3, 0.0, 0.5), (0.3, 0.0, -0.5), (0.5, 0.0, 0.3))
"""On the spot, while walking, and along a curve."""


def trials_of(robot: Robot) -> tuple[Trial, ...]:
    """What this robot is examined in. One that cannot turn is not asked to stay on its course."""
    more = (COURSE, *TURNING) if robot.turns else (ENDURANCE,)
    return (*WALKING, *constant((0.1, 0.0, 0.0)), SUDDEN_CHANGES, *more)


def describe(command: Command) -> str:
    """A command in words, such as `x +0.30, y +0.20`."""
    parts = [f"{axis} {value:+.2f}" for axis, value in zip(("x", "y", "yaw"), command, strict=True) if value]
    return ", ".join(parts) or "stand"


def title(trial: Trial) -> str:
    """A trial in words, such as `x +0.30, y +0.20` or `x +0.50, 60 s, on course`."""
    if len(trial.commands) > 1:
        return "sudden changes"
    endurance = "" if trial.seconds is None else f", {trial.seconds:g} s"
    return describe(trial.commands[0]) + endurance + (", on course" if trial.course else "")


class Schedule:
    """Which of the trials' commands each of `N` robots follows when; all trials have equally many robots.

    Args:
        trials: of the robots, in their order.
        num_envs: `N`.
        steps: control steps of the run.
        device: of the tensors.

    Raises:
        ValueError: the robots cannot be shared equally by the trials.
    """

    def __init__(self, trials: Sequence[Trial], num_envs: int, steps: int, device: torch.device) -> None:
        if num_envs % len(trials):
            raise ValueError(f"{num_envs} robots cannot be shared equally by {len(trials)} trials")
        self.trials = tuple(trials)
        self.robots = num_envs // len(trials)
        """Of each trial."""
        self.legs = max(len(trial.commands) for trial in trials)
        """`L`, commands of the trial that has the most."""
        self.steps = steps
        self._device = device
        self._indices: tuple[int, ...] = ()
        self.command = torch.zeros(num_envs, 3, device=device)
        """`[N, 3]` followed now."""
        self.leg = torch.zeros(num_envs, dtype=torch.int64, device=device)
        """`[N]` which command of its trial that is."""
        self.begin = torch.zeros(num_envs, dtype=torch.int64, device=device)
        """`[N]` control step in which it began."""

    def advance(self, step: int) -> bool:
        """Look up what control step `step`, counted from 0, asks for; returns whether a command has changed."""
        indices = tuple(step * len(trial.commands) // self.steps for trial in self.trials)
        if indices == self._indices:
            return False
        self._indices = indices
        begins = [-(-index * self.steps // len(t.commands)) for index, t in zip(indices, self.trials, strict=True)]
        self.command = self._each([trial.commands[index] for index, trial in zip(indices, self.trials, strict=True)])
        self.leg, self.begin = self._each(indices), self._each(begins)
        return True

    def _each(self, values: Sequence[object]) -> Tensor:
        return torch.tensor(values, device=self._device).repeat_interleave(self.robots, dim=0)
