"""`play.py --evaluate`: what it does to the robots, prints and writes."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.playing import main as play
from biped.simulators.config import SimulationConfig
from configs.presets import SMOKE
from tests.app.fake_engines import (
    FakeMujocoSimulation,
    FakeSimulation,
    fails,
    main,
    parts,
    save_model,
    targets,
)


def test_an_examination_prints_a_table_and_writes_json(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    arguments = ("model.zip", "--evaluate", "--num-envs", "2", "--seconds", "2.2", "--json", "result.json")
    assert targets(*arguments).shape == (110, 22, 9)
    output = capsys.readouterr().out
    assert "2 robots per trial for 2.2 s in genesis; the first 2 s count" in output
    assert "left-right alternation" in output
    assert "\nstand: drift 0." in output
    assert output.splitlines()[-1] == "FAIL: 0 of 11 trials meet the criteria"
    document = json.loads(Path("result.json").read_text())
    assert (document["checkpoint"], document["num_timesteps"]) == ("model.zip", 1234)
    assert [one["robots"] for one in document["trials"]] == [2] * 11
    assert document["simulator"] == "genesis"
    assert {one["simulator"] for one in document["trials"]} == {"genesis"}
    assert "side by side" not in output
    assert targets(*arguments).shape == (110, 22, 9)
    assert json.loads(Path("result.json").read_text()) == document


def test_disturbed_robots_are_pushed_and_differ_and_are_asked_for_less(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pushes: list[Tensor] = []
    monkeypatch.setattr(FakeSimulation, "set_velocity", lambda self, linear, angular: pushes.append(linear))
    save_model(Path("model.zip"), experiment=SMOKE)
    arguments = ["model.zip", "--evaluate", "--num-envs", "2", "--seconds", "3.2"]
    assert main(arguments) == 0
    assert pushes == []
    plain = FakeSimulation.made
    assert "alternation 0" in capsys.readouterr().out
    assert main([*arguments, "--disturbed", "--json", "disturbed.json"]) == 0
    assert len(pushes) == 1
    robots = FakeSimulation.made
    assert float(plain.added_mass.abs().max()) == 0.0
    assert float(robots.added_mass.min()) < 0.0 < float(robots.added_mass.max())
    assert float(robots.motor_strength.min()) < 0.8 < float(plain.motor_strength.min())
    output = capsys.readouterr().out
    assert "2 disturbed robots per trial" in output
    assert "alternation 0" not in output
    document = json.loads(Path("disturbed.json").read_text())
    assert document["disturbed"] is True
    assert document["criteria"]["survival"] == 0.97


def test_robots_may_be_disturbed_as_another_preset_does(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Mapping[str, Tensor]] = []
    monkeypatch.setattr(FakeSimulation, "set_properties", lambda self, values: given.append(values))
    save_model(Path("model.zip"), experiment=SMOKE)
    arguments = [
        "model.zip",
        "--evaluate",
        "--disturbed",
        "--num-envs",
        "2",
        "--seconds",
        "2.1",
        "--json",
        "result.json",
    ]
    assert main(arguments) == 0
    assert main([*arguments, "--disturbed-as", "hardware"]) == 0
    robust, hardware = given
    assert "center_of_mass" not in robust
    assert 0.0 < float(hardware["center_of_mass"].abs().max()) <= 0.015
    assert json.loads(Path("result.json").read_text())["disturbed_as"] == "hardware"


def test_one_command_can_be_examined() -> None:
    arguments = ("--agent", "zero", "--evaluate", "--seconds", "2.1", "--command", "0.4", "0", "0")
    assert targets(*arguments, "--json", "a.json").shape == (105, 64, 9)
    (one,) = json.loads(Path("a.json").read_text())["trials"]
    assert one["commands"] == [[0.4, 0.0, 0.0]]


def test_mujoco_takes_the_place_of_genesis(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    expected = targets("model.zip", "--seconds", "0.2")
    assert type(FakeSimulation.made) is FakeSimulation
    capsys.readouterr()
    played = targets("model.zip", "--seconds", "0.2", "--simulator", "mujoco", "--video", "walk.mp4", "--verbose")
    made = FakeSimulation.made
    assert type(made) is FakeMujocoSimulation
    assert (made.asked_device.type, made.viewer, made.camera, made.verbose) == ("cpu", False, True, True)
    assert played.shape == expected.shape
    assert torch.equal(played[0], expected[0])
    assert Path("walk.mp4").stat().st_size > 0
    assert "Compiling" not in capsys.readouterr().out


@pytest.mark.parametrize(("engine", "kind"), [("genesis", "meta"), ("mujoco", "cpu")])
def test_mujoco_simulates_on_the_cpu_whatever_genesis_does(engine: str, kind: str) -> None:
    parts().simulator(engine, 1, SimulationConfig(), torch.device("meta"))
    assert FakeSimulation.made.asked_device.type == kind


def test_an_examination_in_both_simulators_shows_the_same_robots_side_by_side(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FakeSimulation] = []
    monkeypatch.setattr(FakeSimulation, "close", lambda self: made.append(self))
    save_model(Path("model.zip"), experiment=SMOKE)
    arguments = ("model.zip", "--evaluate", "--num-envs", "2", "--seconds", "2.2", "--simulator", "both")
    assert main([*arguments, "--json", "both.json"]) == 0
    genesis, mujoco = made
    assert (type(genesis), type(mujoco)) == (FakeSimulation, FakeMujocoSimulation)
    assert torch.equal(genesis.friction, mujoco.friction)
    assert torch.equal(genesis.motor_strength, mujoco.motor_strength)
    output = capsys.readouterr().out
    assert "2 robots per trial for 2.2 s in genesis" in output
    assert "2 robots per trial for 2.2 s in mujoco" in output
    compared = output.split("side by side")[1].splitlines()
    assert [line.split()[1] for line in compared if line.startswith("stand")] == ["genesis"]
    assert sum(line.strip().startswith("mujoco ") for line in compared) == 11

    document = json.loads(Path("both.json").read_text())
    assert document["simulator"] == "both"
    assert [one["simulator"] for one in document["trials"]] == ["genesis"] * 11 + ["mujoco"] * 11
    walked, hung = document["trials"][1], document["trials"][12]
    assert walked["commands"] == hung["commands"]
    assert hung["duty_right"] == 0.0
    assert walked["duty_right"] > 0.0
    assert main([*arguments[:-1], "mujoco", "--json", "one.json"]) == 0
    assert json.loads(Path("one.json").read_text())["trials"] == document["trials"][11:]


def test_missing_mujoco_is_noticed_before_genesis_starts(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(**options: object) -> None:
        raise ValueError("MuJoCo is not installed")

    missing = parts(load_mujoco=refuse)
    line = fails(capsys, "--agent", "zero", "--evaluate", "--simulator", "both", made_of=missing)
    assert line == "error: MuJoCo is not installed"
    assert capsys.readouterr().out == ""
    assert play(["--agent", "zero", "--seconds", "0.1", "--simulator", "genesis"], missing) == 0
