"""A policy as an export, and the same policy in PyTorch, in a task in which nothing is random."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.build import Parts, physics_of
from app.experiment import Experiment, from_plain
from app.export.exporting import main
from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.robots.library import BIPED
from biped.simulators.config import SimulationConfig
from biped.simulators.mujoco import MujocoSimulator
from biped.simulators.state import State
from biped.task.randomization import RandomizationConfig
from ppo.agent import TrainedAgent
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.checkpoint.sb3_zip import read_zip, write_zip
from tests.app.older_policy import OLDER_POLICY

NOTHING_RANDOM = RandomizationConfig(friction=None, motor_strength=None, backlash=None, latency_steps=(0, 0))


def older() -> tuple[Sb3Model, Experiment]:
    """An older policy that walks, and the experiment that it was trained in."""
    model = read_zip(OLDER_POLICY)
    assert model.own_facts is not None
    return model, from_plain(model.own_facts["config"])


def quiet(config: EnvConfig) -> EnvConfig:
    """The task without noise, randomisation and latency."""
    return dataclasses.replace(
        config,
        observations=dataclasses.replace(config.observations, noise=False),
        randomization=NOTHING_RANDOM,
        gait=dataclasses.replace(config.gait, random_phase=False),
        reset=dataclasses.replace(config.reset, joint_noise=0.0),
        randomize_episode_start=False,
    )


def export_of(model: Sb3Model, folder: Path, *options: str) -> Path:
    """Write the model as a checkpoint and export it; returns the folder of the export."""
    checkpoint, target = folder / "model.zip", folder / "export"
    write_zip(checkpoint, model)
    assert main([str(checkpoint), str(target), *options]) == 0
    return target


def physics() -> SimulationConfig:
    """Of the policy in MuJoCo."""
    return physics_of("mujoco", older()[1])


class RecordingSimulator(MujocoSimulator):
    """Remembers what the motors were last told."""

    joint_target: Tensor

    def step(self, joint_target: Tensor) -> None:
        self.joint_target = joint_target.clone()
        super().step(joint_target)


def make_env(config: EnvConfig, num_envs: int = 1) -> BipedEnv:
    """Robots in MuJoCo, the observation not yet asked for."""
    return BipedEnv(RecordingSimulator(BIPED, num_envs, physics(), torch.device("cpu")), config, seed=1)


def make_agent(env: BipedEnv) -> TrainedAgent:
    """The policy in PyTorch."""
    return TrainedAgent(Parts().trained_policy(older()[0], env), env.num_envs)


def readings_of(state: State, contact: Tensor, robot: int = 0) -> Mapping[str, Any]:
    """What the sensors of one robot report, by the names of the contract; what no policy may see is left out."""
    names = ("roll_pitch_yaw", "base_angular_velocity", "base_linear_velocity", "base_position", "joint_position")
    readings = {name: getattr(state, name)[robot].numpy() for name in (*names, "joint_velocity")}
    return {**readings, "foot_contact": contact[robot].numpy()}
