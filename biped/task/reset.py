"""Where an episode begins."""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.task.randomization import uniform
from ppo.value_ranges import Range, check_ranges


@dataclass(frozen=True)
class ResetConfig:
    """The first pose of an episode."""

    joint_noise: Annotated[float, Range(0.0, 1000.0)] = 0.05
    """rad; each joint starts up to this away from its default position."""
    clearance: Annotated[float, Range(-1000.0, 1000.0)] = 0.01
    """m between the soles and the ground in the default pose, so that joint noise puts no foot into the ground."""
    random_yaw: bool = False
    """Start with a random heading instead of facing along the world's x axis."""

    def __post_init__(self) -> None:
        check_ranges(self)


class InitialPose(NamedTuple):
    """Upright poses of `N` robots with `J` joints."""

    base_position: Tensor
    """`[N, 3]` m, world frame."""
    base_quaternion: Tensor
    """`[N, 4]` body to world, w x y z."""
    joint_position: Tensor
    """`[N, J]` rad."""


class InitialPoses:
    """The first poses of the episodes of `N` robots."""

    def __init__(self, config: ResetConfig, robot: Robot, num_envs: int, generator: torch.Generator) -> None:
        """Prepare the default pose."""
        device = generator.device
        self._config = config
        self._generator = generator
        self._default_joint_position = torch.tensor(robot.default_joint_position, device=device)
        self._base_position = torch.zeros(num_envs, 3, device=device)
        self._base_position[:, 2] = robot.nominal_base_height + config.clearance
        self._base_quaternion = torch.zeros(num_envs, 4, device=device)
        self._base_quaternion[:, 0] = 1.0

    def draw(self) -> InitialPose:
        """Draw a pose for each robot."""
        config, generator = self._config, self._generator
        num_envs = self._base_position.shape[0]
        base_quaternion = self._base_quaternion
        if config.random_yaw:
            half_yaw = uniform((num_envs,), -0.5 * math.pi, 0.5 * math.pi, generator)
            zero = torch.zeros_like(half_yaw)
            base_quaternion = torch.stack((half_yaw.cos(), zero, zero, half_yaw.sin()), dim=-1)
        shape = (num_envs, self._default_joint_position.shape[0])
        joint_position = uniform(shape, -config.joint_noise, config.joint_noise, generator)
        return InitialPose(self._base_position, base_quaternion, joint_position.add_(self._default_joint_position))
