"""The contract of an exported policy: everything about robot, task and policy that has to be right on the other side.

What each field means stands in `contract.schema.json`, which is written beside every contract.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from app.experiment import Experiment, to_plain
from app.export.graph import INPUTS, OUTPUTS, GraphMirror
from app.export.observation import describe_observation
from app.load import Checkpoint
from biped.robots.model_file import is_mjcf, without_meshes
from biped.robots.robot import Robot
from biped.task.mirror import Image
from ppo.policy import RecurrentActorCritic
from ppo.report.provenance import package_version

SCHEMA_VERSION = 1
"""Raised whenever a reader of the contract would have to change."""
SCHEMA_NAME = "contract.schema.json"
VERSIONS = ("biped-ppo", "torch", "genesis-world", "mujoco", "onnx")
"""Distributions whose versions the contract tells."""


class Subject(NamedTuple):
    """What is exported."""

    checkpoint: Checkpoint
    experiment: Experiment
    """That the checkpoint was trained in."""
    robot: Robot
    policy: RecurrentActorCritic
    """With its action bounds."""


def schema_text() -> str:
    """The JSON schema of this version's contracts."""
    return resources.files("app.export").joinpath(SCHEMA_NAME).read_text(encoding="utf-8")


def contract_text(contract: Mapping[str, Any]) -> str:
    """The contract as it is written: plain JSON without NaN and infinity, a list of numbers in one line."""
    text = json.dumps(contract, indent=2, allow_nan=False)
    # From a bracket at the end of a line to the next one at the start of a line, with nothing nested between.
    return re.sub(r"\[\n([^][{}]*?)\n\s*\]", _in_one_line, text) + "\n"


def _in_one_line(found: "re.Match[str]") -> str:
    return f"[{' '.join(line.strip() for line in found[1].splitlines())}]"


def sha256(content: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def model_name(robot: Robot) -> str:
    """What the model file of an export is called."""
    return "robot.xml" if is_mjcf(robot.asset) else "robot.urdf"


def model_bytes(robot: Robot) -> bytes:
    """The robot's URDF, or its MJCF as it is simulated: without meshes, which would be files of their own."""
    return without_meshes(robot.asset).encode() if is_mjcf(robot.asset) else robot.asset.read_bytes()


def output_bounds(
    low: Sequence[float], high: Sequence[float], mirror: GraphMirror | None
) -> tuple[list[float], list[float]]:
    """Bounds of the actions that leave the graph, which may be those of the network or their mirror image."""
    if mirror is None:
        return list(low), list(high)
    columns, signs = mirror.action.columns, mirror.action.signs
    ends = [sorted((sign * low[column], sign * high[column])) for column, sign in zip(columns, signs, strict=True)]
    return (
        [min(bound, end[0]) for bound, end in zip(low, ends, strict=True)],
        [max(bound, end[1]) for bound, end in zip(high, ends, strict=True)],
    )


def make_contract(subject: Subject, mirror: GraphMirror | None, opset: int) -> dict[str, Any]:
    """The contract as plain values.

    Args:
        subject: what is exported.
        mirror: what the graph mirrors, if the task does.
        opset: of the graph.

    Raises:
        ValueError: a part of the task cannot be expressed.
    """
    checkpoint, experiment, robot, policy = subject
    env = experiment.env
    layout = describe_observation(robot, env.observations)
    low, high = output_bounds(policy.action_low.tolist(), policy.action_high.tolist(), mirror)
    network, state = policy.config, [policy.config.n_lstm_layers, 1, policy.config.lstm_hidden_size]
    shapes = {"obs": [1, layout["size"]], "actions": [1, robot.num_joints]}
    return {
        "schema_version": SCHEMA_VERSION,
        "robot": {
            "name": robot.name,
            "model": model_name(robot),
            "model_sha256": sha256(model_bytes(robot)),
            "base_link": robot.base_link,
            "foot_links": list(robot.foot_links),
            "nominal_base_height": robot.nominal_base_height,
        },
        "joints": describe_joints(robot),
        "control": {
            "period": experiment.simulation.control_dt,
            "rate": 1.0 / experiment.simulation.control_dt,
            "physics_steps": experiment.simulation.substeps,
        },
        "action": {
            "size": robot.num_joints,
            "scale": [env.actuators.action_scale] * robot.num_joints,
            "low": low,
            "high": high,
            "clipped_inside": True,
            "joint_target": "default_position + scale * action",
        },
        "observation": layout,
        "contact_threshold": env.gait.contact_threshold,
        "command": {
            "linear_velocity_x": list(env.commands.linear_velocity_x),
            "linear_velocity_y": list(env.commands.linear_velocity_y),
            "yaw_rate": list(env.commands.yaw_rate),
            "standing_probability": env.commands.standing_probability,
            "resampling_time": env.commands.resampling_time_s,
            "course_gain": env.commands.course_gain,
            "course_rate": env.commands.course_rate,
        },
        "clock": {
            "observed": env.observations.clock,
            "period": env.gait.period,
            "start_phase": 0.0,
            "random_start_in_training": env.gait.random_phase,
            "standing_command": env.gait.standing_command,
            "standing": "every value of the command, as an absolute value, is below standing_command",
            "stopping_time": env.gait.stopping_time,
            "runs_while_standing": True,
            "signal": "sine and cosine of 2 pi phase; both 0 while standing for longer than stopping_time",
            "stance_fraction": env.gait.stance_fraction,
            "left_offset": env.gait.left_offset,
        },
        "mirror": None if mirror is None else describe_mirror(mirror),
        "policy": {
            "inputs": {name: shapes.get(name, state) for name in INPUTS},
            "outputs": {name: shapes.get(name, state) for name in OUTPUTS},
            "type": "float32",
            "opset": opset,
            "normalization": "none outside of the graph",
            "initial_state": 0.0,
            "activation": network.activation,
            "features": list(network.features),
            "hidden": list(network.pi),
        },
        "training": {
            "engine": experiment.simulator,
            "control_steps": checkpoint.model.num_timesteps,
            "observation_noise": env.observations.noise,
            "randomization": to_plain(env.randomization),
        },
        "versions": {name: package_version(name) for name in VERSIONS},
        "checkpoint": {"file": checkpoint.path.name, "sha256": sha256(checkpoint.path.read_bytes())},
    }


def describe_joints(robot: Robot) -> dict[str, Any]:
    """Joints and servos as they are simulated; a joint without limits gets null."""
    limits = [[bound if math.isfinite(bound) else None for bound in pair] for pair in robot.joint_range]
    return {
        "names": list(robot.joint_names),
        "default_position": list(robot.default_joint_position),
        "lower_limit": [pair[0] for pair in limits],
        "upper_limit": [pair[1] for pair in limits],
        "stiffness": list(robot.stiffness),
        "damping": list(robot.damping),
        "effort_limit": list(robot.effort_limit),
        "armature": list(robot.armature),
        "torque": "clip(stiffness * (joint_target - position) - damping * velocity, -effort_limit, effort_limit)",
    }


def describe_mirror(mirror: GraphMirror) -> dict[str, Any]:
    """What the graph does by itself."""
    return {
        "inside": True,
        "when": "the sine of the clock in the observation is below 0: the left foot is to carry",
        "formula": "image[i] = signs[i] * values[columns[i]], of the observation on the way in, of the action on the "
        "way out",
        "observation": describe_image(mirror.observation),
        "action": describe_image(mirror.action),
    }


def describe_image(image: Image) -> dict[str, Any]:
    """Where each value comes from, and with which sign."""
    return {"columns": list(image.columns), "signs": list(image.signs)}


def metadata(contract: Mapping[str, Any], text: str) -> dict[str, str]:
    """What is written into the ONNX file: the contract, and its joints once more under the names that mjlab uses.

    Several runtimes read those. Numbers are written so that they are read back as they were.
    """
    joints, action = contract["joints"], contract["action"]
    values = {
        "joint_names": joints["names"],
        "joint_stiffness": joints["stiffness"],
        "joint_damping": joints["damping"],
        "default_joint_pos": joints["default_position"],
        "action_scale": action["scale"],
    }
    return {"contract": text, **{name: ",".join(map(str, each)) for name, each in values.items()}}
