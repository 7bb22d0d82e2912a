"""Going on from a model: what is taken over, what starts anew, and machines that have different files."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from ppo.checkpoint.sb3_zip import read_zip
from tests.end_to_end.command import USER_ENVIRONMENT, assert_one_line_error, command_line, run_program

STEPS_PER_ITERATION = 16 * 24
SMOKE = ("--preset", "smoke", "--simulator", "mujoco")
LONGER = ("--total-timesteps", str(2 * STEPS_PER_ITERATION))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which one iteration of the smoke preset has been trained in MuJoCo."""
    folder = tmp_path_factory.mktemp("trained")
    budget = ("--total-timesteps", str(STEPS_PER_ITERATION))
    result = run_program("train.py", *SMOKE, "-e", "walk", *budget, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A working folder with a copy of that run."""
    shutil.copytree(trained / "logs", tmp_path / "logs")
    return tmp_path


def test_a_loaded_model_meets_the_robots_that_are_asked_for(trained: Path, tmp_path: Path) -> None:
    model = trained / "logs" / "walk" / "model_final.zip"
    # Another latency has other delay lines, so nothing of the saved robots could be taken over.
    flags = ("--env.randomization.friction", "0.1", "0.2", "--env.randomization.latency-steps", "0", "3")
    result = run_program("train.py", *SMOKE, "--load-model", model, *LONGER, *flags, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"starting from {model}: its weights, optimiser and {STEPS_PER_ITERATION} steps" in result.stdout
    (final,) = tmp_path.rglob("model_final.zip")
    state = read_zip(final).own_state
    assert state is not None
    friction = state["processes"][0]["env"]["randomization"]["friction"]
    assert 0.1 <= friction.min() <= friction.max() <= 0.2


def test_a_continued_run_says_why_its_robots_start_anew(copy: Path) -> None:
    flags = ("--env.randomization.friction", "0.1", "0.2", "--seed", "2")
    result = run_program("train.py", "--continue-training", "-e", "walk", *LONGER, *flags, cwd=copy)
    assert result.returncode == 0, result.stderr
    assert (
        f"continuing at {STEPS_PER_ITERATION} steps; the robots start new episodes, because these have changed: "
        "--seed --env.randomization.friction\n"
    ) in result.stdout
    model = read_zip(copy / "logs" / "walk" / "model_final.zip")
    assert model.own_state is not None
    friction = model.own_state["processes"][0]["env"]["randomization"]["friction"]
    assert 0.1 <= friction.min() <= friction.max() <= 0.2
    before = read_zip(copy / "logs" / "walk" / f"biped_model_{STEPS_PER_ITERATION}_steps.zip")
    assert not torch.equal(model.parameters["log_std"], before.parameters["log_std"])


@pytest.mark.genesis
def test_a_run_goes_on_in_the_other_engine(copy: Path) -> None:
    flags = ("--simulator", "genesis", "--eval-freq", str(STEPS_PER_ITERATION), "--eval-simulator", "both")
    result = run_program("train.py", "--continue-training", "-e", "walk", *LONGER, *flags, cwd=copy)
    assert result.returncode == 0, result.stderr
    assert (
        f"continuing at {STEPS_PER_ITERATION} steps; the robots start new episodes, because these have changed: "
        "--simulator\n"
    ) in result.stdout
    assert result.stdout.count("Compiling simulator kernels (") == 1
    assert re.search(r"evaluation at 768 steps: genesis: \d of 10 .*; mujoco: \d of 10 trials pass", result.stdout)
    model = read_zip(copy / "logs" / "walk" / "model_final.zip")
    assert model.num_timesteps == 2 * STEPS_PER_ITERATION
    assert model.own_facts is not None
    assert model.own_facts["config"]["simulator"] == "genesis"


def test_machines_with_different_models_end_in_one_line(trained: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for rank in range(2):
        shutil.copytree(trained / "logs", tmp_path / str(rank) / "logs")
    run = tmp_path / "1" / "logs" / "walk"
    for path in run.glob("*.zip"):
        path.unlink()
    other = run_program("train.py", *SMOKE, "-e", "walk", "--seed", "2", *LONGER, cwd=tmp_path / "1")
    assert other.returncode == 0, other.stderr
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    processes = [
        subprocess.Popen(
            command_line("train.py", "--continue-training", "-e", "walk", "--total-timesteps", "100000000"),
            cwd=tmp_path / str(rank),
            env={**USER_ENVIRONMENT, **group, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in processes:
            output, errors = process.communicate(timeout=120.0)
            result = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
            assert_one_line_error(result, "disagree", "384 steps", "768 steps", "same files and flags")
            assert "Compiling" not in output
    finally:
        for process in processes:
            process.kill()


def test_a_process_that_never_comes_is_missed(tmp_path: Path) -> None:
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29571", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "RANK": "0"}
    script = (
        "from datetime import timedelta; import torch; from ppo.processes import join\n"
        "try: join(torch.device('cpu'), patience=timedelta(seconds=2))\n"
        "except ValueError as error: print(error)\n"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [command_line("")[0], "-c", script],
        cwd=root,
        env={**USER_ENVIRONMENT, **group},
        capture_output=True,
        text=True,
        timeout=100.0,
    )
    assert "not all 2 training processes have come to 127.0.0.1:29571 within 2 s" in result.stdout, result.stderr


def test_a_full_disk_at_the_end_is_an_error(copy: Path) -> None:
    # Folders with the names of the files stand in for a disk that refuses them.
    run = copy / "logs" / "walk"
    for name in (f"biped_model_{2 * STEPS_PER_ITERATION}_steps.zip", "model_final.zip"):
        (run / name).unlink(missing_ok=True)
        (run / name / "in the way").mkdir(parents=True)
    result = run_program(
        "train.py", "--continue-training", "-e", "walk", *LONGER, cwd=copy, environment={"TMPDIR": str(copy)}
    )
    assert result.returncode == 1, result.stderr
    assert "model_final.zip could not be saved" in result.stderr
    assert "done" not in result.stdout
    (saved,) = copy.glob("walk-*/model_final.zip")
    assert read_zip(saved).num_timesteps == 2 * STEPS_PER_ITERATION
