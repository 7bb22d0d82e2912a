"""The commands that are printed can be typed as they stand."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from app.command_line import parse
from app.experiment import Experiment
from app.next_command import ROOT, command
from app.play_flags import PlayOptions
from app.run_files import next_command


def test_the_usual_case_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", str(folder))
    assert command("train.py", "--continue-training") == "python train.py --continue-training"
    assert command("play.py", options={"--exp-name": "walk"}) == "python play.py --exp-name walk"
    monkeypatch.setenv("PATH", "")
    assert command("play.py") == f"{folder}/python play.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py")])
    assert command("play.py") == f"bin/python {ROOT}/play.py"
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert command("play.py") == f"bin/python {ROOT}/play.py"


@pytest.mark.parametrize(
    ("exp_name", "log_dir"),
    [
        ("walk", "logs"),
        ("-x", "logs"),
        ("--exp-name", "-dashed"),
        ("a b'c\"", "/tmp/two words"),
        ("$HOME;#", "[a]*"),
        ("a=b", "=c"),
        ("ä", "two\nlines"),
        ("walk", os.fsdecode(b"latin-\xe4")),
        (Experiment().exp_name, "logs"),
    ],
)
def test_every_name_is_read_back(exp_name: str, log_dir: str) -> None:
    experiment, folder = Experiment(exp_name=exp_name, log_dir=Path(log_dir)), Path(log_dir, exp_name)
    *_, program, flag = shlex.split(next_command(experiment, folder, interrupted=True))[:3]
    assert (Path(program).name, flag) == ("train.py", "--continue-training")
    words = shlex.split(next_command(experiment, folder, interrupted=True))[2:]
    read = parse(Experiment, Experiment(), words, program="train.py", description="")
    assert (read.exp_name, read.log_dir, read.continue_training) == (exp_name, Path(log_dir), True)
    words = shlex.split(next_command(experiment, folder, interrupted=False))[2:]
    options = parse(PlayOptions, PlayOptions(), words, program="play.py", description="")
    assert (options.exp_name, options.log_dir) == (exp_name, Path(log_dir))


def test_the_command_works_where_the_program_was_called(tmp_path: Path) -> None:
    """In another folder, by a relative path, with an interpreter that is not first in PATH."""
    script = os.path.relpath(ROOT / "train.py", tmp_path)
    code = (
        "import sys; sys.argv[0] = sys.argv[1]; sys.path.insert(0, sys.argv[2])\n"
        "from app.next_command import command; print(command('play.py', '--help'))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, script, str(ROOT)], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert str(Path(script).parent / "play.py") in printed
    result = subprocess.run(printed, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--exp-name" in result.stdout
