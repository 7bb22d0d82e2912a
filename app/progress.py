"""A line about long work while it goes on: in place on a terminal, elsewhere every ten seconds."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ppo.report.console import EnduringStream, format_duration

REDRAWN_S, PRINTED_S = 0.1, 10.0
"""s between two changes of the line on a terminal, and between two lines elsewhere."""
LOOK_S = 0.5
"""s between two looks at work that tells nothing itself."""


class StatusLine:
    """One line that changes, and is gone when it is closed: to print something else, close it first.

    Where there is no terminal it is a plain line now and then, the first one after `PRINTED_S`, so that short work
    prints none.

    Args:
        stream: Where to write; standard output by default.
        clock: Returns the time in seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = EnduringStream(sys.stdout if stream is None else stream)
        self._clock = clock
        self._live: Live | None = None
        self._interval = REDRAWN_S if self._stream.isatty() else PRINTED_S
        self._due = clock() if self._stream.isatty() else clock() + PRINTED_S

    def show(self, text: str) -> None:
        """Let the line say something else, if it has said what it says for long enough."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + self._interval
        if not self._stream.isatty():
            self._stream.write(text + "\n")
            self._stream.flush()
            return
        if self._live is None:
            screen = Console(file=cast("TextIO", self._stream), force_terminal=True, highlight=False)
            # Not through the streams of `sys`: an engine that is loaded meanwhile would keep what stands in for them.
            self._live = Live(
                console=screen, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def now(self) -> float:
        """S on its clock."""
        return self._clock()

    def close(self) -> None:
        """Take the line away; showing something brings it back."""
        if self._live is not None:
            self._live.stop()
            self._live = None


@contextmanager
def progress(what: str, of: int, line: StatusLine | None = None) -> Iterator[Callable[[], None]]:
    """Tell how far work has come that consists of many parts.

    Args:
        what: it is, such as `examining`.
        of: number of the parts.
        line: to tell it on; a new one by default.

    Yields:
        What to call after each part.
    """
    line = line or StatusLine()
    began, done = line.now(), 0

    def advance() -> None:
        nonlocal done
        done += 1
        left = (line.now() - began) / done * max(0, of - done)
        line.show(f"{what}: {min(1.0, done / of):.0%}, {format_duration(left)} left")

    with closing(line):
        yield advance


@contextmanager
def patience(what: str, line: StatusLine | None = None) -> Iterator[None]:
    """Tell how long work has taken that nobody can see into."""
    line = line or StatusLine()
    began, over = line.now(), threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            line.show(f"{what}, {format_duration(line.now() - began)} so far")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        line.close()
