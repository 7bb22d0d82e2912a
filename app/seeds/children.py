"""Programs that run side by side, each with a share of the machine; signals reach all of them."""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import FrameType

from ppo.program.interruption import deferred, helper_environment, requested

POLL_SECONDS = 0.1


class Child:
    """One program.

    Args:
        name: what it is called on the screen.
        words: its command line.
    """

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self.name = name
        self.words = words
        self.last_line = ""
        """What it has said last, on standard output or standard error."""
        self.process: subprocess.Popen[str] | None = None
        """None before it has been started."""
        self._reader: threading.Thread | None = None
        self._signals = 0

    def start(self, environment: dict[str, str], said: Callable[[str, str], None]) -> None:
        """Start it; `said` is called with its name and each line that it says, on another thread."""
        self.process = process = subprocess.Popen(
            self.words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **environment, **helper_environment(signal.SIGTERM)},
            # A terminal sends Ctrl-C to a whole group of processes, and a second signal is an order to hurry.
            start_new_session=True,
        )

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip():
                    self.last_line = line.rstrip()
                    said(self.name, self.last_line)

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()

    def tell(self, signals: Sequence[int]) -> None:
        """Send those of the signals that it has not got yet."""
        if self.process is not None:
            for number in signals[self._signals :]:
                self._signals += 1
                self.process.send_signal(number)

    def ended(self) -> bool:
        """Whether it has been started and has ended; then all that it said has been told."""
        if self.process is None or self.process.poll() is None:
            return False
        if self._reader is not None:
            # What it has left behind may hold the pipe open.
            self._reader.join(timeout=5.0)
        return True

    @property
    def code(self) -> int | None:
        """Its exit code, as shells have it; None before it has ended."""
        code = None if self.process is None else self.process.returncode
        return 128 - code if code is not None and code < 0 else code


def run_side_by_side(
    children: Sequence[Child],
    at_once: int,
    environment: dict[str, str],
    said: Callable[[str, str], None],
    ended: Callable[[Child], None],
) -> int | None:
    """Run all, `at_once` at the same time, in their order. One that fails does not end the others.

    SIGINT, SIGTERM and SIGHUP are handed on to those that run, no others are started, and what they still do is waited
    for.

    Args:
        children: what to run.
        at_once: how many at the same time.
        environment: variables that they get beside this program's own.
        said: called with the name and the line when one says something, on another thread.
        ended: called with each that has ended.

    Returns:
        The number of the first signal, None without one.
    """
    waiting, running = deque(children), list[Child]()
    signals: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        signals.append(number)

    with deferred(hand_on):
        while running or (waiting and not signals):
            while waiting and len(running) < at_once and not signals:
                running.append(waiting.popleft())
                running[-1].start(environment, said)
            for child in running:
                child.tell(signals)
            for child in [child for child in running if child.ended()]:
                running.remove(child)
                ended(child)
            time.sleep(POLL_SECONDS)
    return requested()
