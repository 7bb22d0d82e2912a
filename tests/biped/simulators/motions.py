"""Poses and motions that the tests of the engines put robots through."""

import torch
from torch import Tensor

from biped.robots.library import BIPED
from biped.simulators.genesis import GenesisSimulator
from biped.simulators.mujoco import MujocoSimulator
from biped.simulators.properties import PROPERTIES
from biped.simulators.state import State

DEFAULT_POSITION = torch.tensor(BIPED.default_joint_position)
WEIGHT = 2.9 * 9.81
"""N."""

Pose = tuple[Tensor, Tensor, Tensor]
Simulator = GenesisSimulator | MujocoSimulator


def standing_pose(num_envs: int) -> Pose:
    """Base position, base quaternion and joint positions of robots standing at the origin."""
    position = torch.tensor([0.0, 0.0, BIPED.nominal_base_height]).repeat(num_envs, 1)
    quaternion = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(num_envs, 1)
    return position, quaternion, DEFAULT_POSITION.repeat(num_envs, 1)


def all_of(simulation: Simulator) -> Tensor:
    """The mask of every robot."""
    return torch.ones(simulation.num_envs, dtype=torch.bool)


def make_nominal(simulation: Simulator) -> None:
    """Let robots like the model stand at the origin."""
    # Masses take long in Genesis: what is nominal already is left alone.
    held = simulation.read_properties()
    nominal = {name: torch.full_like(value, PROPERTIES[name].neutral) for name, value in held.items()}
    simulation.set_properties({name: value for name, value in nominal.items() if not torch.equal(value, held[name])})
    simulation.reset(all_of(simulation), *standing_pose(simulation.num_envs))


def lift(simulation: Simulator) -> None:
    """Put all robots high up in the air, at rest."""
    position, quaternion, joint_position = standing_pose(simulation.num_envs)
    position[:, 2] = 2.0
    simulation.reset(all_of(simulation), position, quaternion, joint_position)


def hold(simulation: Simulator, steps: int) -> State:
    """Hold the default pose for a number of control steps."""
    for _ in range(steps):
        simulation.step(DEFAULT_POSITION.repeat(simulation.num_envs, 1))
    return simulation.read()


def targets(num_envs: int, steps: int, size: float = 0.2) -> Tensor:
    """Random joint targets `[steps, N, J]` around the default pose."""
    noise = torch.randn(steps, num_envs, BIPED.num_joints, generator=torch.Generator().manual_seed(0))
    return DEFAULT_POSITION + size * noise


def flat(state: State) -> Tensor:
    """All fields in one row per robot."""
    return torch.cat([value.reshape(len(state.failed), -1).float() for value in state], dim=1)


def trajectory(simulation: Simulator, joint_targets: Tensor) -> Tensor:
    """Everything read along `joint_targets` `[steps, N, J]`, in one tensor `[steps, N, ...]`."""
    rows = []
    for target in joint_targets:
        simulation.step(target)
        rows.append(flat(simulation.read()))
    return torch.stack(rows)
