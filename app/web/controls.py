"""The widgets and keys that steer the robot."""

from collections.abc import Callable
from functools import partial
from typing import Any

import viser

from app.steering.keys import KEYS, PUSH_SPEED, Key
from app.steering.loop import Status, command_limits
from app.steering.requests import Advance, Friction, Pause, Push, Request, Reset, Speed, Steer, Stop
from app.steering.walker import Walker
from app.web.gamepad import Gamepads
from app.web.widgets import put
from biped.simulators.config import GROUND_FRICTION

AXES = ("forward", "leftward", "turn left")
"""Parts of a command."""
UNITS = ("m/s", "m/s", "rad/s")
SPEEDS = {"1": 1.0, "1/2": 0.5, "1/4": 0.25, "1/10": 0.1}
"""Seconds of the robot per second on the wall, by what the page calls them."""
HELP = """
**W S** faster forward, backward  \\
**A D** leftward, rightward  \\
**Q E** turn left, right  \\
**X** stop &nbsp; **P** pause  \\
**F** push &nbsp; **R** start anew

Gamepad: left stick walk, right stick turn  \\
**A** push &nbsp; **B** start anew &nbsp; **start** pause
"""
# viser flies its camera with the same keys and has no switch for that. Its listener is on the document; the hotkeys' is
# on the root element, which an event reaches first. A script element would not run here, an image's handler does.
KEEP_CAMERA = """
<img src="data:," style="display: none" onerror="
  document.title = 'biped';
  if (!window.keepsCamera) {
    window.keepsCamera = true;
    document.documentElement.addEventListener('keydown', event => {
      if (['KeyW', 'KeyA', 'KeyS', 'KeyD', 'KeyQ', 'KeyE'].includes(event.code)) event.stopPropagation();
    });
  }
">
"""


class Controls:
    """Command, time and world, shared by all browsers; what is done there becomes a request.

    Args:
        gui: of the server.
        submit: takes the requests.
        follow: called with whether the eye is to follow the robot.
    """

    def __init__(self, gui: viser.GuiApi, submit: Callable[[Request], None], follow: Callable[[bool], None]) -> None:
        self._gui, self._submit = gui, submit
        self._keyed = -1
        gui.add_html(KEEP_CAMERA)
        with gui.add_folder("command"):
            self._sliders = [
                gui.add_slider(f"{axis}, {unit}", -1.0, 1.0, 0.01, 0.0) for axis, unit in zip(AXES, UNITS, strict=True)
            ]
            self._trained = gui.add_markdown("")
            stop = gui.add_button("stop (X)", color="gray")
            gui.add_markdown(HELP)
        with gui.add_folder("time"):
            speed = gui.add_button_group("speed", tuple(SPEEDS))
            self._pause = gui.add_button("pause (P)", color="gray")
            self._advance = gui.add_button("one step", color="gray", disabled=True)
            reset = gui.add_button("start anew (R)", color="gray")
        with gui.add_folder("world"):
            self._push_speed = gui.add_slider("push, m/s", 0.1, 2.0, 0.1, PUSH_SPEED)
            push = gui.add_button("push (F)", color="gray")
            self._friction = gui.add_slider("friction", GROUND_FRICTION, 1.5, 0.01, 1.0)
            follow_robot = gui.add_checkbox("follow the robot", initial_value=True)

        for slider in self._sliders:
            slider.on_update(self._steer)
        stop.on_click(lambda _: submit(Stop()))
        speed.on_click(lambda event: submit(Speed(SPEEDS[event.target.value])))
        self._pause.on_click(lambda _: submit(Pause()))
        self._advance.on_click(lambda _: submit(Advance()))
        reset.on_click(lambda _: submit(Reset()))
        push.on_click(lambda _: self._push())
        self._friction.on_update(self._slip)
        follow_robot.on_update(lambda event: follow(event.target.value))
        for key in KEYS:
            # How fast a push is, is chosen here.
            self._bind(key, self._push if isinstance(key.request, Push) else partial(submit, key.request))
        Gamepads(gui, submit, (self._push, partial(submit, Reset()), partial(submit, Pause())))

    def meet(self, walker: Walker) -> None:
        """Offer what the task asks for, and show what it was trained for."""
        commands = walker.env.config.commands
        ranges = commands.linear_velocity_x, commands.linear_velocity_y, commands.yaw_rate
        for slider, (low, high) in zip(self._sliders, command_limits(commands), strict=True):
            slider.min, slider.max = low, high
        words = (
            f"{axis} {low:g} to {high:g}" if low < high else f"{axis} {low:g}"
            for axis, (low, high) in zip(AXES, ranges, strict=True)
        )
        self._trained.content = f"*trained: {', '.join(words)}*"

    def show(self, status: Status) -> None:
        """Let the widgets follow what keys and other browsers have done."""
        if status.keyed != self._keyed:
            self._keyed = status.keyed
            for slider, value in zip(self._sliders, status.command, strict=True):
                put(slider, value)
            put(self._friction, status.friction)
        label = "go on (P)" if status.paused else "pause (P)"
        if label != self._pause.label:
            self._pause.label = label
            self._advance.disabled = not status.paused

    async def _steer(self, event: viser.GuiEvent[Any]) -> None:
        # In viser's own loop: until one of its threads has come to it, `show` may have put back what was before. What
        # that has set comes here as well, from no browser.
        if event.client is not None:
            forward, leftward, turn = (float(slider.value) for slider in self._sliders)
            self._submit(Steer((forward, leftward, turn)))

    async def _slip(self, event: viser.GuiEvent[Any]) -> None:
        if event.client is not None:
            self._submit(Friction(float(self._friction.value)))

    def _push(self) -> None:
        self._submit(Push(float(self._push_speed.value)))

    def _bind(self, key: Key, act: Callable[[], None]) -> None:
        self._gui.add_command(key.words, hotkey=key.letter).on_trigger(lambda _: act())
