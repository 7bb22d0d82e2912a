"""What cannot be exported is refused in one line with the reason, and nothing is written."""

import dataclasses
import errno
import io
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.experiment import to_plain
from app.export import exporting
from app.export.checks import Array, check_agreement, check_policy
from app.export.exporting import main
from app.export.files import bounded_policy
from app.export.observation import check_sources
from app.load import Checkpoint
from app.robot_facts import difference, robot_facts
from biped.robots.library import BIPED
from biped.task.mirror import in_place
from biped.task.observation_sources import Measured
from biped.task.observations import ObservationField
from configs.presets import CPU
from ppo.checkpoint.sb3_zip import write_zip
from tests.app.export.exports import older
from tests.app.fake_engines import save_model
from tests.app.older_policy import OLDER_POLICY
from tests.ppo.checkpoint.checkpoint_models import members_of, zip_bytes


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which the program refuses."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert not Path("export", "policy.onnx").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def refused_model(capsys: pytest.CaptureFixture[str], **changes: Any) -> str:  # noqa: ANN401
    """Likewise, of the older policy with other fields."""
    write_zip(Path("model.zip"), dataclasses.replace(older()[0], **changes))
    return refused(capsys, "model.zip", "export")


def facts(robot: Mapping[str, Any] | None = None, **randomization: Any) -> dict[str, Any]:  # noqa: ANN401
    """Own facts of a checkpoint of the cpu preset."""
    env = dataclasses.replace(CPU.env, randomization=dataclasses.replace(CPU.env.randomization, **randomization))
    config = to_plain(dataclasses.replace(CPU, env=env))
    return {"config": config} if robot is None else {"config": config, "robot": robot}


def test_no_file_and_no_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing.zip" in refused(capsys, "nothing.zip", "export")
    Path("text.zip").write_text("no zip", encoding="utf-8")
    assert "text.zip" in refused(capsys, "text.zip", "export")
    assert "DIR" in refused(capsys, "text.zip")
    assert "--opset must be 14 to 21, not 3" in refused(capsys, str(OLDER_POLICY), "export", "--opset", "3")


def test_a_folder_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    Path("export").mkdir()
    Path("export", "notes.txt").touch()
    assert "export is not empty" in refused(capsys, str(OLDER_POLICY), "export")
    assert [path.name for path in Path("export").iterdir()] == ["notes.txt"]
    Path("file").touch()
    assert "file is not a folder" in refused(capsys, str(OLDER_POLICY), "file")
    assert "file/export" in refused(capsys, str(OLDER_POLICY), "file/export")


def test_an_empty_folder_and_a_deep_one_are_taken() -> None:
    Path("empty").mkdir()
    assert main([str(OLDER_POLICY), "empty"]) == 0
    assert main([str(OLDER_POLICY), "a/b/c"]) == 0
    assert {path.name for path in Path("a/b/c").iterdir()} == {path.name for path in Path("empty").iterdir()}


def test_weights_with_nan(capsys: pytest.CaptureFixture[str]) -> None:
    members = members_of(OLDER_POLICY)
    weights = torch.load(io.BytesIO(members["policy.pth"]), weights_only=True)
    weights["action_net.bias"][2] = torch.nan
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    Path("model.zip").write_bytes(zip_bytes({**members, "policy.pth": buffer.getvalue()}))
    assert "action_net.bias holds infinite numbers or NaN" in refused(capsys, "model.zip", "export")
    model, experiment = older()
    policy = bounded_policy(Checkpoint(OLDER_POLICY, model), experiment.env)
    with torch.no_grad():
        policy.action_net.weight[0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"action_net\.weight holds NaN or infinite numbers"):
        check_policy(OLDER_POLICY, policy)


def test_actions_that_never_change(capsys: pytest.CaptureFixture[str]) -> None:
    parameters = dict(older()[0].parameters)
    parameters["action_net.weight"] = torch.zeros_like(parameters["action_net.weight"])
    assert "the same action whatever it observes" in refused_model(capsys, parameters=parameters)
    parameters = {**older()[0].parameters, "action_net.bias": torch.full((9,), 1e6)}
    assert "the same action whatever it observes" in refused_model(capsys, parameters=parameters)


def test_wrong_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("actions.zip"), action_dim=3, own_facts=facts())
    assert "gives 3 actions" in refused(capsys, "actions.zip", "export")
    save_model(Path("observations.zip"), observation_dim=38, own_facts=facts())
    assert "it takes 38 observations" in refused(capsys, "observations.zip", "export")


def test_bounds_that_leave_no_action(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused_model(capsys, action_low=(200.0,) * 9, action_high=(300.0,) * 9)
    assert "nothing in common" in line


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stiffness": [15.0] * 8 + [1.0]}, "stiffness 1.0 N m/rad for revolute_torso, and the robot now has 15.0"),
        ({"damping": [0.0] + [0.8] * 8}, "damping 0.0 N m s/rad for right_hip1, and the robot now has 0.8"),
        ({"effort_limit": [12.0] * 3}, "effort_limit 12.0, 12.0, 12.0, and"),
        ({"armature": [0.1] * 9}, "armature 0.1 kg m^2"),
        ({"default_joint_position": [0.0] * 9}, "default_joint_position 0.0 rad for right_hip2"),
        ({"joint_names": list(reversed(BIPED.joint_names))}, "joints revolute_torso, left_ankle"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_robot_that_is_not_the_one_of_the_training(
    capsys: pytest.CaptureFixture[str], change: dict[str, Any], reason: str
) -> None:
    line = refused_model(capsys, own_facts=facts({**robot_facts(BIPED), **change}))
    assert f"model.zip was trained with {reason}" in line
    assert "restore the robot" in line


def test_the_robot_of_the_training_is_taken() -> None:
    write_zip(Path("model.zip"), dataclasses.replace(older()[0], own_facts=facts(robot_facts(BIPED))))
    assert main(["model.zip", "export"]) == 0
    assert difference(robot_facts(BIPED), BIPED) is None
    assert difference({}, BIPED) is None


@pytest.mark.parametrize("name", ["motor_strength", "stiffness", "damping"])
def test_gains_that_no_robot_of_the_training_had(capsys: pytest.CaptureFixture[str], name: str) -> None:
    line = refused_model(capsys, own_facts=facts(None, **{name: (0.5, 0.8)}))
    assert "0.5 to 0.8 times the robot's gains" in line
    assert f"--env.randomization.{name.replace('_', '-')}" in line


def test_a_task_that_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not tell the task" in refused_model(capsys, own_facts=None)
    assert "does not fit this version" in refused_model(capsys, own_facts={"config": {"colour": "red"}})


def test_a_mirror_that_nobody_could_time(capsys: pytest.CaptureFixture[str]) -> None:
    env = dataclasses.replace(CPU.env, observations=dataclasses.replace(CPU.env.observations, clock=False))
    config = to_plain(dataclasses.replace(CPU, env=env))
    save_model(Path("model.zip"), observation_dim=38, own_facts={"config": config})
    assert "--env.observations.clock" in refused(capsys, "model.zip", "export")


def test_an_observation_without_words() -> None:
    torque = ObservationField("joint_torque", Measured(lambda state: state.joint_torque, in_place(1.0)), (0,))
    with pytest.raises(ValueError, match="observes joint_torque, which the contract has no words for"):
        check_sources([torque])


def test_a_graph_that_differs() -> None:
    model, experiment = older()
    policy = bounded_policy(Checkpoint(OLDER_POLICY, model), experiment.env)

    def step(observation: Array, hidden: Array, cell: Array, error: float = 0.0) -> tuple[Array, Array, Array]:
        return observation[:, :9] + np.float32(error), hidden, cell

    check_agreement(OLDER_POLICY, step, step, policy)
    for wrong in (1e-3, torch.nan):
        with pytest.raises(ValueError, match="differs from the original by"):
            check_agreement(OLDER_POLICY, step, partial(step, error=wrong), policy)


def test_libraries_that_are_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "LIBRARIES", ("onnx", "no_such_library"))
    line = refused(capsys, str(OLDER_POLICY), "export")
    assert line == f"error: no_such_library is missing: {exporting.INSTALL}"


def test_a_disk_that_takes_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in refused(capsys, str(OLDER_POLICY), "export")
    assert list(Path("export").iterdir()) == []
