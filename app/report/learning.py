"""How a run learned: curves from the log in its folder."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from app.experiment import Experiment
from app.report.drawing import FAINT, INK, RIGHT, Drawing, panels, say, to_svg
from ppo.report.logging import read_log

Points = Sequence[tuple[int, float]]
"""Control steps and value."""
MOST_POINTS = 250
"""Of a curve; where there are more, each is the mean of some."""


class Curve(NamedTuple):
    """One panel."""

    title: str
    unit: str
    tags: tuple[str, ...]
    """What is logged; the first is drawn as a curve with its spread, others as a line each."""
    names: tuple[str, ...] = ()
    logarithmic: bool = False
    counts: bool = False
    """Whole numbers, from 0 on."""
    convert: Callable[[float], float] = lambda value: value


class Thinned(NamedTuple):
    """A curve of few points: control steps, mean, least and largest value of each group."""

    steps: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


def curves(experiment: Experiment) -> tuple[Curve, ...]:
    """What is shown of a run."""
    control_dt = experiment.simulation.control_dt
    return (
        Curve("reward", "per episode", ("rollout/ep_rew_mean",)),
        Curve("episode length", "s", ("rollout/ep_len_mean",), convert=lambda steps: steps * control_dt),
        Curve("falls", "% of the episodes", ("episode/time_out",), convert=lambda share: 100.0 * (1.0 - share)),
        Curve("velocity error", "m/s", ("tracking/velocity_error",)),
        Curve(
            "examination",
            "passed",
            ("eval/trials_passed", "eval/commands_passed"),
            names=("trials", "commands"),
            counts=True,
        ),
        Curve("KL divergence of an update", "", ("train/approx_kl",)),
        Curve("learning rate", "", ("train/learning_rate",), logarithmic=True),
        Curve("exploration", "standard deviation", ("train/std",)),
        Curve("speed", "control steps/s", ("perf/steps_per_second",)),
    )


def log_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of the run in a folder; empty where there is none, or one that cannot be read."""
    try:
        return read_log(folder)
    except OSError:
        return {}


def thinned(points: Points, most: int = MOST_POINTS) -> Thinned:
    """At most `most` points, each of neighbours together, NaN and infinities left out."""
    known = [(float(step), value) for step, value in points if math.isfinite(value)]
    result = Thinned([], [], [], [])
    if not known:
        return result
    for group in np.array_split(np.array(known), min(most, len(known))):
        result.steps.append(float(group[:, 0].mean()))
        result.mean.append(float(group[:, 1].mean()))
        result.low.append(float(group[:, 1].min()))
        result.high.append(float(group[:, 1].max()))
    return result


def steps_unit(last: float) -> tuple[float, str]:
    """In how many control steps an axis that ends at `last` counts, and the word for it."""
    return (1e6, "million ") if last >= 2e6 else (1e3, "thousand ") if last >= 2e3 else (1.0, "")


def learning_curves(log: dict[str, list[tuple[int, float]]], experiment: Experiment, trained_for: int) -> Drawing:
    """A panel per curve, and where the checkpoint stands if the run went on."""
    title = "Learning curves"
    shown = curves(experiment)
    figure, axes = panels(len(shown), 3, 1.45)
    last = max((step for points in log.values() for step, _ in points), default=1)
    unit, name = steps_unit(last)
    for number, (panel, curve) in enumerate(zip(axes, shown, strict=True)):
        known = [tag for tag in curve.tags if log.get(tag)]
        for order, tag in enumerate(known):
            points = [(step, curve.convert(value)) for step, value in log[tag]]
            if curve.logarithmic:
                points = [(step, value) for step, value in points if value > 0.0]
            few = thinned(points)
            steps = [step / unit for step in few.steps]
            if len(points) > MOST_POINTS:
                panel.fill_between(steps, few.low, few.high, color="#e5e5e5", linewidth=0)
            marker = "os"[order % 2] if len(steps) <= 12 else None
            look = RIGHT if order == 0 else {"color": INK, "linestyle": (0, (4, 1.5)), "linewidth": 1.2}
            panel.plot(steps, few.mean, **look, marker=marker, markersize=3, label=(*curve.names, curve.title)[order])
        if not known:
            say(panel, "not logged")
        elif curve.logarithmic:
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.yaxis.set_minor_formatter(NullFormatter())
        elif curve.counts:
            panel.set_ylim(bottom=0.0)
            panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        elif min(panel.get_ylim()) < 0.0 <= min(value for tag in known for _, value in log[tag]):
            panel.set_ylim(bottom=0.0)
        if len(known) > 1:
            panel.legend(loc="best")
        if trained_for < last:
            panel.axvline(trained_for / unit, color=FAINT, linestyle=":", linewidth=1.2)
        panel.set_title(curve.title)
        panel.set_ylabel(curve.unit)
        panel.set_xlim(0.0, 1.02 * last / unit)
        if number >= len(axes) - 3:
            panel.set_xlabel(f"{name}control steps")
    caption = "From the log of the run, over the control steps of all robots together."
    if any(len(points) > MOST_POINTS for points in log.values()):
        caption += " Each point is the mean of some iterations; grey shows their range."
    if trained_for < last:
        caption += " The dotted line is where this checkpoint was saved."
    return Drawing(title, caption, to_svg(figure, title))
