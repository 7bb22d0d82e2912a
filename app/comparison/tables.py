"""Groups of runs in numbers: what they reached, when, and in what they differ."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from app.comparison.figures import curve
from app.comparison.groups import Group, differences
from app.comparison.run_log import PASSED, RunLog
from app.comparison.statistics import difference_interval, first_reached, mean_interval, spread
from app.report.markup import escape, signed, table
from app.report.origin import NAMES, fact, shown
from app.run_configuration import training_run

LAST_PART = 0.1
"""Share of a run's control steps, its last ones, whose return is averaged."""
RANDOM_SEED = 1
"""Of the bootstrap, so that the same runs make the same page."""
NOT_REACHED = "not reached"


class Measure(NamedTuple):
    """One number of a run."""

    name: str
    tags: Sequence[str]
    form: str
    factor: float = 1.0
    averaged: bool = False
    """The mean over the last part of the run instead of the last value."""

    def of(self, run: RunLog) -> float:
        """Its value in a run; NaN where it was not logged."""
        points = curve(run, self.tags, over_seconds=False)
        if self.averaged:
            points = [(step, value) for step, value in points if step >= (1.0 - LAST_PART) * run.steps]
            return self.factor * sum(value for _, value in points) / len(points) if points else math.nan
        return self.factor * points[-1][1] if points else math.nan


MEASURES = (
    Measure("trials passed, last examination", PASSED, ".1f"),
    Measure("points, last examination", ("eval/points",), ".2f"),
    Measure("robots that stay up, last examination, %", ("eval/survival",), ".1f", factor=100.0),
    Measure("error of the forward velocity, last examination, m/s", ("eval/forward_velocity_error",), ".3f"),
    Measure("return per episode, mean of the last tenth", ("rollout/ep_rew_mean",), ".2f", averaged=True),
)


def results_table(groups: Sequence[Group]) -> str:
    """Mean over seeds and interval of each measure in each group, and the difference from the first group."""
    head = ["mean over seeds"]
    for group in groups:
        head.append(escape(f"{group.label}, {seeds_words(group)}"))
        head += [] if group is groups[0] else [f"{group.letter} &minus; {groups[0].letter}"]
    rows = []
    for measure in MEASURES:
        generator = np.random.default_rng(RANDOM_SEED)
        values = [[measure.of(run) for run in group.runs] for group in groups]
        known = [[value for value in each if not math.isnan(value)] for each in values]
        cells = [escape(measure.name)]
        for each in known:
            cells.append(_mean(each, measure.form, mean_interval(each, generator)))
            if each is not known[0]:
                cells.append(_difference(known[0], each, measure.form, generator))
        if any(known):
            rows.append(cells)
    caption = (
        "in brackets: 95 % intervals of the mean, by percentile bootstrap over the seeds, none with one seed; with few "
        "seeds they are too narrow"
    )
    return table(head, rows, caption)


def seeds_words(group: Group) -> str:
    """How many seeds a group has."""
    return f"{len(group.runs)} seed{'' if len(group.runs) == 1 else 's'}"


def _mean(values: Sequence[float], form: str, interval: tuple[float, float] | None) -> str:
    if not values:
        return "&ndash;"
    return escape(signed(sum(values) / len(values), form) + _brackets(interval, form))


def _difference(first: Sequence[float], other: Sequence[float], form: str, generator: np.random.Generator) -> str:
    if not (first and other):
        return "&ndash;"
    difference = sum(other) / len(other) - sum(first) / len(first)
    return escape(signed(difference, f"+{form}") + _brackets(difference_interval(first, other, generator), f"+{form}"))


def _brackets(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else f" [{signed(interval[0], form)} to {signed(interval[1], form)}]"


def milestones_table(groups: Sequence[Group], trials: int | None) -> str:
    """When each number of trials was passed for the first time: median and range over the seeds of each group.

    Args:
        groups: of runs.
        trials: of an examination; None where that is not known.
    """
    curves = [
        [
            (curve(run, PASSED, over_seconds=False), curve(run, PASSED, over_seconds=True))
            for run in group.runs
            if curve(run, PASSED, over_seconds=False)
        ]
        for group in groups
    ]
    most = max((value for known in curves for over_steps, _ in known for _, value in over_steps), default=0.0)
    head = ["trials passed, at least"]
    for group in groups:
        head += [escape(f"{group.label}, control steps"), "seconds", "seeds"]
    rows = []
    for number in range(1, round(most) + 1):
        cells = [str(number)]
        for known in curves:
            steps = [first_reached(over_steps, number) for over_steps, _ in known]
            seconds = [first_reached(over_seconds, number) for _, over_seconds in known]
            reached = f"{sum(map(math.isfinite, steps))} of {len(steps)}"
            cells += [median_and_range(steps), median_and_range(seconds), reached]
        rows.append(cells)
    if trials is not None and trials > most:
        beyond = f"{most + 1:.0f}" + (f" to {trials}" if trials > most + 1 else "")
        rows.append([beyond, *(cell for known in curves for cell in (NOT_REACHED, NOT_REACHED, f"0 of {len(known)}"))])
    return table(head, rows, "first examination that saw so many passed: median over seeds, and range")


def median_and_range(values: Sequence[float]) -> str:
    """Markup of a number over seeds that some of them may never have reached."""
    if not any(map(math.isfinite, values)):
        return NOT_REACHED
    median, low, high = (NOT_REACHED if math.isinf(value) else f"{value:,.0f}" for value in spread(values))
    return median if len(values) == 1 else f"{median} ({low}&ndash;{high})"


def configuration_table(groups: Sequence[Group]) -> str:
    """Only the flags that differ."""
    rows = [
        [f"<code>{escape(flag)}</code>", *map(shown, values)]
        for flag, values in differences(group.runs[0].experiment for group in groups).items()
    ]
    return table(["flag", *(escape(group.label) for group in groups)], rows, "flags that differ", "words")


def runs_table(groups: Sequence[Group]) -> str:
    """Every run by itself."""
    rows = [
        [
            escape(group.label),
            str(run.experiment.seed),
            "&ndash;" if run.passed is None else f"{run.passed:.0f}",
            f"{run.steps:,}" + ("" if run.steps >= run.experiment.total_timesteps else " (not complete)"),
            f"{run.duration:,.0f}",
            f"<code>{escape(run.folder)}</code>",
        ]
        for group in groups
        for run in group.runs
    ]
    head = ["group", "seed", "trials passed, last examination", "control steps", "seconds", "folder"]
    return table(head, rows, "every run")


def machines_table(groups: Sequence[Group]) -> str:
    """With what the runs of each group were trained."""
    told = [[run for one in group.runs if (run := training_run(one.folder)) is not None] for group in groups]
    names = {key: name for key, name in NAMES.items() if key != "command"}
    rows = [[escape(name), *(_values(run.get(key) for run in runs) for runs in told)] for key, name in names.items()]
    packages = dict.fromkeys(package for runs in told for run in runs for package in run["packages"])
    rows += [
        [escape(package), *(_values(run["packages"].get(package) for run in runs) for runs in told)]
        for package in packages
    ]
    head = ["", *(escape(group.label) for group in groups)]
    return table(head, rows, "versions and machine; several where runs of a group differ", "words")


def _values(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(fact, values))) or "&ndash;"
