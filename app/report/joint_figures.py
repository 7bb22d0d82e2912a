"""What the joints do: how they move, what they are told, and what that takes."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from app.report.drawing import (
    ASKED,
    FAINT,
    INK,
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
from app.report.motion import JointPair, joint_pairs, label, steady
from biped.examination.recording import Recording

PORTRAIT_S, SERIES_S = 4.0, 2.0
"""s of the portraits, and of the curves over time."""
COLUMNS = 3


def each_joint(recording: Recording, title: str, height: float, draw: Callable[[Axes, JointPair], None]) -> str:
    """A figure with one panel per pair of joints."""
    pairs = joint_pairs(recording.robot)
    figure, axes = panels(len(pairs), COLUMNS, height)
    for panel, pair in zip(axes, pairs, strict=True):
        panel.set_title(pair.name)
        if len(recording.yaw) < 2:
            say(panel, "fell at once")
            continue
        draw(panel, pair)
    # A joint in the middle has no left one, so it is the first panel that has both.
    best = next((panel for panel, pair in zip(axes, pairs, strict=True) if pair.left is not None), axes[0])
    legend_above(figure, best)
    return to_svg(figure, title)


def sides(values: NDArray[np.floating], pair: JointPair, *, mirrored: bool) -> list[tuple[str, NDArray[np.floating]]]:
    """Of values `[T, J]` those of the right and of the left joint `[T]`, the latter as in the mirror image if asked."""
    if pair.left is None:
        return [("middle", values[:, pair.right])]
    return [("right", values[:, pair.right]), ("left", (pair.sign if mirrored else 1.0) * values[:, pair.left])]


def phase_portraits(recording: Recording) -> Drawing:
    """Velocity over position of every joint."""
    title = "Phase portraits of the joints"
    part = steady(recording, PORTRAIT_S)

    def draw(panel: Axes, pair: JointPair) -> None:
        positions = sides(recording.joint_position[part], pair, mirrored=True)
        velocities = sides(recording.joint_velocity[part], pair, mirrored=True)
        for (name, position), (_, velocity), look in zip(positions, velocities, (RIGHT, LEFT), strict=False):
            panel.plot(position, velocity, **look | {"linewidth": 0.8}, label=name)
        panel.set_xlabel("position, rad")
        panel.set_ylabel("velocity, rad/s")

    svg = each_joint(recording, title, 1.8, draw)
    caption = (
        f"{label(recording)}, {PORTRAIT_S:g} s of steady walking. Left joints are shown as in the mirror image, so "
        "that in a symmetric walk the two curves lie on each other. A walk that repeats itself draws one closed curve."
    )
    return Drawing(title, caption, svg)


def targets(recording: Recording) -> Drawing:
    """Positions beside what the servos were told."""
    title = "Joint targets and positions"
    part = steady(recording, SERIES_S)

    def draw(panel: Axes, pair: JointPair) -> None:
        position = recording.joint_position[part, pair.right]
        panel.plot(recording.times[part], position, **RIGHT, label="position")
        look = ASKED | {"linewidth": 1.0}
        panel.plot(recording.times[part], recording.joint_target[part, pair.right], **look, label="target")
        panel.set_xlabel("time, s")
        panel.set_ylabel("rad")
        panel.margins(x=0.0)
        least_range(panel, 0.1)

    svg = each_joint(recording, title, 1.35, draw)
    caption = (
        f"{label(recording)}, joints of the right leg and of the middle. A servo is a spring: where it carries weight, "
        "position and target are apart, and the distance is the torque."
    )
    return Drawing(title, caption, svg)


def torques(recording: Recording) -> Drawing:
    """Torque of every joint over time, and its limit."""
    title = "Joint torques"
    part = steady(recording, SERIES_S)
    limits = recording.robot.effort_limit

    def draw(panel: Axes, pair: JointPair) -> None:
        values = sides(recording.joint_torque[part], pair, mirrored=True)
        for (name, torque), look in zip(values, (RIGHT, LEFT), strict=False):
            panel.plot(recording.times[part], torque, **look, label=name)
        low, high = panel.get_ylim()
        for bound in (-limits[pair.right], limits[pair.right]):
            if low <= 1.3 * bound <= high or low <= bound <= high:
                panel.axhline(bound, color=FAINT, linestyle=":", linewidth=1.0)
        panel.set_xlabel("time, s")
        panel.set_ylabel("N m")
        panel.margins(x=0.0)
        least_range(panel, 1.0)

    svg = each_joint(recording, title, 1.35, draw)
    caption = (
        f"{label(recording)}, as the servos applied them; left joints as in the mirror image. Where the limit of a "
        "servo is near, it is drawn as a dotted line."
    )
    return Drawing(title, caption, svg)


def effort(recording: Recording) -> list[tuple[str, float, float, float, float]]:
    """Of every joint its name, RMS and largest torque in N m, its limit in N m and its mean mechanical power in W.

    Counted after the robots have picked up speed; braking counts as power, too.
    """
    part = slice(steady(recording, SERIES_S).start, None)
    torque, power = recording.joint_torque[part].astype(np.float64), np.abs(recording.power[part])
    if not len(torque):
        return []
    rms, largest, mean = np.sqrt((torque**2).mean(axis=0)), np.abs(torque).max(axis=0), power.mean(axis=0)
    robot = recording.robot
    return [
        (name, float(rms[joint]), float(largest[joint]), robot.effort_limit[joint], float(mean[joint]))
        for joint, name in enumerate(robot.joint_names)
    ]


def power(recording: Recording) -> Drawing:
    """Mechanical power of the whole robot over time, given and taken."""
    title = "Mechanical power"
    part = steady(recording, SERIES_S)
    figure, (panel,) = panels(1, 1, 1.6)
    each, times = recording.power[part], recording.times[part]
    if len(each) > 1:
        given, taken = np.clip(each, 0.0, None).sum(axis=1), np.clip(each, None, 0.0).sum(axis=1)
        panel.fill_between(times, given, color="#f3c58c", edgecolor=RIGHT["color"], linewidth=0.8, label="driving")
        panel.fill_between(
            times, taken, facecolor="white", edgecolor=LEFT["color"], hatch="//////", linewidth=0.8, label="braking"
        )
        mean = moving_average(np.abs(each).sum(axis=1), round(0.5 / recording.control_dt))
        panel.plot(times, mean, **LEFT | {"color": INK}, label="both, mean of 0.5 s")
    else:
        say(panel, "fell at once")
    panel.set_xlabel("time, s")
    panel.set_ylabel("W")
    panel.margins(x=0.0)
    legend_above(figure, panel)
    caption = (
        f"{label(recording)}: torque times joint velocity, summed over the joints that drive and over those that "
        "brake. A motor without recovery pays for both."
    )
    return Drawing(title, caption, to_svg(figure, title))
