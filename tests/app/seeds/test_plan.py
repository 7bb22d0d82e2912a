"""Which runs the seeds are: their names, what goes on, what begins anew, and how they share the machine."""

import dataclasses
from pathlib import Path

import pytest
import torch

from app.build import Parts
from app.seeds.plan import SeedRun, asked, plan, share_of_machine
from configs.presets import SMOKE
from tests.app.fake_engines import parts, save_model

SMALL = ("--preset", "smoke", "--device", "cpu")


def planned(*arguments: str, made_of: Parts | None = None) -> list[SeedRun]:
    given = asked(arguments)
    assert given is not None
    return plan(arguments, given, made_of or parts())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        planned(*arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def save_seed(seed: int, num_timesteps: int, folder: str | None = None) -> None:
    experiment = dataclasses.replace(SMOKE, exp_name=f"walk_seed{seed}", seed=seed)
    path = Path("logs") / (folder or experiment.exp_name)
    save_model(path / "model_interrupted.zip", experiment=experiment, num_timesteps=num_timesteps)


@pytest.mark.parametrize("words", [(), ("--seeds", "1"), ("--seeds=3", "--help"), ("--seeds", "0"), ("--seed", "3")])
def test_one_training_is_none_of_several(words: tuple[str, ...]) -> None:
    assert asked(words) is None


@pytest.mark.parametrize("words", [("--seeds", "2"), ("--seeds=2",), ("--seeds", "5", "--seeds", "2")])
def test_seeds_are_counted_from_the_seed(words: tuple[str, ...]) -> None:
    runs = planned(*SMALL, *words, "--seed", "7", "-e", "walk", "--wandb-run-name", "mine")
    assert [(run.seed, run.name) for run in runs] == [(7, "walk_seed7"), (8, "walk_seed8")]
    assert runs[1].words == ["--seeds=1", "--seed=8", "--exp-name=walk_seed8", "--wandb-run-name=mine_seed8"]
    experiments = [run.training.experiment for run in runs]
    expected = dataclasses.replace(experiments[0], seed=8, exp_name="walk_seed8", wandb_run_name="mine_seed8")
    assert experiments[1] == expected
    assert experiments[0].seeds == 1
    assert not any(run.is_complete or run.training.model for run in runs)


def test_what_is_not_complete_goes_on_and_what_never_began_begins() -> None:
    total = SMOKE.total_timesteps
    save_seed(1, total)
    save_seed(2, 384)
    Path("logs/walk_seed3").mkdir()
    runs = planned(*SMALL, "--seeds", "3", "-e", "walk", "--continue-training")
    assert [run.is_complete for run in runs] == [True, False, False]
    assert [run.training.folder for run in runs] == [Path("logs/walk_seed1"), Path("logs/walk_seed2"), None]
    assert "--no-continue-training" in runs[2].words
    assert not runs[2].training.experiment.continue_training
    longer = planned("--seeds", "2", "-e", "walk", "--continue-training", "--total-timesteps", str(2 * total))
    assert [run.is_complete for run in longer] == [False, False]


def test_a_new_run_is_not_mistaken_for_an_older_one_of_its_name() -> None:
    save_seed(1, 384)
    (run, _) = planned(*SMALL, "--seeds", "2", "-e", "walk")
    assert run.folder() is None
    Path("logs/walk_seed1_2").mkdir()
    assert run.folder() == Path("logs/walk_seed1_2")
    (going_on, _) = planned(*SMALL, "--seeds", "2", "-e", "walk", "--continue-training")
    assert going_on.folder() == Path("logs/walk_seed1")


def test_what_is_wrong_is_said_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no run called walk_seed1 in logs" in refused(capsys, "--seeds", "2", "-e", "walk", "--continue-training")
    assert "--load-model: cannot read missing.zip" in refused(capsys, "--seeds", "2", "--load-model", "missing.zip")
    assert "--seed must be" in refused(capsys, "--seeds", "2", "--seed", str(2**63 - 1))
    assert "--seeds must be from 1 to 1000" in refused(capsys, "--seeds", "1001")
    assert "--ppo.n-minibatches" in refused(capsys, "--seeds", "2", "--num-envs", "6")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "leave out torchrun" in refused(capsys, *SMALL, "--seeds", "2")


@pytest.mark.parametrize(
    ("cores", "processes", "count", "share"),
    [(8, 1, 3, (3, 2)), (2, 1, 5, (2, 1)), (8, 2, 5, (4, 1)), (2, 2, 5, (1, 1)), (1, 1, 2, (1, 1)), (3, 2, 2, (1, 1))],
)
def test_the_machine_is_shared(
    cores: int, processes: int, count: int, share: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (run, _) = planned(*SMALL, "--seeds", "2")
    training = run.training._replace(process_count=processes)
    assert share_of_machine(training, count) == share
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert share_of_machine(training, count) == (share[0], 1)
    assert share_of_machine(training._replace(device=torch.device("cuda")), count).at_once == 1
