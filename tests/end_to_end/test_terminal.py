"""What a user sees on a terminal, where colours and widths come into play: the other tests read from pipes."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.end_to_end.command import ROOT, USER_ENVIRONMENT, command_line


def run_on_terminal(words: list[str], cwd: Path, columns: int = 40) -> tuple[int, str]:
    """Run a command on a narrow colour terminal; returns its exit code and all it shows."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in USER_ENVIRONMENT.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        words,
        cwd=cwd,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**environment, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # Linux' way to say that the last program has closed the terminal
            break
        if not part:
            break
        shown += part
    os.close(controller)
    return process.wait(timeout=60), shown.decode()


PROGRAMS = """
import json, runpy, sys
for program, words in json.loads(sys.argv[1]):
    sys.argv = [program, *words]
    try:
        run = runpy.run_path if program.endswith(".py") else runpy.run_module
        run(program, run_name="__main__")
    except SystemExit as end:
        print("exit code", end.code, flush=True)
"""
"""Runs several programs, one after the other in one process, because their imports take seconds."""

CASES = [
    ("train.py", ["--nm-envs", "5"], ["--nm-envs", "--num-envs"]),
    ("train.py", ["--num-envs", "0"], ["--num-envs must be from 1 to 10000000, not 0"]),
    ("train.py", ["--num-envs", "many"], ["--num-envs", "'many'"]),
    ("train.py", ["--exp-name"], ["--exp-name", "value"]),
    ("train.py", ["--preset", "fast"], ["--preset", "'fast'"]),
    ("train.py", ["--env.randomization.friction", "0.5"], ["--env.randomization.friction"]),
    ("train.py", ["--env.rewards.alive", "x" * 300], ["--env.rewards.alive", "x" * 300]),
    ("train.py", ["--ppo.gamma", "2"], ["--ppo.gamma must be from 0 to 1, not 2.0"]),
    ("train.py", ["--adaptive-lr", "--ppo.learning-rate", "1"], ["--ppo.learning-rate", "0.0003"]),
    ("train.py", ["--continue-training", "-enone"], ["--continue-training", "none"]),
    ("train.py", ["--exp-name", "\x1b[31m"], ["--exp-name", "\\x1b[31m"]),
    ("train.py", ["--processes", "3", "--num-envs", "16"], ["--num-envs 16", "3 processes"]),
    ("train.py", ["--env.harmonic-motion.joints", "wing"], ["--env.harmonic-motion.joints", "wing"]),
    ("play.py", ["--seconds", "1e300"], ["--seconds must be from 0.1 to 1e+06, not 1e+300"]),
    ("play.py", ["--command", "0.3", "0"], ["--command"]),
    ("play.py", ["--agent", "tired"], ["--agent", "'tired'"]),
    ("play.py", ["missing.zip"], ["missing.zip"]),
    ("play.py", ["missing.zip", "-e", "walk"], ["--exp-name", "missing.zip"]),
    ("ppo.checkpoint", [], ["command"]),
    ("ppo.checkpoint", ["inspect"], ["file"]),
    ("ppo.checkpoint", ["explode"], ["'explode'"]),
    ("ppo.checkpoint", ["inspect", "missing.zip"], ["missing.zip"]),
]
"""Program, arguments, and words that the message must hold."""


def test_an_error_is_one_plain_line(tmp_path: Path) -> None:
    runs = [(str(ROOT / program) if program.endswith(".py") else program, words) for program, words, _ in CASES]
    code, shown = run_on_terminal([sys.executable, "-c", PROGRAMS, json.dumps(runs)], tmp_path)
    assert code == 0, shown
    lines = shown.splitlines()
    assert len(lines) == 2 * len(CASES), shown
    for line, end, (program, words, parts) in zip(lines[::2], lines[1::2], CASES, strict=True):
        assert end == "exit code 2", (program, words, line)
        assert line.isprintable(), line
        assert not set(line) & set("╭╰│─"), line
        assert [part for part in parts if part not in line] == [], line
    assert not list(tmp_path.iterdir())


def test_a_program_of_its_own_says_the_same(tmp_path: Path) -> None:
    code, shown = run_on_terminal(command_line("train.py", "--num-envs", "0"), tmp_path)
    assert (code, shown) == (2, "error: --num-envs must be from 1 to 10000000, not 0\r\n")


def test_an_examination_tells_how_far_it_has_come(tmp_path: Path) -> None:
    pytest.importorskip("mjbatch", reason="needs MuJoCo")
    words = ("--agent", "zero", "--simulator", "mujoco", "--evaluate", "-B", "1", "--seconds", "3")
    code, shown = run_on_terminal(command_line("play.py", *words, "--command", "0", "0", "0"), tmp_path)
    assert code == 0, shown
    shares = [int(share) for share in re.findall(r"examining: (\d+)%, \d:\d\d:\d\d left", shown)]
    assert shares == sorted(shares)
    assert 50 < shares[-1] <= 100
