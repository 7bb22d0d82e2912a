"""`biped-robot check` says what it found, lets the robot stand and draws it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from app.build import ENGINES, Engine
from app.robot.commands import main
from biped.robots.robot import Robot
from biped.simulators.config import SimulationConfig
from biped.simulators.mujoco import MujocoSimulator, import_mujoco
from tests.biped.robots.bodies import changed_robot, changed_urdf

pytest.importorskip("mjbatch")

MUJOCO = ("--simulator", "mujoco", "--no-picture")


def test_our_own_robot_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "biped", *MUJOCO]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("biped: 9 joints, 2.9 kg, ")
    assert lines[1].startswith("mujoco: stands for 2 s; the base at 0.4")
    assert lines[2:] == ["nothing suspicious"]


def test_what_is_only_suspicious_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(entries: dict[str, Any]) -> None:
        entries["joint_defaults"]["armature"] = 0.0

    changed_robot(tmp_path, change)
    assert main(["check", "mine.yaml", *MUJOCO]) == 0
    out = capsys.readouterr().out
    assert out.count("suspicious: joints.") == 9
    assert "nothing suspicious" not in out


def test_a_robot_that_falls_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(entries: dict[str, Any]) -> None:
        entries["joint_defaults"]["stiffness"] = 1.0

    changed_robot(tmp_path, change)
    assert main(["check", "mine.yaml", *MUJOCO]) == 1
    out = capsys.readouterr().out
    assert "suspicious: joints.right_ankle.stiffness: the weight topples the robot" in out
    assert "wrong: standing in mujoco: it falls within" in out


def test_an_engine_that_compiles_is_spared_where_something_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = Engine(MujocoSimulator, lambda **_: import_mujoco(), on_cpu_only=True, compiles=True)

    def change(entries: dict[str, Any]) -> None:
        entries["heights"]["standing"] = 0.5

    arguments = ["check", "mine.yaml", "--no-picture"]
    changed_robot(tmp_path, change)
    assert main(arguments, {"genesis": slow, "mujoco": ENGINES["mujoco"]}) == 1
    assert "genesis: not tried, as what is wrong above comes first" in capsys.readouterr().out
    changed_robot(tmp_path)
    assert main(arguments, {"genesis": slow, "mujoco": ENGINES["mujoco"]}) == 0
    lines = capsys.readouterr().out.splitlines()
    compiling = ["Compiling simulator kernels (genesis, mine, cpu", "Compiling simulator kernels took"]
    starts = ["mine:", "mujoco:", *compiling, "genesis:", "nothing suspicious"]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * len(starts), lines
    assert "minutes on the first run" in lines[2]


def missing(**_: object) -> None:
    raise ValueError("Genesis is not installed: pip install genesis-world")


def test_a_missing_engine_is_passed_over_unless_it_is_the_one_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    engines = {"genesis": ENGINES["genesis"]._replace(load=missing), "mujoco": ENGINES["mujoco"]}
    assert main(["check", "biped", "--no-picture"], engines) == 0
    assert "genesis: not tried: Genesis is not installed" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["check", "biped", "--no-picture", "--simulator", "genesis"], engines)
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: Genesis is not installed: pip install genesis-world\n"


def test_what_an_engine_cannot_build_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> MujocoSimulator:
        raise RuntimeError("no such thing\nand more of it")

    engines = {"mujoco": ENGINES["mujoco"]._replace(make=broken)}
    assert main(["check", "biped", *MUJOCO], engines) == 1
    assert "wrong: simulator mujoco: it cannot build the robot: no such thing; see what" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wheel", ["no robot called wheel", "biped"]),
        ("none.yaml", ["none.yaml", "No such file"]),
        ("renamed.yaml", ["renamed.yaml", "no joint named 'right_knee'", "right_patella"]),
        ("broken.yaml", ["broken.urdf", "cannot be read"]),
    ],
)
def test_files_that_cannot_be_read(
    name: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed_robot(tmp_path)
    text = (tmp_path / "mine.yaml").read_text()
    path = changed_urdf(tmp_path, ('"right_knee"', '"right_patella"'))
    model = next(line for line in text.splitlines() if line.startswith("model:"))
    (tmp_path / "renamed.yaml").write_text(text.replace(model, f"model: {path.name}"))
    (tmp_path / "broken.urdf").write_text("<robot")
    (tmp_path / "broken.yaml").write_text(text.replace(model, "model: broken.urdf"))
    with pytest.raises(SystemExit) as end:
        main(["check", name, *MUJOCO])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert [word for word in words if word not in error] == [], error


def test_a_robot_that_stands_in_fine_steps_only_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    def make(
        robot: Robot, num_envs: int, config: SimulationConfig, device: torch.device, **flags: bool
    ) -> MujocoSimulator:
        weak = dataclasses.replace(robot, stiffness=(1.0,) * 9)
        return MujocoSimulator(robot if config.substeps > 2 else weak, num_envs, config, device, **flags)

    engines = {"mujoco": ENGINES["mujoco"]._replace(make=make)}
    assert main(["check", "biped", *MUJOCO], engines) == 1
    out = capsys.readouterr().out
    assert "with 2 physics steps per control step, and stands with 10; raise the damping" in out
