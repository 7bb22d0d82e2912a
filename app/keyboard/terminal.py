"""A terminal that hands over each key at once, and is afterwards as it was. Unix only."""

import os
import re
import select
import signal
import termios
import tty
from types import FrameType, TracebackType
from typing import Any

END = "\x04"
"""Ctrl-D, and what comes out of a terminal that is gone."""
UP, DOWN, RIGHT, LEFT = "up", "down", "right", "left"
ARROWS = dict(zip("ABCD", (UP, DOWN, RIGHT, LEFT), strict=True))
"""By the last letter of what a terminal sends."""
SEQUENCE = re.compile(r"\x1b[\[O][0-9;]*([A-Za-z~])|\x1b[\[O][0-9;]*$|\x1b$|\x1b|([^\x1b])")
"""A key that is more than a letter, the beginning of one, a stray escape, or a letter."""


class Terminal:
    """Within, keys are not shown and need no Enter; those for signals, such as Ctrl-C, still send them.

    Args:
        descriptor: of a terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._settings: list[Any] = []
        self._begun = ""

    def __enter__(self) -> "Terminal":
        self._settings = termios.tcgetattr(self._descriptor)
        self._resumed = signal.signal(signal.SIGCONT, self._resume)
        tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGCONT, self._resumed or signal.SIG_DFL)
        # What was typed too late is not meant for the shell.
        termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._settings)

    def pressed(self) -> list[str]:
        """What was pressed since the last look: letters, names of arrows, `END`."""
        keys: list[str] = []
        while select.select([self._descriptor], [], [], 0.0)[0]:
            try:
                data = os.read(self._descriptor, 1024)
            except OSError:
                data = b""
            if not data:
                return [*keys, END]
            found, self._begun = decode(self._begun + data.decode(errors="ignore"))
            keys += found
        return keys

    def _resume(self, number: int, frame: FrameType | None) -> None:
        """After Ctrl-Z and `fg`: the shell has had the terminal meanwhile."""
        tty.setcbreak(self._descriptor)


def decode(text: str) -> tuple[list[str], str]:
    """The keys in what a terminal sends, and the beginning of one whose rest is still to come."""
    keys: list[str] = []
    for match in SEQUENCE.finditer(text):
        last, letter = match.groups()
        if letter is not None:
            keys.append(letter)
        elif last in ARROWS:
            keys.append(ARROWS[last])
        elif last is None and match.end() == len(text):
            return keys, match.group()
    return keys, ""
