"""Programs whose reader goes away, and terminals that lack letters."""

import subprocess
import sys
from pathlib import Path

import pytest

from ppo.checkpoint.sb3_zip import write_zip
from ppo.program.standard_output import CLOSED_PIPE
from tests.end_to_end.command import ROOT
from tests.ppo.checkpoint.checkpoint_models import tiny_model


def run_without_reader(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program whose output is a pipe that its reader has closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, "", errors)


MAIN = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_{}(sys.argv[0], run_name='__main__')"


@pytest.mark.parametrize("program", ["train.py", "play.py"])
def test_help_that_nobody_reads(program: str) -> None:
    result = run_without_reader(MAIN.format("path"), program, "--help")
    # Old versions of tyro print through argparse, which passes over a reader that is gone.
    assert result.returncode in (0, CLOSED_PIPE)
    assert result.stderr == ""


def test_a_description_that_nobody_reads(tmp_path: Path) -> None:
    write_zip(tmp_path / "model.zip", tiny_model())
    result = run_without_reader(MAIN.format("module"), "ppo.checkpoint", "inspect", str(tmp_path / "model.zip"))
    assert (result.returncode, result.stderr) == (CLOSED_PIPE, "")


def test_another_broken_pipe_is_no_closed_terminal() -> None:
    program = "from ppo.program.standard_output import printing\nwith printing(): raise BrokenPipeError('elsewhere')"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "BrokenPipeError: elsewhere" in result.stderr


def test_letters_that_the_terminal_lacks_are_written_as_numbers() -> None:
    program = "from ppo.program.standard_output import printing\nwith printing(): print('\\u2192 \\udcff')"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env={"PYTHONIOENCODING": "ascii"}
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "\\u2192 \\udcff\n", "")
