"""What a run says it will write is what it writes."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from app.experiment import Experiment
from app.run_files import announce_checkpoints, announce_films
from app.training import main as train
from configs.presets import SMOKE
from ppo.learner import Learner
from ppo.processes import Processes
from ppo.runtime import Precision
from tests.app.fake_engines import parts


def announced(output: str, pattern: str) -> float:
    """MB."""
    (found,) = re.findall(pattern, output)
    return float(found)


def test_the_announced_size_is_that_of_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    # Large enough for tenths of a MB to mean something.
    arguments = ("--preset", "smoke", "--policy.lstm-hidden-size", "128", "--eval-freq", "384", "--exp-name", "size")
    assert train(arguments, parts()) == 0
    output = capsys.readouterr().out
    files = {path.name: path.stat().st_size / 1e6 for path in Path("logs/size").glob("*.zip")}
    periodic = sorted(size for name, size in files.items() if "steps" in name)
    assert len(periodic) == 3
    # The first one has been lightened.
    assert periodic[0] < 0.5 * periodic[1]
    assert announced(output, r"saving ([\d.]+) MB every 384 steps") == pytest.approx(periodic[-1], abs=0.1)
    assert announced(output, r", ([\d.]+) MB in all at most") == pytest.approx(sum(files.values()), abs=0.3)


@pytest.mark.parametrize(
    ("keep", "said"), [("None", "keeping all, those before the last 2 as "), ("1", "MB in all at most")]
)
def test_how_many_are_kept_is_said(keep: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--save-freq", "None", "--keep-checkpoints", keep)
    assert train(["--preset", "smoke", "--exp-name", "kept", *options], parts()) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("saving")]
    assert "every 2 minutes" in line
    assert said in line


def test_films_are_announced_where_there_are_any() -> None:
    assert announce_films(SMOKE) == ""
    # Three multiples, and the end.
    assert announce_films(dataclasses.replace(SMOKE, video_freq=384)) == "; films of 8.0 MB at most"


@pytest.mark.parametrize("keep", ["20", "None"])
def test_films_are_announced_with_the_checkpoints(keep: str, capsys: pytest.CaptureFixture[str]) -> None:
    # Interrupted before one is due.
    options = ("--video-freq", "1000000", "--keep-checkpoints", keep, "--exp-name", "films")
    assert train(["--preset", "smoke", *options], parts()) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("saving")]
    assert line.endswith("; films of 0.0 MB at most")


def test_a_run_of_the_main_command_stays_below_two_gigabytes() -> None:
    experiment = dataclasses.replace(Experiment(), num_envs=4096)
    made_of = parts()
    simulator = made_of.simulator("genesis", 4096, experiment.simulation, torch.device("cpu"))
    env = made_of.environment(simulator, experiment.env, 1)
    learner = Learner(
        env,
        made_of.new_policy(experiment, env),
        dataclasses.replace(experiment.ppo, n_steps=1),
        experiment.total_timesteps,
        precision=Precision.resolve("fp32", env.device),
        processes=Processes(),
        seed=1,
        facts={},
    )
    line = announce_checkpoints(experiment, learner)
    assert line.startswith("saving 1")
    assert "MB every 2 minutes, 1." in line
    assert line.endswith(" GB in all at most")
