"""Which foot is on the ground when."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from app.report.drawing import LEFT, RIGHT, WIDTH, Drawing, style, to_svg
from app.report.motion import label, steady
from biped.examination.recording import Recording

SHOWN_S = 4.0
"""s of the diagram."""
HATCH = "//////"


def contact_intervals(contact: NDArray[np.bool_], control_dt: float) -> list[tuple[float, float]]:
    """When a foot is on the ground: begin and duration in s of each stay, from contacts `[T]`."""
    padded = np.concatenate(([False], contact, [False])).astype(np.int8)
    changes = np.diff(padded)
    begins, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    return [
        (control_dt * begin, control_dt * (end - begin))
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]


def support_shares(contact: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Shares of the time with both feet, one foot and no foot on the ground, from contacts `[T, 2]`; NaN of none."""
    if not len(contact):
        return (float("nan"),) * 3
    count = contact.sum(axis=1)
    both, one, none = (float((count == number).mean()) for number in (2, 1, 0))
    return both, one, none


def gait_figure(rows: Sequence[tuple[str, NDArray[np.bool_]]], control_dt: float) -> Figure:
    """Bars where each foot carries, of `SHOWN_S` s.

    Args:
        rows: title and contacts `[T, 2]` of the right and the left foot, for each two rows of bars.
        control_dt: s of a control step.
    """
    figure = Figure(figsize=(WIDTH, 0.5 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for row, (_, contact) in enumerate(rows):
        for foot, (look, offset, hatch) in enumerate(((RIGHT, 0.2, None), (LEFT, -0.2, HATCH))):
            bars = contact_intervals(contact[:, foot], control_dt)
            axes.broken_barh(
                bars,
                (row - offset - 0.17, 0.34),
                facecolor=look["color"] if hatch is None else "white",
                edgecolor=look["color"],
                hatch=hatch,
                linewidth=0.6,
                label=("right foot", "left foot")[foot] if row == 0 else None,
            )
        both, one, none = support_shares(contact)
        words = f"both {both:.0%}, one {one:.0%}, none {none:.0%}" if len(contact) else "fell at once"
        axes.text(SHOWN_S + 0.05, row, words, va="center", fontsize=7.5)
    axes.set_yticks(range(len(rows)), [title for title, _ in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xlim(0.0, SHOWN_S)
    axes.set_xlabel("time, s")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def gait_picture(rows: Sequence[tuple[str, NDArray[np.bool_]]], control_dt: float) -> bytes:
    """The same as a PNG."""
    buffer = io.BytesIO()
    with style():
        gait_figure(rows, control_dt).savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def gait_diagram(recordings: Sequence[Recording]) -> Drawing:
    """The bars of each trial."""
    title = "Feet on the ground"
    rows = [(label(one), one.contact[steady(one, SHOWN_S)]) for one in recordings]
    figure = gait_figure(rows, recordings[0].control_dt)
    caption = (
        f"{SHOWN_S:g} s of steady walking under each command (x forward and y leftward in m/s, yaw in rad/s). Filled "
        "bars: the right foot carries; hatched bars: the left one. In a walk the feet take turns, with both on the "
        "ground for a moment in between. At the right the shares of the time on both feet, one and none."
    )
    return Drawing(title, caption, to_svg(figure, title))
