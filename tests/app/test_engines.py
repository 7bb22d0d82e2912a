"""Which engine robots train, are played and are examined in, and with which physics."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from app.build import Parts, physics_of
from app.examiner import ROBOTS, Examiner, build_examiner
from app.experiment import Experiment, from_plain, to_plain
from app.training import main as train
from biped.examination.trials import trials_of
from biped.robots.library import BIPED
from biped.simulators.config import SimulationConfig, fine
from configs.presets import SMOKE
from ppo.evaluation import Verdict
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
from tests.app.fake_engines import (
    SMALL,
    FakeMujocoSimulation,
    FakeSimulation,
    fails,
    main,
    parts,
    save_model,
)

CPU = torch.device("cpu")
IN_MUJOCO = dataclasses.replace(SMOKE, simulator="mujoco")


def made_by(*arguments: str) -> FakeSimulation:
    """The robots that a run of `play.py` has made."""
    assert main(["model.zip", "--seconds", "0.1", *arguments]) == 0
    return FakeSimulation.made


def test_a_check_in_fine_steps_is_finer_in_every_respect_and_never_coarser() -> None:
    config = fine(SimulationConfig())
    assert (config.control_dt, config.substeps, config.friction_cone) == (0.02, 10, "elliptic")
    assert (config.iterations, config.tolerance) == (100, 1e-8)
    slow = fine(SimulationConfig(control_dt=0.005, substeps=20, iterations=200, tolerance=1e-10))
    assert (slow.substeps, slow.iterations, slow.tolerance) == (20, 200, 1e-10)
    assert fine(SimulationConfig(control_dt=0.005)).substeps == 3


@pytest.mark.parametrize(
    ("trained_in", "engine", "is_fine"),
    [
        ("genesis", "genesis", False),
        ("genesis", "mujoco", True),
        ("mujoco", "genesis", False),
        ("mujoco", "mujoco", False),
    ],
)
def test_mujoco_checks_in_fine_steps_what_was_not_trained_in_it(trained_in: str, engine: str, is_fine: bool) -> None:
    experiment = from_plain({**to_plain(SMOKE), "simulator": trained_in})
    expected = fine(experiment.simulation) if is_fine else experiment.simulation
    assert physics_of(engine, experiment) == expected


def test_a_policy_is_played_in_the_engine_it_was_trained_in() -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    assert type(made_by()) is FakeSimulation
    assert made_by("--simulator", "mujoco").config == fine(SMOKE.simulation)
    save_model(Path("model.zip"), experiment=IN_MUJOCO)
    made = made_by()
    assert (type(made), made.config) == (FakeMujocoSimulation, SMOKE.simulation)
    assert type(made_by("--simulator", "genesis")) is FakeSimulation


def test_a_configuration_that_knows_of_no_engine_is_that_of_a_training_in_genesis() -> None:
    stored = to_plain(SMOKE)
    del stored["simulator"], stored["eval_simulator"], stored["simulation"]["friction_cone"]
    assert from_plain(stored) == SMOKE


def test_physics_can_be_chosen_for_a_check() -> None:
    save_model(Path("model.zip"), experiment=IN_MUJOCO)
    config = made_by("--simulation.substeps", "7", "--simulation.friction-cone", "elliptic").config
    assert config == dataclasses.replace(SMOKE.simulation, substeps=7, friction_cone="elliptic")
    assert made_by("--simulation.substeps", "5", "--simulator", "genesis").config.substeps == 5


def test_a_window_opens_in_the_engine_that_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    save_model(Path("model.zip"), experiment=IN_MUJOCO)
    made = made_by("--episodes", "1")
    assert (type(made), made.viewer) == (FakeSimulation, True)
    for flags in (("--no-viewer",), ("--simulator", "mujoco")):
        made = made_by(*flags)
        assert (type(made), made.viewer) == (FakeMujocoSimulation, False)


def test_what_does_not_suit_the_engine_of_the_checkpoint_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    assert "--simulation.friction-cone" in fails(capsys, "model.zip", "--simulation.friction-cone", "elliptic")
    save_model(Path("model.zip"), experiment=IN_MUJOCO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        assert "--device cuda" in fails(capsys, "model.zip", "--device", "cuda")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--simulator", "gazebo"], ["--simulator", "mujoco"]),
        (["--simulator", "mujoco", "--device", "cuda"], ["--device cuda", "--simulator genesis"]),
        (["--eval-simulator", "all"], ["--eval-simulator", "both"]),
        (["--simulation.friction-cone", "round"], ["--simulation.friction-cone", "elliptic"]),
    ],
)
def test_bad_flags_of_a_training_are_one_line(
    arguments: Sequence[str], words: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SystemExit) as error:
        train(["--preset", "smoke", *arguments])
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert [word for word in words if word not in line] == []


def examine(experiment: Experiment, made_of: Parts) -> tuple[Examiner, Verdict]:
    """What the examiner of an experiment says of an untrained policy."""
    examiner = build_examiner(dataclasses.replace(experiment, eval_freq=100), Processes(device=CPU), made_of)
    assert isinstance(examiner, Examiner)
    torch.manual_seed(0)
    return examiner, examiner(RecurrentActorCritic(SMALL, 40, 9))


def test_of_two_engines_the_worse_result_counts() -> None:
    in_mujoco = dataclasses.replace(SMOKE, eval_simulator="mujoco")
    alone = {"genesis": examine(SMOKE, parts())[1], "mujoco": examine(in_mujoco, parts())[1]}
    assert alone["genesis"].score != alone["mujoco"].score
    _, verdict = examine(dataclasses.replace(IN_MUJOCO, eval_simulator="both"), parts())
    assert verdict.score == min(one.score for one in alone.values())
    assert verdict.summary == f"mujoco: {alone['mujoco'].summary}; genesis: {alone['genesis'].summary}"
    assert math.isfinite(verdict.score)
    for name, value in alone["mujoco"].metrics.items():
        assert verdict.metrics[name] == pytest.approx(value, nan_ok=True)
    for name, value in alone["genesis"].metrics.items():
        assert verdict.metrics[f"genesis/{name}"] == pytest.approx(value, nan_ok=True)


def test_examinations_happen_where_the_robots_train_unless_told_otherwise() -> None:
    assert SMOKE.eval_simulators == ("genesis",)
    assert IN_MUJOCO.eval_simulators == ("mujoco",)
    assert dataclasses.replace(IN_MUJOCO, eval_simulator="genesis").eval_simulators == ("genesis",)
    assert dataclasses.replace(SMOKE, eval_simulator="both").eval_simulators == ("genesis", "mujoco")
    examine(IN_MUJOCO, parts())
    assert type(FakeSimulation.made) is FakeMujocoSimulation
    assert FakeSimulation.made.num_envs == (len(trials_of(BIPED)) - 1) * ROBOTS
