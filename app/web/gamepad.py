"""A gamepad at the machine of a browser: its sticks are the command, in proportion.

viser knows nothing of gamepads and lets a page run no program. But an image's handler is run, and what stands in a text
field is sent here: so a script writes down in a field that nobody sees what the gamepad does.
"""

import math
from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

import viser

from app.steering.requests import Deflect, Request

DEAD_ZONE = 0.12
"""Part of its way that a stick does not leave by itself."""
FIELD = "gamepad"
"""Label by which the script finds its field."""
# Axes and buttons are those of the standard layout, the only one in which it is known where they are. The name of the
# page makes what two pages write differ, so that a field always takes it for new.
SCRIPT = """
if (!window.readsGamepad) {
  window.readsGamepad = true;
  const page = Math.random().toString(36).slice(2);
  const presses = [0, 0, 0];
  let held = [false, false, false], written = '', input;
  const field = () => {
    if (input?.isConnected) return input;
    const label = [...document.querySelectorAll('label')].find(label => label.textContent === 'FIELD');
    let row = label?.parentElement;
    while (row && !row.querySelector('input')) row = row.parentElement;
    if (row) row.parentElement.style.display = 'none';
    return input = row?.querySelector('input');
  };
  setInterval(() => {
    const pads = document.hasFocus() ? [...(navigator.getGamepads?.() ?? [])] : [];
    const pad = pads.find(pad => pad?.connected && pad.mapping === 'standard');
    if (!field() || !pad && !written) return;
    const pressed = [0, 1, 9].map(button => pad?.buttons[button]?.pressed ?? false);
    pressed.forEach((now, index) => { if (now && !held[index]) presses[index] += 1; });
    held = pressed;
    const sticks = [1, 0, 2].map(axis => (-(pad?.axes[axis] ?? 0)).toFixed(3));
    const text = [page, ...sticks, ...presses].join(' ');
    if (text === written) return;
    written = text;
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, text);
    input.dispatchEvent(new Event('input', { bubbles: true }));
  }, 20);
}
""".replace("FIELD", FIELD)


class Report(NamedTuple):
    """What the gamepad of one page has done so far."""

    deflection: tuple[float, float, float]
    """Of the sticks forward, to the left and for a turn to the left, -1 to 1 beyond the dead zone."""
    presses: tuple[int, ...]
    """How often the buttons for a push, for a new episode and for a pause were pressed since the page was opened."""


class Gamepads:
    """The gamepads of all pages; the one that moved last steers, as with keys.

    Args:
        gui: of the server.
        submit: takes the requests.
        buttons: what the buttons for a push, for a new episode and for a pause do.
    """

    def __init__(
        self, gui: viser.GuiApi, submit: Callable[[Request], None], buttons: tuple[Callable[[], None], ...]
    ) -> None:
        self._submit, self._buttons = submit, buttons
        self._pages: dict[str, Report] = {}
        gui.add_html(f'<img src="data:," style="display: none" onerror="{escape(SCRIPT)}">')
        gui.add_text(FIELD, "").on_update(self._update)

    async def _update(self, event: viser.GuiEvent[Any]) -> None:
        # In viser's own loop, as its threads may let the release of a stick overtake what was before it.
        self.hear(event.target.value)

    def hear(self, text: str) -> None:
        """Do what the gamepad of a page asks for; text that no page has written is passed over."""
        try:
            page, report = read_report(text)
        except ValueError:
            return
        before = self._pages.get(page, Report((0.0, 0.0, 0.0), (0,) * len(self._buttons)))
        self._pages[page] = report
        if report.deflection != before.deflection:
            self._submit(Deflect(report.deflection))
        for act, count, counted in zip(self._buttons, report.presses, before.presses, strict=True):
            if count > counted:
                act()


def read_report(text: str) -> tuple[str, Report]:
    """The name of a page and what its gamepad has done.

    Raises:
        ValueError: the text says something else.
    """
    page, *numbers = text.split()
    forward, left, turn, push, reset, pause = numbers
    sticks = deflection(float(forward)), deflection(float(left)), deflection(float(turn))
    return page, Report(sticks, (int(push), int(reset), int(pause)))


def deflection(axis: float) -> float:
    """How far a stick is out of its dead zone, -1 to 1: from 0 at the edge of the zone to 1 at the end of its way.

    Args:
        axis: -1 to 1.

    Raises:
        ValueError: the axis is no number.
    """
    if math.isnan(axis):
        raise ValueError("an axis is no number")
    beyond = (min(abs(axis), 1.0) - DEAD_ZONE) / (1.0 - DEAD_ZONE)
    return math.copysign(beyond, axis) if beyond > 0.0 else 0.0
