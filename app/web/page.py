"""The page as the loop sees it: robot, widgets and plots of one server, drawn no more often than is worth it."""

import time

import viser

from app.steering.frames import Frame, Pose
from app.steering.loop import Loop, Status
from app.steering.walker import Walker
from app.web.checkpoints import Checkpoints
from app.web.choice import Choice
from app.web.controls import Controls
from app.web.plots import Plots
from app.web.robot_view import COMMANDED, RobotView
from biped.robots.robot import Robot

PLOTTED_S, TOLD_S, LISTED_S = 0.1, 0.5, 2.0
"""s between two drawings of the plots, two reports, and two looks for new checkpoints."""


class Page:
    """What all browsers of one server see.

    Args:
        server: nothing is on it yet.
        loop: takes the requests.
        robot: what is shown.
        control_dt: s of a control step.
        checkpoints: to choose from.
    """

    def __init__(
        self, server: viser.ViserServer, loop: Loop, robot: Robot, control_dt: float, checkpoints: Checkpoints
    ) -> None:
        self._server = server
        server.gui.configure_theme(show_logo=False, show_share_button=False, brand_color=COMMANDED)
        server.gui.main_panel.dock_right()
        self._view = RobotView(server, robot, control_dt)
        self._choice = Choice(server.gui, loop.submit, checkpoints)
        self._controls = Controls(server.gui, loop.submit, self._follow)
        self._plots = Plots(server.gui)
        self._view.look()
        self._plotted = self._told = self._listed = 0.0

    def watching(self) -> bool:
        """Whether a browser is there."""
        return bool(self._server.get_clients())

    def meet(self, walker: Walker) -> None:
        """Show another policy."""
        for part in (self._choice, self._controls, self._plots):
            part.meet(walker)

    def note(self, frame: Frame) -> None:
        """Remember a control step."""
        self._view.note(frame)
        self._plots.note(frame)

    def show(self, pose: Pose, status: Status) -> None:
        """Show a pose now, and what else is due."""
        now = time.perf_counter()
        with self._server.atomic():
            self._view.show(pose)
        self._controls.show(status)
        if now >= self._plotted + PLOTTED_S:
            self._plotted = now
            self._plots.draw()
        if now >= self._told + TOLD_S:
            self._told = now
            self._choice.tell(status)
        if now >= self._listed + LISTED_S:
            self._listed = now
            self._choice.refresh()

    def say(self, message: str) -> None:
        """Tell every browser one line."""
        for client in self._server.get_clients().values():
            client.add_notification("", message, color="red")

    def _follow(self, follow: bool) -> None:
        self._view.follow = follow
