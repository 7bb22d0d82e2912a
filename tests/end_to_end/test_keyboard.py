"""Steering in a terminal, with somebody who types."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.command import ROOT, USER_ENVIRONMENT, assert_one_line_error, command_line

pytest.importorskip("mjbatch", reason="needs MuJoCo")

PATIENCE_S = 120.0
LINE = re.compile(r"asked (\S+) (\S+) (\S+)  is (\S+) (\S+) (\S+)  feet ([L-])([R-])(?:  falls \d+)?(  paused)?")


def take_terminal() -> None:
    """Let standard input be the terminal whose Ctrl-C comes here."""
    os.setsid()
    os.close(os.open(os.ttyname(0), os.O_RDWR))


class Steered:
    """The program on a terminal of its own, and what it shows."""

    def __init__(self, folder: Path) -> None:
        self._typist, self._terminal = pty.openpty()
        self.settings = termios.tcgetattr(self._terminal)
        self.shown = ""
        self.program = subprocess.Popen(
            command_line("play.py", "--keyboard", "--command", "0.4", "0", "0"),
            cwd=folder,
            stdin=self._terminal,
            stdout=self._terminal,
            stderr=self._terminal,
            env={**USER_ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": "80", "PYTHONPATH": str(ROOT)},
            preexec_fn=take_terminal,
        )

    def type(self, keys: str) -> None:
        os.write(self._typist, keys.encode())

    def read(self) -> None:
        while select.select([self._typist], [], [], 0.1)[0]:
            self.shown += os.read(self._typist, 65536).decode(errors="replace")

    def wait_for(self, words: str) -> None:
        """Until what is shown last holds words that match."""
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(words, self.shown):
            self.read()
            assert time.monotonic() < deadline, self.shown
            assert self.program.poll() is None, self.shown

    def line(self) -> re.Match[str]:
        """The line as it is a moment from now."""
        self.shown = ""
        self.wait_for(LINE.pattern)
        *_, last = LINE.finditer(self.shown)
        return last

    def end(self) -> int:
        """Exit code of the program, which ends now."""
        deadline = time.monotonic() + PATIENCE_S
        while self.program.poll() is None:
            self.read()
            assert time.monotonic() < deadline
        self.read()
        return self.program.returncode

    def restored(self) -> bool:
        return termios.tcgetattr(self._terminal) == self.settings

    def close(self) -> None:
        self.program.kill()
        self.program.wait()
        os.close(self._terminal)
        os.close(self._typist)


@pytest.fixture
def steered(tmp_path: Path) -> Iterator[Steered]:
    with contextlib.closing(Steered(tmp_path)) as steered:
        steered.wait_for(LINE.pattern)
        yield steered


def test_keys_steer_and_ctrl_d_gives_the_terminal_back(steered: Steered) -> None:
    assert "W S faster forward" in steered.shown
    assert not steered.restored()

    def until(group: int, low: float, high: float) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not low <= float(steered.line()[group]) <= high:
            assert time.monotonic() < deadline, steered.shown

    until(1, 0.4, 0.4)
    until(4, 0.25, 0.55)
    steered.type("ww")
    steered.type("\x1b[A")
    until(1, 0.7, 0.7)
    until(4, 0.55, 0.85)
    steered.type("AQ")
    until(2, 0.05, 0.05)
    until(3, 0.1, 0.1)
    steered.type("p")
    steered.wait_for("paused")
    steered.type("p ")
    until(1, 0.0, 0.0)
    until(4, -0.15, 0.15)
    # What a push does is seen, and so is that both feet carry a robot that stands.
    steered.type("f")
    deadline = time.monotonic() + PATIENCE_S
    while steered.line().group(7, 8) != ("L", "R"):
        assert time.monotonic() < deadline
    steered.type("\x04")
    assert steered.end() == 0
    assert steered.restored()
    assert steered.shown.rindex("\x1b[?25h") > steered.shown.rfind("\x1b[?25l")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(steered: Steered, number: signal.Signals) -> None:
    if number == signal.SIGINT:
        steered.type("\x03")
    else:
        steered.program.send_signal(number)
    assert steered.end() == 128 + number
    assert steered.restored()
    assert steered.shown.endswith("interrupted\r\n")


def test_without_a_terminal_it_is_one_line(tmp_path: Path) -> None:
    result = subprocess.run(
        command_line("play.py", "--keyboard", "--agent", "zero"),
        cwd=tmp_path,
        env=USER_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert_one_line_error(result, "--keyboard", "terminal", "--web")
