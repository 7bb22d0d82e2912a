"""Recordings that nobody had to walk for."""

import dataclasses
import math

import numpy as np

from biped.examination.recording import Recording
from biped.examination.trials import STRAIGHT, SUDDEN_CHANGES, Trial
from biped.robots.library import BIPED
from biped.robots.robot import Robot

CONTROL_DT = 0.02


def walk(
    trial: Trial = Trial((STRAIGHT,)),  # noqa: B008 - it is frozen
    steps: int = 300,
    *,
    fell: bool = False,
    robot: Robot = BIPED,
) -> Recording:
    """A robot that keeps exactly to its commands, its feet taking turns every 0.4 s, its joints swinging with them."""
    leg = np.arange(steps) * len(trial.commands) // max(1, steps)
    command = np.array(trial.commands, dtype=np.float32)[leg].reshape(steps, 3)
    wave = np.sin(2.0 * math.pi * np.arange(steps) / 40.0).astype(np.float32)
    joints = np.outer(wave, np.ones(robot.num_joints, dtype=np.float32))
    right = wave >= 0.0
    feet = np.zeros((steps, 2, 3), dtype=np.float32)
    feet[:, 0, 0], feet[:, 1, 0] = wave, -wave
    return Recording(
        trial=trial,
        control_dt=CONTROL_DT,
        robot=robot,
        reward_names=("alive", "tilt"),
        fell=fell,
        command=command,
        velocity=command[:, :2],
        yaw=np.cumsum(command[:, 2]) * np.float32(CONTROL_DT),
        base_height=np.full(steps, 0.4, dtype=np.float32),
        contact=np.stack((right, ~right), axis=1),
        foot_position=feet,
        joint_position=joints,
        joint_velocity=joints,
        joint_target=joints,
        joint_torque=np.float32(2.0) * joints,
        rewards=np.tile(np.array([0.5, -0.25], dtype=np.float32), (steps, 1)),
    )


def jumping() -> Recording:
    """Sudden changes."""
    return walk(SUDDEN_CHANGES, 400)


def fallen_at_once() -> Recording:
    """A robot of which there is nothing to see."""
    return walk(steps=0, fell=True)


def oddly_named() -> Recording:
    """A robot whose joints are called as nobody should."""
    names = ("$x^{$", "<script>alert(1)</script>", "ä_🤖", "left_$", *BIPED.joint_names[4:])
    names = tuple(f"{name} {number}" for number, name in enumerate(names))
    groups = {"observed_groups": (), "torso_joints": (), "sideways_joints": (), "rhythmic_joints": ()}
    return walk(robot=dataclasses.replace(BIPED, joint_names=names, **groups))  # type: ignore[arg-type]
