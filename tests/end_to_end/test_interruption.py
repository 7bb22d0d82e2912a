"""Whoever asks a program to end gets what he asked for, from its first line to its last."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from ppo.checkpoint.sb3_zip import read_zip
from tests.end_to_end.command import USER_ENVIRONMENT, command_line

COMPILE = ("train.py", "--device", "cpu", "--preset", "smoke", "-e", "walk", "--total-timesteps")
TRAIN = (*COMPILE[:1], "--simulator", "mujoco", *COMPILE[1:])
FOR_EVER, ONE_UPDATE = "100000000", str(16 * 24)
PLAY = ("play.py", "--device", "cpu", "--no-viewer", "--seconds", "1000")
LONGEST_SECONDS = 15.0
"""s that a busy machine may take for what takes less than two on a free one."""


HEEDING_SIGNALS = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


class End(NamedTuple):
    """How a program ended."""

    code: int
    output: str
    errors: str


def interrupt(
    arguments: tuple[str, ...], line: str, seconds: float, number: int, cwd: Path, *, everyone: bool = False
) -> End:
    """Run a program and send the signal some seconds after a line that the pattern is found in.

    Args:
        arguments: Program and flags.
        line: Regular expression.
        seconds: s.
        number: The signal.
        cwd: Where the program runs.
        everyone: Send it to the program's helpers as well, as a terminal does.
    """
    process = subprocess.Popen(
        # A shell that puts the tests into the background lets them, and so what they start, ignore Ctrl-C.
        [sys.executable, "-c", HEEDING_SIGNALS, *command_line(*arguments)],
        cwd=cwd,
        env=USER_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        seen = ""
        for text in process.stdout:
            seen += text
            if re.search(line, text):
                break
        time.sleep(seconds)
        (os.killpg if everyone else os.kill)(process.pid, number)
        begin = time.perf_counter()
        # Helpers that go on hold the pipes open, so this waits for them as well.
        output, errors = process.communicate(timeout=60.0)
        assert time.perf_counter() - begin < LONGEST_SECONDS
    finally:
        process.kill()
        process.wait()
    return End(process.returncode, seen + output, errors)


@pytest.mark.genesis
@pytest.mark.parametrize(
    ("line", "seconds", "number"),
    [
        ("training in", 0.1, signal.SIGINT),
        ("Compiling simulator", 0.3, signal.SIGINT),
        ("Compiling simulator", 6.0, signal.SIGINT),
        ("Compiling simulator", 10.0, signal.SIGHUP),
    ],
)
def test_before_training_there_is_nothing_to_save(
    line: str, seconds: float, number: signal.Signals, tmp_path: Path
) -> None:
    end = interrupt((*COMPILE, FOR_EVER), line, seconds, number, tmp_path)
    assert (end.code, end.errors) == (128 + number, "interrupted\n")
    assert "saved" not in end.output


@pytest.mark.genesis
@pytest.mark.parametrize("everyone", [False, True])
def test_helpers_that_compile_end_too(everyone: bool, tmp_path: Path) -> None:
    arguments = (*COMPILE, FOR_EVER, "--processes", "2")
    end = interrupt(arguments, "Compiling simulator", 4.0, signal.SIGINT, tmp_path, everyone=everyone)
    assert (end.code, end.errors) == (130, "interrupted\n")


def test_a_closed_terminal_costs_no_training(tmp_path: Path) -> None:
    end = interrupt((*TRAIN, FOR_EVER), "steps/s", 0.0, signal.SIGHUP, tmp_path)
    assert (end.code, end.errors) == (129, "")
    assert "interrupted; continue with" in end.output
    assert read_zip(tmp_path / "logs" / "walk" / "model_interrupted.zip").num_timesteps >= int(ONE_UPDATE)


def test_an_examination_is_given_up(tmp_path: Path) -> None:
    # Many physics steps, so that an examination takes seconds on a fast machine as well.
    slow = ("--simulation.substeps", "16")
    arguments = (*TRAIN, FOR_EVER, *slow, "--eval-freq", ONE_UPDATE, "--save-freq", FOR_EVER)
    # After the first evaluation follows an update of tenths of a second and then the second evaluation.
    end = interrupt(arguments, "evaluation at 384 steps", 2.0, signal.SIGINT, tmp_path)
    assert (end.code, end.errors) == (130, "")
    assert "evaluation at 768 steps: interrupted" in end.output
    assert "continue with" in end.output
    assert read_zip(tmp_path / "logs" / "walk" / "model_interrupted.zip").num_timesteps == 2 * int(ONE_UPDATE)


def test_after_the_last_save_the_training_is_complete(tmp_path: Path) -> None:
    end = interrupt((*TRAIN, ONE_UPDATE), "model_final.zip", 0.0, signal.SIGTERM, tmp_path)
    assert end.code == 143
    assert end.errors in ("", "interrupted\n")
    assert "continue with" not in end.output
    assert read_zip(tmp_path / "logs" / "walk" / "model_final.zip").num_timesteps == int(ONE_UPDATE)


@pytest.mark.parametrize(
    ("flags", "line", "seconds", "number"),
    [
        pytest.param(("--simulator", "genesis"), "Compiling simulator", 2.0, signal.SIGINT, marks=pytest.mark.genesis),
        (("--simulator", "mujoco", "--episodes", FOR_EVER), "trained for", 8.0, signal.SIGTERM),
        (("--simulator", "mujoco", "--evaluate"), "examining", 1.0, signal.SIGINT),
    ],
)
def test_play(flags: tuple[str, ...], line: str, seconds: float, number: signal.Signals, tmp_path: Path) -> None:
    end = interrupt((*PLAY, *flags), line, seconds, number, tmp_path)
    assert (end.code, end.errors) == (128 + number, "interrupted\n")
