"""Live plots of the last seconds."""

import numpy as np
import viser
from viser import uplot

from app.steering.frames import Frame, History
from app.steering.walker import Walker
from app.web.widgets import put

SECONDS = 6.0
"""s that the plots reach back."""
SMOOTHED_S = 0.5
"""s over which rewards are averaged: about a stride."""
WIDTH, AXIS_WIDTH = 380, 44
"""Pixels of the panel, and of the numbers beside a plot."""
RIGHT, LEFT = "#7c3aed", "#0891b2"
FORWARD, SIDEWAYS, TURN = "#ea580c", "#16a34a", "#9333ea"
PALETTE = (
    "#2563eb", "#ea580c", "#16a34a", "#dc2626", "#9333ea", "#0891b2", "#ca8a04", "#db2777", "#4d7c0f", "#57534e",
)  # fmt: skip
LOW, BAR = (0.05, 1.15), 0.9
"""Where the bars of the right and the left foot begin in the gait diagram, and how high they are."""


class Plots:
    """A panel of plots on the left of the page.

    Args:
        gui: of the server; all browsers share what is chosen.
    """

    def __init__(self, gui: viser.GuiApi) -> None:
        self._gui = gui
        panel = gui.add_panel()
        self._walk, self._rewards, self._joints = (panel.add_tab(name) for name in ("walk", "rewards", "joints"))
        panel.dock_left()
        panel.set_width(WIDTH)
        self._history: History | None = None
        self._reward_plot: viser.GuiUplotHandle | None = None
        with self._walk:
            self._velocity = self._plot(
                "velocity, m/s",
                [
                    line("forward", FORWARD),
                    line("asked", FORWARD, dashed=True),
                    line("leftward", SIDEWAYS),
                    line("asked", SIDEWAYS, dashed=True),
                ],
                height=210,
            )
            self._turn = self._plot(
                "yaw rate, rad/s", [line("turn left", TURN), line("asked", TURN, dashed=True)], height=150
            )
            self._gait = self._plot(
                "feet on the ground",
                [bar("right", RIGHT, LOW[0]), bar("left", LEFT, LOW[1])],
                height=120,
                bare=True,
            )
        with self._joints:
            self._joint: viser.GuiDropdownHandle[str] = gui.add_dropdown("joint", ("-",))
            self._joint_plot = self._plot(
                "joint, rad", [line("position", PALETTE[1]), line("target", PALETTE[0], dashed=True)], height=240
            )

    def meet(self, walker: Walker) -> None:
        """Begin anew, with the joints of the robot and the rewards of the task."""
        joints = walker.simulator.robot.joint_names
        if joints != self._joint.options:
            self._joint.options = joints
            # A knee tells most about a walk.
            put(self._joint, next((name for name in joints if "knee" in name), joints[0]))
        rewards = walker.env.rewards.names
        before = self._history
        # Means at the left edge look back beyond it.
        self._history = History(joints, rewards, walker.env.control_dt, SECONDS + SMOOTHED_S)
        if before is not None and before.rewards == rewards:
            return
        if self._reward_plot is not None:
            self._reward_plot.remove()
        with self._rewards:
            self._reward_plot = self._plot(
                "reward per second",
                [
                    line(name.replace("_", " "), PALETTE[i % len(PALETTE)], dashed=i >= len(PALETTE))
                    for i, name in enumerate(rewards)
                ],
                height=420,
            )

    def note(self, frame: Frame) -> None:
        """Remember one control step."""
        if self._history is not None:
            self._history.add(frame)

    def draw(self) -> None:
        """Send the plots to the browsers."""
        history = self._history
        if history is None or len(history.times) < 2 or self._reward_plot is None:
            return
        times = history.times
        commands, velocities, contacts = history.commands(), history.velocities(), history.contacts()
        self._velocity.data = (times, velocities[:, 0], commands[:, 0], velocities[:, 1], commands[:, 1])
        self._turn.data = (times, velocities[:, 2], commands[:, 2])
        bars = np.array(LOW) + BAR * contacts
        self._gait.data = (times, bars[:, 0], bars[:, 1])
        self._reward_plot.data = (times, *history.reward_rates(SMOOTHED_S).T)
        joint = history.joints.index(self._joint.value)
        self._joint_plot.data = (times, history.joint_positions()[:, joint], history.joint_targets()[:, joint])

    def _plot(self, title: str, series: list[uplot.Series], height: int, *, bare: bool = False) -> viser.GuiUplotHandle:
        """A plot over time; a `bare` one has no numbers and stands below one that has the same times."""
        return self._gui.add_uplot(
            tuple(np.zeros(2) for _ in range(len(series) + 1)),
            ({}, *series),
            title=title,
            scales={"x": {"time": False, "range": (-SECONDS, 0.0)}},
            # uPlot works axes out when a scale changes, so where none does they may never show.
            axes=({"size": 30, "show": not bare}, {"size": AXIS_WIDTH, "show": not bare}),
            legend={"live": False},
            height=height,
            padding=(4, 12, 8 if bare else 0, AXIS_WIDTH if bare else 0),
        )


def line(label: str, color: str, *, dashed: bool = False) -> uplot.Series:
    """A curve."""
    style: uplot.Series = {"label": label, "stroke": color, "width": 1.5, "points": {"show": False}}
    if dashed:
        style["dash"] = (5, 4)
    return style


def bar(label: str, color: str, bottom: float) -> uplot.Series:
    """The upper edge of bars that are filled down to `bottom`."""
    return {"label": label, "stroke": color, "fill": color, "fillTo": bottom, "width": 1, "points": {"show": False}}
