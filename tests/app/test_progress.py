import io
import re
import threading
from collections.abc import Callable
from typing import TextIO

import pytest

from app.progress import PRINTED_S, REDRAWN_S, StatusLine, patience, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """s that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    return Clock()


def plain(shown: str) -> list[str]:
    """The lines that were there, one after the other, without what moves the cursor."""
    return [line for line in re.split(r"[\r\n]+|\x1b\[[?0-9;]*[A-Za-z]", shown) if line]


def test_elsewhere_a_line_is_printed_every_ten_seconds_and_none_of_short_work(clock: Clock) -> None:
    stream = io.StringIO()
    with progress("examining", 100, StatusLine(stream, clock)) as advance:
        for _ in range(45):
            clock.seconds += 0.5
            advance()
    assert stream.getvalue() == "examining: 20%, 0:00:40 left\nexamining: 40%, 0:00:30 left\n"
    stream = io.StringIO()
    with progress("examining", 10, StatusLine(stream, clock)) as advance:
        for _ in range(10):
            clock.seconds += 0.09 * PRINTED_S
            advance()
    assert stream.getvalue() == ""


def test_on_a_terminal_it_changes_in_place_and_is_gone_afterwards(clock: Clock) -> None:
    terminal = Terminal()
    with progress("filming", 4, StatusLine(terminal, clock)) as advance:
        for _ in range(4):
            clock.seconds += 1.0
            advance()
    # The last one is drawn once more before it is taken away.
    shown = plain(terminal.getvalue())
    assert list(dict.fromkeys(shown)) == [
        "filming: 25%, 0:00:03 left",
        "filming: 50%, 0:00:02 left",
        "filming: 75%, 0:00:01 left",
        "filming: 100%, 0:00:00 left",
    ]
    assert terminal.getvalue().endswith("\x1b[2K")
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


def test_it_is_not_drawn_more_often_than_anybody_can_read(clock: Clock) -> None:
    terminal = Terminal()
    line = StatusLine(terminal, clock)
    for number in range(10):
        line.show(f"number {number}")
        clock.seconds += 0.3 * REDRAWN_S
    line.close()
    assert list(dict.fromkeys(plain(terminal.getvalue()))) == ["number 0", "number 4", "number 8"]


def test_a_line_stays_one_line_on_a_narrow_terminal(clock: Clock) -> None:
    terminal = Terminal()
    line = StatusLine(terminal, clock)
    line.show("a long story about [everything] " * 5)
    line.close()
    assert {len(text) for text in plain(terminal.getvalue())} == {40}
    assert "[everything]" in terminal.getvalue()


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_what_nobody_can_see_into_is_told_for_as_long_as_it_takes(make: Callable[[], TextIO], clock: Clock) -> None:
    stream = make()
    with patience("compiling", StatusLine(stream, clock)):
        clock.seconds += 75.0
        deadline = threading.Event()
        while "0:01:15" not in stream.getvalue():  # type: ignore[attr-defined]
            assert not deadline.wait(0.05)
    assert "compiling, 0:01:15 so far" in plain(stream.getvalue())  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if "watch" in thread.name]
