"""Several seeds of one experiment: trained, interrupted, continued, compared."""

import re
import signal
import subprocess
import time
from pathlib import Path

from ppo.checkpoint.sb3_zip import read_zip
from tests.end_to_end.command import USER_ENVIRONMENT, assert_one_line_error, command_line, run_program
from tests.end_to_end.test_interruption import interrupt

ITERATION = 16 * 24
STEPS = 50 * ITERATION
SMOKE = ("train.py", "--preset", "smoke", "--simulator", "mujoco", "--device", "cpu", "-e", "walk", "--seeds", "2")
RARE = ("--save-freq", "1000000")
SEEDS = ("walk_seed1", "walk_seed2")


def steps_of(folder: Path, name: str) -> list[int]:
    return [read_zip(folder / "logs" / seed / name).num_timesteps for seed in SEEDS]


def test_seeds_are_interrupted_continued_and_compared(tmp_path: Path) -> None:
    train = (*SMOKE, *RARE, "--total-timesteps", str(STEPS), "--eval-freq", str(STEPS))
    end = interrupt(train, r"seed [12]: 384/19,200 steps", 1.0, signal.SIGINT, tmp_path)
    assert (end.code, end.errors) == (130, "")
    assert re.search(r"seed 1: interrupted\n", end.output)
    (line,) = [line for line in end.output.splitlines() if line.startswith("continue with: ")]
    assert line.endswith("--continue-training")
    before = [list((tmp_path / "logs" / seed).glob("model_interrupted.zip")) for seed in SEEDS]
    assert any(before)

    result = run_program(*train, "--continue-training", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(": continuing at ") == sum(map(len, before))
    assert steps_of(tmp_path, "model_final.zip") == [STEPS, STEPS]
    assert re.search(r"1 │ complete │ +\d+ of 10 │ 19,200 │ +0:00:\d\d │ logs/walk_seed1", result.stdout)
    assert "play.py --compare logs/walk" in result.stdout.splitlines()[-1]

    result = run_program(*train, "--continue-training", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[:2] == [f"seed {seed}: complete in logs/walk_seed{seed}" for seed in (1, 2)]

    one = run_program(*train[:-6], "--seeds", "1", "--continue-training", "-e", "walk_seed2", cwd=tmp_path)
    assert_one_line_error(one, "already been trained")

    result = run_program("play.py", "--compare", "logs/walk", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "A: walk: seed 1, seed 2"
    assert "walk, 2 seeds" in (tmp_path / "comparison.html").read_text(encoding="utf-8")


def test_a_seed_that_fails_does_not_end_the_other(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "walk_seed2").write_text("a file")
    result = run_program(*SMOKE, *RARE, "--total-timesteps", str(ITERATION), cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: seed 2 failed: error: cannot write to logs/walk_seed2")
    assert len(result.stderr.splitlines()) == 1
    assert "failed with exit code 2" in result.stdout
    assert read_zip(tmp_path / "logs" / "walk_seed1" / "model_final.zip").num_timesteps == ITERATION


def test_seeds_whose_program_is_killed_save_and_end(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command_line(*SMOKE, *RARE, "--total-timesteps", str(20 * STEPS)),
        cwd=tmp_path,
        env=USER_ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    missing = {"seed 1: 384/", "seed 2: 384/"}
    for line in process.stdout:
        missing -= {begin for begin in missing if line.startswith(begin)}
        if not missing:
            break
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 60.0
    saved = [tmp_path / "logs" / seed / "model_interrupted.zip" for seed in SEEDS]
    while not all(path.exists() for path in saved):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert min(steps_of(tmp_path, "model_interrupted.zip")) >= ITERATION
