"""Training, continuing, interrupting and playing on the real simulator, as a user does it."""

import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from ppo.checkpoint.sb3_zip import read_zip
from tests.end_to_end.command import NO_OPENGL, USER_ENVIRONMENT, assert_one_line_error, command_line, run_program

pytestmark = pytest.mark.genesis

STEPS_PER_ITERATION = 16 * 24


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the smoke preset has been trained to its end, with Weights & Biases offline."""
    folder = tmp_path_factory.mktemp("trained")
    # As on a server that cannot draw.
    environment = {"WANDB_MODE": "offline", **NO_OPENGL}
    result = run_program("train.py", "--preset", "smoke", "--wandb", "-e", "walk", cwd=folder, environment=environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "Compiling simulator kernels took" in result.stdout
    assert "play.py --exp-name walk" in result.stdout
    assert "\x1b" not in result.stdout
    return folder


def run_folder(folder: Path) -> Path:
    return folder / "logs" / "walk"


def test_output_structure(trained: Path) -> None:
    folder = run_folder(trained)
    steps = [STEPS_PER_ITERATION * iteration for iteration in (1, 2, 3)]
    assert {path.name for path in folder.iterdir()} == {
        *(f"biped_model_{step}_steps.zip" for step in steps),
        "model_final.zip",
        "config.yaml",
        "cfgs.pkl",
        "RecurrentPPO_1",
    }
    document = yaml.safe_load((folder / "config.yaml").read_text())
    assert document["experiment"]["num_envs"] == 16
    assert document["experiment"]["seed"] == 1
    assert document["run"]["packages"]["torch"] is not None
    with (folder / "cfgs.pkl").open("rb") as file:
        assert pickle.load(file) == document["experiment"]


def test_tensorboard(trained: Path) -> None:
    events = EventAccumulator(str(run_folder(trained) / "RecurrentPPO_1"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {
        "rollout/ep_rew_mean",
        "rollout/ep_len_mean",
        "time/fps",
        "train/approx_kl",
        "train/clip_fraction",
        "train/entropy_loss",
        "train/explained_variance",
        "train/learning_rate",
        "train/loss",
        "train/policy_gradient_loss",
        "train/std",
        "train/value_loss",
        "reward/track_vx",
        "episode/fall_tilt",
        "tracking/velocity_error",
        "perf/simulation_seconds",
    } <= tags
    assert [event.step for event in events.Scalars("train/approx_kl")] == [
        STEPS_PER_ITERATION * iteration for iteration in (1, 2, 3)
    ]


def test_wandb_offline(trained: Path) -> None:
    assert list(trained.rglob("*.wandb"))


def test_the_checkpoint_loads_in_stable_baselines3(trained: Path) -> None:
    program = (
        "import sys, numpy\n"
        "from sb3_contrib import RecurrentPPO\n"
        "model = RecurrentPPO.load(sys.argv[1], device='cpu')\n"
        "observation = numpy.linspace(-1, 1, 2 * 40, dtype='float32').reshape(2, 40)\n"
        "state, start = None, numpy.ones(2, dtype=bool)\n"
        "for _ in range(3):\n"
        "    action, state = model.predict(observation, state, start, deterministic=True)\n"
        "    start[:] = False\n"
        "print(*action.flatten().tolist())\n"
    )
    path = run_folder(trained) / "model_final.zip"
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    theirs = torch.tensor([float(word) for word in result.stdout.split()]).view(2, 9)

    from ppo.policy import RecurrentActorCritic

    model = read_zip(path)
    policy = RecurrentActorCritic(model.policy, model.observation_dim, len(model.action_low))
    policy.load_state_dict(model.parameters)
    observation = torch.linspace(-1, 1, 2 * 40).view(2, 40)
    state, start = policy.initial_state(2).actor, torch.ones(2, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(3):
            action, _, state, _ = policy.act(observation, state, start)
            start = torch.zeros_like(start)
    torch.testing.assert_close(action, theirs, atol=1e-6, rtol=0.0)


def test_a_second_run_gets_its_own_folder_and_continuing_is_exact(trained: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_folder(trained).rglob("*") if path.is_file()}
    stopped = run_program(
        "train.py", "--preset", "smoke", "-e", "walk", "--total-timesteps", str(STEPS_PER_ITERATION), cwd=trained
    )
    assert stopped.returncode == 0, stopped.stderr
    second = trained / "logs" / "walk_2"
    assert (second / f"biped_model_{STEPS_PER_ITERATION}_steps.zip").exists()
    assert {path: path.stat().st_mtime_ns for path in before} == before

    shutil.copytree(second, tmp_path / "logs" / "walk")
    continued = run_program(
        "train.py", "--continue-training", "-e", "walk", "--total_timesteps", str(3 * STEPS_PER_ITERATION), cwd=tmp_path
    )
    assert continued.returncode == 0, continued.stderr
    assert f"continuing at {STEPS_PER_ITERATION} steps" in continued.stdout
    name = f"biped_model_{3 * STEPS_PER_ITERATION}_steps.zip"
    whole, parts = read_zip(run_folder(trained) / name), read_zip(tmp_path / "logs" / "walk" / name)
    for key, value in whole.parameters.items():
        assert torch.equal(value, parts.parameters[key]), key
    assert [path.name for path in (tmp_path / "logs" / "walk").glob("RecurrentPPO_*")] == ["RecurrentPPO_1"]


@pytest.fixture
def long_run(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A training that would take days, stopped at the latest when the test ends."""
    for_days = ("--total-timesteps", "100000000", "--save-freq", "100000000")
    process = subprocess.Popen(
        command_line("train.py", "--preset", "smoke", "--simulator", "mujoco", *for_days),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**USER_ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_say_how_to_continue(
    long_run: "subprocess.Popen[str]", number: signal.Signals, code: int, tmp_path: Path
) -> None:
    assert long_run.stdout is not None
    for line in long_run.stdout:
        if re.search(r"[\d,]+/100,000,000 steps", line):
            break
    time.sleep(1.0)
    long_run.send_signal(number)
    output, errors = long_run.communicate(timeout=60.0)
    assert long_run.returncode == code, errors
    assert errors == ""
    assert "train.py --continue-training" in output
    model = read_zip(tmp_path / "logs" / "biped-walking-sb3-recurrentppo" / "model_interrupted.zip")
    assert model.num_timesteps >= STEPS_PER_ITERATION


def test_two_processes(tmp_path: Path) -> None:
    every_iteration = ("--eval-freq", str(STEPS_PER_ITERATION))
    smoke = ("--preset", "smoke", "--simulator", "mujoco", "--processes", "2")
    result = run_program("train.py", *smoke, *every_iteration, "-e", "walk", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    steps = re.findall(r"evaluation at ([\d,]+) steps: \d of 10 trials pass", result.stdout)
    assert steps == ["384", "768", "1,152"]
    events = EventAccumulator(str(run_folder(tmp_path) / "RecurrentPPO_1"))
    events.Reload()
    assert {"eval/trials_passed", "eval/points", "eval/survival"} <= set(events.Tags()["scalars"])
    best = read_zip(run_folder(tmp_path) / "model_best.zip").num_timesteps
    assert best in (384, 768, 1152)
    assert ("an earlier model did better" in result.stdout) == (best < 1152)
    assert read_zip(run_folder(tmp_path) / "model_final.zip").num_timesteps == 3 * STEPS_PER_ITERATION


def test_play_measures_and_films(trained: Path, tmp_path: Path) -> None:
    video = tmp_path / "walk.mp4"
    # Empty is unset.
    environment = {"GS_ENABLE_ZEROCOPY": "", "PYOPENGL_PLATFORM": "", "XDG_CACHE_HOME": "", "PPO_KERNELS": ""}
    arguments = ("-e", "walk", "--seconds", "0.2", "--video", video)
    result = run_program("play.py", *arguments, cwd=trained, environment=environment)
    assert result.returncode == 0, result.stderr
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 10
    assert frames[0].shape == (480, 640, 3)
    assert frames[-1].std() > 10.0


def test_play_without_a_display(trained: Path) -> None:
    environment = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    result = run_program("play.py", "-e", "walk", "--viewer", cwd=trained, environment=environment)
    assert_one_line_error(result, "display")


def test_a_film_without_opengl(trained: Path) -> None:
    result = run_program("play.py", "-e", "walk", "--video", "walk.mp4", cwd=trained, environment=NO_OPENGL)
    assert_one_line_error(result, "Genesis cannot render here", "apt install libgl1 libegl1")
