import contextlib
import os
import pty
import termios
from collections.abc import Iterator

import pytest

from app.keyboard.terminal import DOWN, END, LEFT, RIGHT, UP, Terminal, decode


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Who types, and the terminal."""
    typist, descriptor = pty.openpty()
    yield typist, descriptor
    os.close(typist)
    os.close(descriptor)


@pytest.mark.parametrize(
    ("text", "keys", "rest"),
    [
        ("wA ", ["w", "A", " "], ""),
        ("\x1b[A\x1b[B\x1b[C\x1b[D", [UP, DOWN, RIGHT, LEFT], ""),
        ("\x1bOAx", [UP, "x"], ""),
        ("\x1b[1;5Dw", [LEFT, "w"], ""),
        ("\x1b[3~\x1b[Hw", ["w"], ""),
        ("w\x1b", ["w"], "\x1b"),
        ("\x1b[", [], "\x1b["),
        ("\x1b[1;", [], "\x1b[1;"),
        ("\x1b\x1b[A", [UP], ""),
        ("\n\x04", ["\n", END], ""),
    ],
)
def test_what_a_terminal_sends_becomes_keys(text: str, keys: list[str], rest: str) -> None:
    assert decode(text) == (keys, rest)


def test_keys_come_at_once_and_in_parts(ends: tuple[int, int]) -> None:
    typist, descriptor = ends
    with Terminal(descriptor) as terminal:
        assert terminal.pressed() == []
        os.write(typist, b"ws\x1b")
        assert terminal.pressed() == ["w", "s"]
        os.write(typist, b"[Ad")
        assert terminal.pressed() == [UP, "d"]


def test_the_terminal_is_as_it_was_also_after_an_error(ends: tuple[int, int]) -> None:
    typist, descriptor = ends
    before = termios.tcgetattr(descriptor)
    assert before[3] & termios.ECHO
    with contextlib.suppress(RuntimeError), Terminal(descriptor):
        within = termios.tcgetattr(descriptor)
        assert not within[3] & (termios.ECHO | termios.ICANON)
        assert within[3] & termios.ISIG
        os.write(typist, b"typed too late\n")
        raise RuntimeError
    assert termios.tcgetattr(descriptor) == before


def test_a_terminal_that_is_gone_is_the_end() -> None:
    typist, descriptor = pty.openpty()
    terminal = Terminal(descriptor)
    os.close(typist)
    assert terminal.pressed() == [END]
    os.close(descriptor)
