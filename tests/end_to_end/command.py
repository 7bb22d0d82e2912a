"""Running the programs as a user does."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
USER_ENVIRONMENT = dict(os.environ)
"""As it was when the tests were collected: Genesis, once it runs in this process, leaves variables of its own."""
NO_OPENGL = {"__EGL_VENDOR_LIBRARY_FILENAMES": os.devnull}
"""What makes this machine one that has no OpenGL to draw with unless there is a display."""


def run_program(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None, timeout: float = 900.0
) -> subprocess.CompletedProcess[str]:
    """Run a program of the repository, such as `train.py`, in the folder `cwd`."""
    return subprocess.run(
        command_line(*arguments),
        cwd=cwd,
        env={**USER_ENVIRONMENT, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def command_line(program: str | Path, *arguments: str | Path) -> list[str]:
    return [sys.executable, str(ROOT / program), *map(str, arguments)]


def assert_one_line_error(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Bad input: exit code 2, one line on stderr that contains the words, no traceback."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 2, result.stderr
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], result.stderr
