"""Which checkpoint is played, and in which task."""

import dataclasses
import os
from pathlib import Path

import pytest

from app.experiment import Experiment
from app.load import SHIPPED_POLICY
from app.play_flags import PlayOptions
from configs.presets import CPU, PRESETS, SMOKE
from tests.app.fake_engines import (
    CLOCKED,
    PLAIN,
    FakeSimulation,
    fails,
    main,
    save_model,
    targets,
)


def test_a_checkpoint_alone_brings_its_task_and_physics(capsys: pytest.CaptureFixture[str]) -> None:
    physics = dataclasses.replace(SMOKE.simulation, substeps=7)
    save_model(Path("model.zip"), experiment=dataclasses.replace(SMOKE, simulation=physics))
    assert targets("model.zip", "--seconds", "0.2").shape == (10, 1, 9)
    made = FakeSimulation.made
    assert (made.config.substeps, made.viewer, made.camera) == (7, False, False)
    assert made.closed
    output = capsys.readouterr().out.splitlines()
    assert output[0] == "model.zip, trained for 1,234 control steps"
    assert output[-2].startswith("episode   1    0.20 s  return")
    assert output[-2].endswith("ended by: time-out")
    assert output[-1].startswith("1 episode: 0 fell, mean length 0.20 s")


def test_episodes_of_several_robots(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    assert targets("model.zip", "--num_envs", "3", "--episodes", "2", "--seconds", "0.2").shape == (20, 3, 9)
    output = capsys.readouterr().out.splitlines()
    episodes = [line.split()[1:4] for line in output if line.startswith("episode ")]
    assert episodes == [[str(i + 1), "robot", str(i % 3)] for i in range(6)]
    assert output[-1].startswith("6 episodes: 0 fell")


def test_the_newest_checkpoint_of_the_newest_run_is_played(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("runs/walk/model_final.zip"), experiment=SMOKE, num_timesteps=900)
    save_model(Path("runs/walk_2/biped_model_100_steps.zip"), experiment=SMOKE, num_timesteps=100)
    save_model(Path("runs/walk_2/biped_model_200_steps.zip"), experiment=SMOKE, num_timesteps=200)
    assert main(["-e", "walk", "--log-dir", "runs", "--seconds", "0.1"]) == 0
    assert capsys.readouterr().out.startswith("runs/walk_2/biped_model_200_steps.zip, trained for 200 control steps")


def test_without_checkpoint_flags_the_place_where_training_saves_is_searched() -> None:
    assert PlayOptions().log_dir == Experiment().log_dir


def test_who_has_not_trained_sees_the_policy_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert targets("--seconds", "0.2").shape == (10, 1, 9)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "no run of yours in logs yet; this is the policy that comes with the project"
    assert second.startswith(str(SHIPPED_POLICY))
    assert "no run in runs holds a checkpoint" in fails(capsys, "--log-dir", "runs")
    assert main(["--agent", "zero", "--seconds", "0.1"]) == 0
    assert "comes with the project" not in capsys.readouterr().out


def test_who_names_no_run_sees_the_newest_whatever_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    for age, name in enumerate(("walk", "biped-walking-sb3-recurrentppo", "-x")):
        path = Path("logs", name, "model_final.zip")
        save_model(path, experiment=SMOKE)
        os.utime(path, (1000 - age, 1000 - age))
    targets("--seconds", "0.2")
    assert capsys.readouterr().out.startswith("logs/walk/model_final.zip")
    expected = "there are, newest first: walk, biped-walking-sb3-recurrentppo, -x"
    assert expected in fails(capsys, "--exp-name", "other")


def test_every_preset_can_be_named() -> None:
    for name in PRESETS:
        assert main(["--agent", "zero", "--preset", name, "--seconds", "0.1"]) == 0


def test_a_plain_zip_is_played_in_the_task_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("plain.zip"), observation_dim=PLAIN)
    save_model(Path("clocked.zip"), observation_dim=CLOCKED)
    assert main(["plain.zip", "--seconds", "0.1"]) == 0
    assert main(["clocked.zip", "--seconds", "0.1", "--preset", "cpu"]) == 0
    capsys.readouterr()
    line = fails(capsys, "clocked.zip", "--seconds", "0.1")
    assert line.startswith("error: clocked.zip is of another robot or task: it takes 40 observations and gives 9 ")
    assert "38 and 9" in line
    assert "--preset" in line
    save_model(Path("other.zip"), action_dim=3)
    assert "gives 3 actions" in fails(capsys, "other.zip", "--preset", "cpu")


def test_statistics_beside_a_plain_zip_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("plain.zip"), observation_dim=PLAIN)
    Path("vecnormalize.pkl").touch()
    assert main(["plain.zip", "--seconds", "0.1"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: plain.zip: beside it lies vecnormalize.pkl")


def test_a_preset_replaces_the_task_of_the_checkpoint() -> None:
    physics = dataclasses.replace(CPU.simulation, substeps=7)
    save_model(Path("model.zip"), experiment=dataclasses.replace(CPU, simulation=physics))
    assert main(["model.zip", "--preset", "cpu", "--seconds", "0.1"]) == 0
    assert FakeSimulation.made.config.substeps == CPU.simulation.substeps


def test_a_configuration_that_does_not_fit_names_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("old.zip"), own_facts={"config": {"exp_name": "x", "colour": "red"}})
    line = fails(capsys, "old.zip")
    assert "old.zip" in line
    assert "--preset" in line
