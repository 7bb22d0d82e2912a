"""`biped-sweep` as a user calls it: real trainings, tiny ones, and its result as the start of another training."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.command import ROOT, USER_ENVIRONMENT, assert_one_line_error, run_program

pytest.importorskip("mjbatch")
pytest.importorskip("optuna")

FLAGS = ("--preset", "smoke", "--simulator", "mujoco", "--total-timesteps", "384", "--eval-freq", "384")
VARY = ("--vary", "ppo.learning-rate=1e-3..4e-3:log", "--vary", "ppo.n-epochs=1,2")


def sweep(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `python -m app.sweep` in the folder `cwd`."""
    return subprocess.run(
        [sys.executable, "-m", "app.sweep", "--folder", "found", *VARY, *arguments],
        cwd=cwd,
        env={**USER_ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900.0,
    )


def test_a_sweep_is_resumed_and_its_best_flags_train(tmp_path: Path) -> None:
    result = sweep(*FLAGS, "--trials", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    result = sweep(*FLAGS, "--trials", "2", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "going on in found after 1 of 2 trials" in result.stdout
    assert result.stderr == ""
    for number in (0, 1):
        assert (tmp_path / "found" / f"trial_{number}" / "model_best.zip").is_file()
    result = run_program("train.py", "--config", "found/best.yaml", "--exp-name", "best", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "logs" / "best" / "model_final.zip").is_file()


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    assert_one_line_error(sweep(*FLAGS, "--vary", "ppo.foo=1,2", cwd=tmp_path), "--vary ppo.foo=1,2", "no flag")
    assert list(tmp_path.iterdir()) == []
