"""What velocity was asked for, and what it was."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.report.drawing import (
    ASKED,
    FAINT,
    LEFT,
    RIGHT,
    Drawing,
    least_range,
    legend_above,
    moving_average,
    panels,
    say,
    to_svg,
)
from app.report.motion import label
from biped.examination.gait_meter import SETTLING_TIME
from biped.examination.recording import Recording

SMOOTHED_S = 0.5
"""s that a curve is averaged over: about a stride."""


def change_times(command: NDArray[np.floating], control_dt: float) -> list[float]:
    """S at which another command begins, from commands `[T, 3]`."""
    changed = np.flatnonzero((np.diff(command, axis=0) != 0.0).any(axis=1)) + 1
    return [control_dt * step for step in changed.tolist()]


def axes_of(recording: Recording) -> tuple[tuple[str, str, NDArray[np.floating], NDArray[np.floating]], ...]:
    """Name, unit, measured `[T]` and asked for `[T]` of the three velocities."""
    command = recording.command
    return (
        ("forward", "m/s", recording.velocity[:, 0], command[:, 0]),
        ("leftward", "m/s", recording.velocity[:, 1], command[:, 1]),
        ("yaw rate", "rad/s", recording.yaw_rate, command[:, 2]),
    )


def tracking(recordings: Sequence[Recording]) -> Drawing:
    """Forward and leftward velocity of every trial in which nothing changes, one panel each."""
    title = "Velocity under each command"
    figure, axes = panels(len(recordings), 3, 1.35, share_y=True)
    for panel, recording in zip(axes, recordings, strict=True):
        count = round(SMOOTHED_S / recording.control_dt)
        if len(recording.yaw) > 1:
            for look, (name, _, measured, _) in zip((RIGHT, LEFT), axes_of(recording)[:2], strict=True):
                panel.plot(recording.times, moving_average(measured, count), **look, label=name)
            for asked, words in zip(recording.command[:, :2].T, ("asked for", None), strict=True):
                panel.plot(recording.times, asked, **ASKED, label=words, zorder=1.5)
        else:
            say(panel, "fell at once")
        panel.set_title(label(recording))
        panel.set_xlim(left=0.0)
    least_range(axes[0], 0.4)
    for number, panel in enumerate(axes):
        if number % 3 == 0:
            panel.set_ylabel("m/s")
        if number >= len(axes) - 3:
            panel.set_xlabel("time, s")
    legend_above(figure, axes[0])
    caption = (
        f"Velocity of the base in the direction that it faces (solid) and to its left (dashed), each averaged over "
        f"{SMOOTHED_S:g} s, about a stride, beside what was asked for (dotted)."
    )
    return Drawing(title, caption, to_svg(figure, title))


def sudden_changes(recording: Recording) -> Drawing:
    """The three velocities while the command jumps."""
    title = "Sudden changes"
    figure, axes = panels(3, 1, 1.35)
    changes = change_times(recording.command, recording.control_dt)
    end = float(recording.times[-1]) if len(recording.yaw) else 1.0
    for panel, (name, unit, measured, asked) in zip(axes, axes_of(recording), strict=True):
        for begin in changes:
            panel.axvspan(begin, min(begin + SETTLING_TIME, end), facecolor="#eeeeee", linewidth=0)
        if len(measured) > 1:
            count = round(SMOOTHED_S / recording.control_dt)
            panel.plot(recording.times, measured, color=FAINT, linewidth=0.5, label="measured")
            panel.plot(recording.times, moving_average(measured, count), **RIGHT, label=f"mean of {SMOOTHED_S:g} s")
            panel.plot(recording.times, asked, **ASKED, drawstyle="steps-pre", label="asked for")
        else:
            say(panel, "fell at once")
        panel.set_ylabel(f"{name}, {unit}")
        panel.set_xlim(0.0, end)
        least_range(panel, 0.4)
    axes[-1].set_xlabel("time, s" + (" (the robot fell at the end)" if recording.fell else ""))
    legend_above(figure, axes[0])
    caption = (
        f"The command jumps and the robot follows. The examination does not count the {SETTLING_TIME:g} s after a "
        "change, which are grey here. The measured velocity swings with every step; the thick curve is its mean over "
        "about a stride."
    )
    return Drawing(title, caption, to_svg(figure, title))
