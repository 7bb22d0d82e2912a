"""What the folder of a run tells of its training."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from app.examiner import examined_trials
from app.experiment import Experiment, from_plain
from app.run_configuration import read_configuration
from biped.robots.robot_file import load_robot
from ppo.report.logging import read_log

PASSED = ("eval/trials_passed", "eval/commands_passed")
"""Tags of how many trials of an examination were passed; older runs have the second one only."""
SPEED = "perf/steps_per_second"
"""Tag that every iteration logs."""


class RunLog(NamedTuple):
    """One training."""

    folder: Path
    experiment: Experiment
    scalars: dict[str, list[tuple[int, float]]]
    """Control steps and value, by tag."""
    seconds: dict[int, float]
    """s of collecting and learning so far, by control steps: the start, examinations and saving are left out."""

    @property
    def steps(self) -> int:
        """Control steps so far."""
        return max(self.seconds)

    @property
    def duration(self) -> float:
        """S of collecting and learning so far."""
        return self.seconds[self.steps]

    @property
    def passed(self) -> float | None:
        """How many trials the last examination saw passed; None without one."""
        return next((self.scalars[tag][-1][1] for tag in PASSED if tag in self.scalars), None)


def read_run(folder: Path) -> RunLog:
    """Read configuration and log of a run.

    Raises:
        ValueError: the folder holds no run, or none that has logged anything.
    """
    plain = read_configuration(folder, "experiment")
    try:
        scalars = read_log(folder)
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror or error}") from None
    speeds = scalars.get(SPEED)
    if not speeds:
        raise ValueError(f"{folder} holds a run that has logged nothing yet, or whose log is damaged")
    try:
        experiment = from_plain(plain)
        seconds = training_seconds(speeds, experiment.robots * experiment.ppo.n_steps)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    return RunLog(folder, experiment, scalars, seconds)


def training_seconds(speeds: Sequence[tuple[int, float]], first: int) -> dict[int, float]:
    """Seconds of collecting and learning so far, by control steps.

    Args:
        speeds: control steps and steps per second since those before, of each iteration.
        first: control steps of the first iteration, which need not begin at 0.
    """
    steps = [step for step, _ in speeds]
    taken = [first, *(after - before for before, after in pairwise(steps))]
    return dict(zip(steps, accumulate(n / speed for n, (_, speed) in zip(taken, speeds, strict=True)), strict=True))


def trials_of_examinations(experiment: Experiment) -> int | None:
    """How many trials an examination of the training has; None where the file of its robot is gone."""
    try:
        return len(examined_trials(load_robot(experiment.robot)))
    except ValueError:
        return None
