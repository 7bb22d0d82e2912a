"""One training of a sweep: `train.py` in a process of its own, and the scores in its log as they come."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from app.report.learning import log_of
from ppo.program.interruption import end_together_with, helper_environment, requested

POINTS = re.compile(r"eval/(\w+/)?points")
"""Tags of the scores, one for each engine that policies are examined in."""
POLL_SECONDS = 1.0
"""s between two looks at whether a training has ended, or should."""
READING_SHARE = 0.05
"""Part of the time that reading its log may take at most."""


class Ended(NamedTuple):
    """How a training ended."""

    code: int
    """Exit code."""
    scores: list[float]
    """Of all examinations, the oldest first."""
    stopped: bool
    """It was asked to stop because of its scores."""


def follow(command: Sequence[str], folder: Path, hopeless: Callable[[list[float]], bool]) -> Ended:
    """Run a training to its end, to the first signal that this program gets, or until its scores are hopeless.

    To be called within `ppo.program.interruption.deferred`. What the training prints goes to a file beside its folder.

    Args:
        command: program and arguments.
        folder: of the run, which the training creates.
        hopeless: asked with all scores whenever there are new ones.
    """
    # A session of its own keeps Ctrl-C from the training, which would take ours for the second one.
    with folder.with_name(f"{folder.name}.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **helper_environment()},
            start_new_session=True,
        )
    end_together_with([process])
    scores: list[float] = []
    stopped = asked = False
    next_reading = 0.0
    while _runs(process):
        begin = time.monotonic()
        if begin >= next_reading:
            known, scores = len(scores), scores_of(folder)
            next_reading = begin + (time.monotonic() - begin) / READING_SHARE
            stopped = stopped or (len(scores) > known and not asked and hopeless(scores))
        if not asked and (stopped or requested() is not None):
            # Not SIGINT, which is ignored by what a shell started with `&`.
            process.send_signal(signal.SIGTERM)
            asked = True
    end_together_with(())
    return Ended(process.returncode, scores_of(folder), stopped)


def scores_of(folder: Path) -> list[float]:
    """The points of each examination in the log of a run, the oldest first; of several engines the fewest count."""
    scores: dict[int, float] = {}
    for tag, points in log_of(folder).items():
        if POINTS.fullmatch(tag):
            for step, value in points:
                scores[step] = min(value, scores.get(step, value))
    return [scores[step] for step in sorted(scores)]


def _runs(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the process is still there after a moment."""
    try:
        process.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False
