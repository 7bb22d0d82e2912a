"""How figures look, and how they become text in a page."""

import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, FAINT = "#1a1a1a", "#8a8a8a"
RIGHT: dict[str, Any] = {"color": "#b45309", "linestyle": "-", "linewidth": 1.2}
LEFT: dict[str, Any] = {"color": "#1d4ed8", "linestyle": (0, (4, 1.5)), "linewidth": 1.2}
ASKED: dict[str, Any] = {"color": INK, "linestyle": (0, (1, 1.2)), "linewidth": 1.6}
"""Lines that are told apart without their colours, too."""
WIDTH = 8.0
"""Inches; with letters of 8 points a figure as wide as the page is read on paper and on a screen."""
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": "sans-serif",
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.7,
    "path.simplify_threshold": 0.3,
    "axes.formatter.useoffset": False,
    # A `$` in the name of a joint is a dollar.
    "text.parse_math": False,
}


class Drawing(NamedTuple):
    """One figure of the page."""

    title: str
    caption: str
    """How to read it, plain text."""
    svg: str
    """Markup that can stand in the page."""


@contextmanager
def style() -> Iterator[None]:
    """Figures that are made and written within look as the page wants it, whatever the user's own style is."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Of letters that its own font lacks, which the page takes from another one.
        warnings.simplefilter("ignore", UserWarning)
        matplotlib.rcdefaults()
        # Its newest versions know every name there is, and older ones know other names.
        parameters: Any = matplotlib.rcParams
        parameters.update(STYLE)
        yield


def panels(count: int, columns: int, height: float, *, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in rows of `columns`, each `height` inches high, those too many left out."""
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    axes = list(grid.flat)
    for left_over in axes[count:]:
        left_over.remove()
    return figure, axes[:count]


def legend_above(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, of the lines of one of them, in a row above."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), handlelength=2.6)


def say(axes: Axes, text: str) -> None:
    """Words in the place of a curve that there is not."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=INK)


def least_range(axes: Axes, least: float) -> None:
    """Let the y axis span at least so much, that noise does not look large."""
    low, high = axes.get_ylim()
    if high - low < least:
        middle = 0.5 * (low + high)
        axes.set_ylim(middle - 0.5 * least, middle + 0.5 * least)


def to_svg(figure: Figure, title: str) -> str:
    """The figure as an `<svg>` that scales with the page and tells its title to whoever cannot see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # A style in one figure would hold for the whole page.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    # Every figure has its own `axes_1`, and in one page an id is to be one of a kind.
    text = re.sub(r' id="[a-z0-9A-Z]+_[0-9]+"', "", text)
    # The page says which letters; and of the size only the shape is wanted.
    text = re.sub(r"<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^>]*>", "", text, flags=re.DOTALL)
    text = re.sub(r"(<svg[^>]*?) (?:width)=\"[^\"]*\"", r"\1", text, count=1)
    text = re.sub(r"(<svg[^>]*?) (?:height)=\"[^\"]*\"", r"\1", text, count=1)
    label = html.escape(title)
    text = re.sub(r"<svg([^>]*)>", rf'<svg\1 role="img" aria-label="{label}"><title>{label}</title>', text, count=1)
    return re.sub(r"\n\s*", "\n", text).strip()


def moving_average(values: NDArray[Any], count: int) -> NDArray[np.float64]:
    """`[T]` the mean of `count` values about each, rounded up to an odd number; of fewer at both ends."""
    total = np.concatenate(([0.0], np.cumsum(values.astype(np.float64))))
    here = np.arange(len(values))
    begins, ends = np.maximum(here - count // 2, 0), np.minimum(here + count // 2 + 1, len(values))
    result: NDArray[np.float64] = (total[ends] - total[begins]) / (ends - begins)
    return result
