"""Every number of the contract is the one that is simulated, and the contract is what its schema says."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from app.export.exporting import main
from biped.robots.library import BIPED
from biped.simulators.mujoco_model import build_model
from biped.task.gait import clock_signal, is_standing
from biped.task.observer import Observer
from tests.app.export.exports import make_env, older, physics, quiet
from tests.app.older_policy import OLDER_POLICY


@pytest.fixture(scope="module")
def contract(walk: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((walk / "contract.json").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def model() -> Any:  # noqa: ANN401
    """As the robot is simulated in MuJoCo."""
    return build_model(pytest.importorskip("mujoco"), BIPED, physics(), visual=False)


def test_it_is_what_the_schema_beside_it_says(walk: Path, contract: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((walk / "contract.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    validator(schema).validate(contract)
    for section, name in (("joints", "stiffness"), ("observation", "parts"), ("clock", "period")):
        broken = json.loads(json.dumps(contract))
        del broken[section][name]
        assert not validator(schema).is_valid(broken)
    assert not validator(schema).is_valid({**contract, "schema_version": 2})
    assert not validator(schema).is_valid({**contract, "colour": "red"})


def test_servos_are_those_that_mujoco_simulates(contract: dict[str, Any], model: Any) -> None:  # noqa: ANN401
    joints = contract["joints"]
    actuators = [model.actuator(index) for index in range(model.nu)]
    assert joints["names"] == [actuator.name for actuator in actuators]
    limited = [model.joint(name) for name in joints["names"]]
    for index, (actuator, joint) in enumerate(zip(actuators, limited, strict=True)):
        assert actuator.trnid[0] == joint.id
        assert joints["stiffness"][index] == actuator.gainprm[0] == -actuator.biasprm[1]
        assert joints["damping"][index] == -actuator.biasprm[2]
        assert [-joints["effort_limit"][index], joints["effort_limit"][index]] == actuator.forcerange.tolist()
        assert joints["armature"][index] == model.dof_armature[joint.dofadr[0]]
        assert [joints["lower_limit"][index], joints["upper_limit"][index]] == pytest.approx(joint.range.tolist())


def test_times_and_poses_are_those_that_are_simulated(contract: dict[str, Any]) -> None:
    pytest.importorskip("mjbatch")
    model = build_model(pytest.importorskip("mujoco"), BIPED, older()[1].simulation, visual=False)
    control = contract["control"]
    assert control["period"] == pytest.approx(control["physics_steps"] * model.opt.timestep, abs=1e-12)
    assert control["rate"] * control["period"] == pytest.approx(1.0)
    env = make_env(quiet(older()[1].env))
    env.reset()
    state = env.simulator.read()
    np.testing.assert_allclose(state.joint_position[0], contract["joints"]["default_position"], atol=1e-7)
    height = contract["robot"]["nominal_base_height"]
    soles = state.foot_position[0, :, 2] - (state.base_position[0, 2] - height)
    np.testing.assert_allclose(soles, 0.0, atol=2e-3)


def test_actions_become_targets_as_in_the_environment(contract: dict[str, Any]) -> None:
    pytest.importorskip("mjbatch")
    env = make_env(dataclasses.replace(quiet(older()[1].env), mirror_left_stance=False))
    env.reset()
    action = torch.linspace(-3.0, 150.0, 9)
    env.step(action.unsqueeze(0))
    clipped = np.clip(action.numpy(), contract["action"]["low"], contract["action"]["high"])
    expected = np.array(contract["joints"]["default_position"]) + np.array(contract["action"]["scale"]) * clipped
    np.testing.assert_allclose(env.simulator.joint_target[0], expected, rtol=1e-6)  # type: ignore[attr-defined]


def test_the_parts_of_the_observation_lie_where_the_policy_sees_them(contract: dict[str, Any]) -> None:
    observer = Observer(BIPED, older()[1].env.observations, torch.Generator())
    parts = contract["observation"]["parts"]
    places = {part["name"]: slice(part["start"], part["start"] + len(part["columns"])) for part in parts}
    assert places == observer.slices
    assert contract["observation"]["size"] == observer.dim
    for part in parts:
        lengths = {len(part[key]) for key in ("columns", "values", "units", "offset", "scale")}
        assert len(lengths) == 1
        names = contract["observation"]["readings"][part["reading"]]["values"]
        assert part["values"] == [names[column] for column in part["columns"]]


def test_the_clock_stops_where_that_of_the_environment_does(contract: dict[str, Any]) -> None:
    config, clock = older()[1].env.gait, contract["clock"]
    edge = clock["standing_command"]
    commands = torch.tensor([[0.0, 0.0, 0.0], [edge - 1e-4, 0.0, 1e-4 - edge], [edge, 0.0, 0.0], [0.0, 0.0, -2 * edge]])
    standing = is_standing(commands, config)
    assert standing.tolist() == [True, True, False, False]
    assert clock_signal(torch.full((4,), 0.1), standing).any(dim=1).tolist() == [False, False, True, True]
    assert (clock["period"], clock["left_offset"]) == (config.period, config.left_offset)


def test_policy_and_contract_carry_the_same_text(walk: Path, contract: dict[str, Any]) -> None:
    graph = onnx.load(walk / "policy.onnx")
    properties = {entry.key: entry.value for entry in graph.metadata_props}
    assert properties["contract"] == (walk / "contract.json").read_text(encoding="utf-8")
    assert properties["joint_names"].split(",") == contract["joints"]["names"]
    for name, values in (
        ("joint_stiffness", contract["joints"]["stiffness"]),
        ("joint_damping", contract["joints"]["damping"]),
        ("default_joint_pos", contract["joints"]["default_position"]),
        ("action_scale", contract["action"]["scale"]),
    ):
        assert [float(value) for value in properties[name].split(",")] == values


def test_it_names_its_origin(contract: dict[str, Any]) -> None:
    import hashlib

    assert contract["checkpoint"] == {
        "file": "older_policy.zip",
        "sha256": hashlib.sha256(OLDER_POLICY.read_bytes()).hexdigest(),
    }
    assert contract["robot"]["model_sha256"] == hashlib.sha256(BIPED.asset.read_bytes()).hexdigest()
    assert contract["training"]["engine"] == "genesis"
    assert contract["versions"]["torch"] == torch.__version__


def test_it_follows_the_robot_that_is_given(tmp_path: Path) -> None:
    stronger = dataclasses.replace(BIPED, stiffness=(21.0,) * 8 + (7.0,), armature=(0.02,) * 9)
    folder = tmp_path / "export"
    assert main([str(OLDER_POLICY), str(folder)], stronger) == 0
    joints = json.loads((folder / "contract.json").read_text(encoding="utf-8"))["joints"]
    assert joints["stiffness"] == [21.0] * 8 + [7.0]
    assert joints["armature"] == [0.02] * 9
