"""Bad input ends with one line on stderr and exit code 2, before anything is written."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from app.training import main
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.checkpoint.sb3_zip import write_zip
from ppo.policy import PolicyConfig, RecurrentActorCritic
from tests.end_to_end.command import assert_one_line_error, command_line, run_program


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nm-envs", "5"], ["--nm-envs", "--num-envs"]),
        (["--num-envs", "0"], ["--num-envs", "0"]),
        (["--num-envs", "-4"], ["--num-envs", "-4"]),
        (["--num-envs", "many"], ["--num-envs", "many"]),
        (["--seeds", "0"], ["--seeds must be from 1 to 1000, not 0"]),
        (["--seeds", "2", "--num-envs", "6"], ["--ppo.n-minibatches 4 does not divide 6", "--num-envs"]),
        (["--total_timesteps", "0"], ["--total-timesteps"]),
        (["--save-freq", "0"], ["--save-freq"]),
        (["--num-envs", "6"], ["--ppo.n-minibatches 4 does not divide 6", "--num-envs"]),
        (["--ppo.batch-size", "100"], ["--ppo.batch-size 100"]),
        (["--ppo.n-epochs", "0"], ["--ppo.n-epochs"]),
        (["--preset", "fast"], ["--preset", "fast", "cpu"]),
        (["--device", "gpu"], ["--device gpu"]),
        (["--precision", "fp8"], ["--precision"]),
        (["--load-model", "missing.zip"], ["--load-model", "missing.zip"]),
        (["--continue-training"], ["--continue-training", "biped-walking-sb3-recurrentppo"]),
        (["--exp-name", "a/b"], ["--exp-name"]),
        (["--env.terminations.tilt-limit-deg", "steep"], ["--env.terminations.tilt-limit-deg"]),
        (["--processes", "3", "--num-envs", "16"], ["--num-envs 16", "3 processes"]),
        (["--env.observations.critic-only", "wings"], ["--env.observations.critic-only", "base_height", "wings"]),
        (["--env.observations.friction", "--policy.critic", "shared"], ["--policy.critic", "lstm or linear"]),
        (["--env.observations.friction", "--policy.features", "64"], ["--policy.features", "must be empty"]),
    ],
)
def test_flags(
    arguments: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, as a new one takes seconds to import PyTorch; the other tests start programs."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    result = subprocess.CompletedProcess(arguments, int(str(end.value.code)), *capsys.readouterr())
    assert_one_line_error(result, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_where_there_is_none(tmp_path: Path) -> None:
    result = run_program("train.py", "--device", "cuda", cwd=tmp_path)
    assert_one_line_error(result, "--device cuda", "use cpu")


def test_not_a_zip(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_text("not a zip")
    result = run_program("train.py", "--load-model", "model.zip", cwd=tmp_path)
    assert_one_line_error(result, "--load-model", "model.zip", "zip")


def test_a_zip_that_is_no_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("photo.txt", "sunset")
    result = run_program("train.py", "--load-model", "photos.zip", cwd=tmp_path)
    assert_one_line_error(result, "--load-model", "photos.zip")


def test_unreadable_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "model.zip").mkdir()
    assert_one_line_error(run_program("train.py", "--load-model", "model.zip", cwd=tmp_path), "model.zip")


def test_model_of_another_robot(tmp_path: Path) -> None:
    write_zip(tmp_path / "other.zip", small_model(observation_dim=12, action_dim=3))
    result = run_program("train.py", "--preset", "smoke", "--load-model", "other.zip", cwd=tmp_path)
    assert_one_line_error(result, "12 observations and gives 3 actions", "40 and 9")
    assert not (tmp_path / "logs").exists()


def test_model_that_is_already_trained(tmp_path: Path) -> None:
    write_zip(tmp_path / "done.zip", small_model(observation_dim=40, action_dim=9))
    result = run_program(
        "train.py", "--preset", "smoke", "--load-model", "done.zip", "--total-timesteps", "384", cwd=tmp_path
    )
    assert_one_line_error(result, "1000 steps", "--total-timesteps")


def test_wandb_that_is_not_installed(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "wandb").mkdir(parents=True)
    (hidden / "wandb" / "__init__.py").write_text("raise ImportError('hidden')")
    result = run_program(
        "train.py", "--preset", "smoke", "--wandb", cwd=tmp_path, environment={"PYTHONPATH": str(hidden)}
    )
    assert_one_line_error(result, "--wandb", "pip install wandb")


def test_genesis_without_the_libraries_that_it_needs(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "genesis").mkdir(parents=True)
    (hidden / "genesis" / "__init__.py").write_text("raise ImportError('Unable to load OpenGL or GL library')")
    result = run_program("train.py", "--preset", "smoke", cwd=tmp_path, environment={"PYTHONPATH": str(hidden)})
    assert_one_line_error(result, "cannot be imported (Unable to load OpenGL", "apt install libgl1 libegl1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_log_folder_without_write_permission(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(mode=0o500)
    assert_one_line_error(run_program("train.py", "--preset", "smoke", cwd=tmp_path), "logs")


def test_log_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    assert_one_line_error(run_program("train.py", "--preset", "smoke", cwd=tmp_path), "logs", "--log-dir")


def test_a_model_beside_statistics_of_observations(tmp_path: Path) -> None:
    write_zip(tmp_path / "model.zip", small_model(observation_dim=40, action_dim=9))
    (tmp_path / "vecnormalize.pkl").touch()
    (tmp_path / "logs").write_text("a file, so that no training begins")
    result = run_program("train.py", "--preset", "smoke", "--load-model", "model.zip", cwd=tmp_path)
    warning, error = result.stderr.splitlines()
    assert warning.startswith("warning: model.zip: beside it lies vecnormalize.pkl")
    assert "logs" in error


@pytest.mark.skipif(os.name != "posix", reason="POSIX limits")
def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    words = ["sh", "-c", 'ulimit -f 1 && exec "$@"', "sh", *command_line("train.py", "--preset", "smoke")]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert_one_line_error(result, "config.yaml: File too large", "--log-dir")
    assert not list((tmp_path / "logs").iterdir())


def test_a_run_of_another_name_is_pointed_at(tmp_path: Path) -> None:
    for name in ("walk", "-x"):
        (tmp_path / "logs" / name).mkdir(parents=True)
        write_zip(tmp_path / "logs" / name / "model_final.zip", small_model(observation_dim=40, action_dim=9))
    result = run_program("train.py", "--continue-training", cwd=tmp_path)
    assert_one_line_error(result, "no run called biped-walking-sb3-recurrentppo", "--exp-name", "walk", "-x")


def small_model(observation_dim: int, action_dim: int) -> Sb3Model:
    policy = PolicyConfig(lstm_hidden_size=8, n_lstm_layers=1, pi=(8,), vf=(8,))
    return Sb3Model(
        policy=policy,
        observation_dim=observation_dim,
        action_low=(-1.0,) * action_dim,
        action_high=(1.0,) * action_dim,
        parameters=dict(RecurrentActorCritic(policy, observation_dim, action_dim).state_dict()),
        optimizer=None,
        hyperparameters={},
        num_timesteps=1000,
        n_updates=10,
    )
