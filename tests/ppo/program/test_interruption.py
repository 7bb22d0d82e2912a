"""Signals end a program at once, whatever it is doing, or are remembered where it has something to finish."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ppo.cpu.kernels import library
from ppo.program.interruption import SIGNALS, deferred, requested

ROOT = Path(__file__).parents[3]
DEAF = "import ctypes; print('ready'); ctypes.PyDLL(None).sleep(30)"
"""Python runs nothing at all for half a minute: the call in C keeps the lock that every thread needs."""
BUSY = """
print("ready")
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""
WAITING = "import ctypes; print('ready'); ctypes.CDLL(None).sleep(30)"
COMPILED = """
from ppo.cpu.kernels import library
from ppo.program.interruption import use_compiled
use_compiled(library())
"""
PREPARE = "from ppo.program.launch import prepare; prepare()\n"


def start(program: str, *, ignored: int | None = None) -> "subprocess.Popen[str]":
    """Run the program until it says that it is ready."""

    def ignore() -> None:
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=ignore,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "program",
    [
        BUSY,
        WAITING,
        pytest.param(COMPILED + DEAF, marks=pytest.mark.skipif(library() is None, reason="needs a C compiler")),
    ],
)
def test_a_signal_ends_the_program_at_once(program: str, number: signal.Signals) -> None:
    process = start(PREPARE + program)
    process.send_signal(number)
    output, errors = process.communicate(timeout=20.0)
    assert (process.returncode, output, errors) == (128 + number, "", "interrupted\n")


@pytest.mark.parametrize("program", [WAITING, COMPILED + WAITING])
@pytest.mark.parametrize("ignored", [signal.SIGHUP, signal.SIGINT])
def test_what_was_ignored_at_the_start_stays_ignored(ignored: signal.Signals, program: str) -> None:
    process = start(PREPARE + program, ignored=ignored)
    process.send_signal(ignored)
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()
    assert process.wait(20.0) == 143


@pytest.mark.parametrize("compiled", ["", COMPILED])
def test_helpers_end_with_the_program_and_with_whoever_started_it(compiled: str) -> None:
    program = """
import os, subprocess, sys
from ppo.program.interruption import end_together_with, helper_environment
sleeper = "from ppo.program.launch import prepare; prepare(); import time; print('ready'); time.sleep(60)"
helper = subprocess.Popen([sys.executable, "-c", sleeper], env={**os.environ, **helper_environment()})
end_together_with([helper])
import time; time.sleep(60)
"""
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = start(PREPARE + compiled + program)
        process.send_signal(number)
        # Ends when nobody holds the pipe any more.
        _, errors = process.communicate(timeout=20.0)
        assert errors == ("interrupted\n" if number == signal.SIGTERM else "")


def test_deferred_remembers_and_puts_back_what_was_there() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen: list[int] = []
    with deferred(lambda number, frame: seen.append(number)):
        assert requested() is None
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert seen == [signal.SIGTERM, signal.SIGINT]
        assert requested() == signal.SIGTERM
    assert requested() == signal.SIGTERM
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with deferred():
        assert requested() is None


@pytest.mark.parametrize("compiled", ["", COMPILED])
def test_after_deferred_a_signal_ends_the_program_again(compiled: str) -> None:
    program = """
import os, signal
from ppo.program.interruption import deferred, requested
with deferred():
    os.kill(os.getpid(), signal.SIGHUP)
    assert requested() == signal.SIGHUP
"""
    process = start(PREPARE + compiled + program + WAITING)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20.0)[1] == "interrupted\n"
    assert process.returncode == 130


def test_the_second_signal_ends_at_once_where_nothing_else_is_asked_for() -> None:
    program = """
import time
from ppo.program.interruption import deferred
with deferred():
    print("ready")
    while True:
        time.sleep(0.01)
"""
    process = start(PREPARE + program)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20.0)[1] == "interrupted\n"
    assert process.returncode == 130
