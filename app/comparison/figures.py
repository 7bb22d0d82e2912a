"""Learning curves of groups of runs."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from app.comparison.groups import Group
from app.comparison.run_log import PASSED, RunLog
from app.comparison.statistics import band
from app.report.drawing import INK, LEFT, RIGHT, Drawing, legend_above, panels, say, to_svg
from app.report.learning import steps_unit

LOOKS: tuple[dict[str, Any], ...] = (
    {**RIGHT, "marker": "o"},
    {**LEFT, "marker": "s"},
    {"color": INK, "linestyle": (0, (1, 1.2)), "linewidth": 1.5, "marker": "^"},
    {"color": "#15803d", "linestyle": (0, (5, 1.2, 1, 1.2)), "linewidth": 1.2, "marker": "D"},
    {"color": "#7e22ce", "linestyle": (0, (8, 2)), "linewidth": 1.2, "marker": "v"},
    {"color": "#0e7490", "linestyle": (0, (4, 1.2, 1, 1.2, 1, 1.2)), "linewidth": 1.2, "marker": "P"},
)
"""Of the groups, told apart without their colours, too."""
FEW_POINTS = 40
"""A curve of so many points is drawn with a mark at each."""


class Row(NamedTuple):
    """What one row of panels shows."""

    title: str
    unit: str
    tags: Sequence[str]
    """The first that is logged is shown."""
    examined: bool = False
    """Counts what was passed, from 0 on."""


ROWS = (
    Row("return", "per episode", ("rollout/ep_rew_mean",)),
    Row("examination", "trials passed", PASSED, examined=True),
    Row("examination", "points", ("eval/points",), examined=True),
)


def curve(run: RunLog, tags: Sequence[str], *, over_seconds: bool) -> list[tuple[float, float]]:
    """What a run logged under the first of the tags that it knows, over control steps or seconds of training."""
    points = next((run.scalars[tag] for tag in tags if tag in run.scalars), [])
    known = [(step, value) for step, value in points if math.isfinite(value) and step in run.seconds]
    return [(run.seconds[step] if over_seconds else float(step), value) for step, value in known]


def learning_curves(groups: Sequence[Group]) -> Drawing:
    """A row of panels per measure: over control steps on the left, over seconds on the right."""
    title = "Learning curves"
    figure, axes = panels(2 * len(ROWS), 2, 1.9)
    runs = [run for group in groups for run in group.runs]
    unit, unit_name = steps_unit(max(run.steps for run in runs))
    longest = max(run.duration for run in runs)
    for number, row in enumerate(ROWS):
        left, right = axes[2 * number : 2 * number + 2]
        _draw(left, groups, row.tags, unit)
        _draw(right, groups, row.tags)
        for panel in (left, right):
            panel.set_title(row.title)
            if row.examined:
                panel.set_ylim(0.0, 1.05 * panel.get_ylim()[1])
                panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_ylabel(row.unit)
        left.set_xlim(0.0, 1.02 * max(run.steps for run in runs) / unit)
        right.set_xlim(0.0, 1.02 * longest)
    axes[-2].set_xlabel(f"{unit_name}control steps")
    axes[-1].set_xlabel("seconds of training")
    legend_above(figure, axes[0])
    caption = "One run each. "
    if max(len(group.runs) for group in groups) > 1:
        caption = (
            "Lines are medians over the seeds of a group, and the shade reaches from the least to the largest, as far "
            "as all of them have come; thin lines are the seeds. "
        )
    caption += (
        "Seconds are those of collecting and learning: the start, examinations and saving are left out. Runs that "
        "trained side by side, or beside other programs, shared the machine."
    )
    return Drawing(title, caption, to_svg(figure, title))


def _draw(panel: Axes, groups: Sequence[Group], tags: Sequence[str], unit: float | None = None) -> None:
    """Draw what the groups logged over control steps, counted in `unit`; without one over seconds."""
    drawn = False
    for group, look in zip(groups, LOOKS, strict=False):
        every = [curve(run, tags, over_seconds=unit is None) for run in group.runs]
        curves = [[(x / (unit or 1.0), y) for x, y in each] for each in every if each]
        if not curves:
            continue
        drawn = True
        plain = {name: value for name, value in look.items() if name != "marker"}
        together = band(curves)
        if len(curves) > 1:
            panel.fill_between(together.x, together.low, together.high, color=look["color"], alpha=0.13, linewidth=0)
            for each in curves:
                panel.plot(*zip(*each, strict=True), **{**plain, "linewidth": 0.35})
        marker = look["marker"] if len(together.x) <= FEW_POINTS else None
        panel.plot(together.x, together.median, **plain, marker=marker, markersize=3.5, label=group.label)
    if not drawn:
        say(panel, "not logged")
