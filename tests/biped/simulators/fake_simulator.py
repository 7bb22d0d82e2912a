"""A kinematic stand-in for a simulator: joints move towards their targets and the base follows from them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biped.robots.library import BIPED
from biped.robots.robot import Robot
from biped.simulators.state import State, make_state
from ppo.env import Recorder

MATTERING = ("friction", "motor_strength", "added_mass")
"""The properties that show in the motion."""
DEFAULT_POSITION = torch.tensor(BIPED.default_joint_position)


def upright_state(num_envs: int) -> State:
    """Robots that stand still in the default pose, both feet carrying 14 N."""
    zeros = torch.zeros(num_envs, 3)
    quaternion = torch.zeros(num_envs, 4)
    quaternion[:, 0] = 1.0
    return make_state(
        base_position=zeros + torch.tensor([0.0, 0.0, BIPED.nominal_base_height]),
        base_quaternion=quaternion,
        base_linear_velocity_world=zeros,
        base_angular_velocity_world=zeros.clone(),
        joint_position=DEFAULT_POSITION.repeat(num_envs, 1),
        joint_velocity=torch.zeros(num_envs, 9),
        joint_torque=torch.zeros(num_envs, 9),
        foot_position=torch.zeros(num_envs, 2, 3),
        foot_velocity=torch.zeros(num_envs, 2, 3),
        foot_contact_force=torch.full((num_envs, 2), 14.0),
        failed=torch.zeros(num_envs, dtype=torch.bool),
    )


class FakeSimulator:
    """Satisfies `biped.simulators.interface.Simulator` without physics.

    The base moves, tilts and sinks with the joints, so that every action, latency, motor strength and friction shows
    in the state. As with a real engine, `read` does not show a reset before the next step.
    """

    def __init__(self, num_envs: int, device: torch.device | None = None) -> None:
        self.robot: Robot = BIPED
        self.num_envs = num_envs
        self.device = device = device or torch.device("cpu")
        self.control_dt = 0.02
        self.friction = torch.ones(num_envs, device=device)
        self.motor_strength = torch.ones(num_envs, 9, device=device)
        self.added_mass = torch.zeros(num_envs, device=device)
        self.other_properties: dict[str, Tensor] = {}
        """Those that change nothing here."""
        self.forces: list[Tensor] = []
        """Every argument of `set_force`."""
        self.overrides: dict[str, Tensor] = {}
        """Fields of the next states that a test dictates."""
        self.targets: list[Tensor] = []
        """Every joint target received."""
        self.velocity_settings: list[tuple[Tensor, Tensor]] = []
        """Every argument of `set_velocity`."""
        self.closed = False
        self.state = State(*(field.to(device) for field in upright_state(num_envs)))
        self.joint_position = self.state.joint_position
        self.base_position = self.state.base_position
        self.base_quaternion = self.state.base_quaternion
        self.push = torch.zeros(num_envs, 3, device=device)
        self.default_position = DEFAULT_POSITION.to(device)

    def step(self, joint_target: Tensor) -> None:
        self.targets.append(joint_target.clone())
        before = self.joint_position
        self.joint_position = before + 0.8 * self.motor_strength * (joint_target - before)
        joint_velocity = (self.joint_position - before) / self.control_dt
        deviation = self.joint_position - self.default_position
        velocity = self.friction.unsqueeze(1) * deviation[:, :3] + 0.1 * self.push
        self.base_position = self.base_position + self.control_dt * velocity
        self.base_position[:, 2] = BIPED.nominal_base_height - 0.05 * deviation[:, 1].abs() - 0.01 * self.added_mass
        half_pitch = 0.3 * deviation[:, 3]
        zero = torch.zeros_like(half_pitch)
        self.base_quaternion = torch.stack((half_pitch.cos(), zero, half_pitch.sin(), zero), dim=-1)
        feet = deviation[:, 2::4]
        foot_position = torch.zeros(self.num_envs, 2, 3, device=self.device)
        foot_position[..., 2] = feet.abs() * 0.1
        self.state = make_state(
            base_position=self.base_position.clone(),
            base_quaternion=self.base_quaternion,
            base_linear_velocity_world=velocity,
            base_angular_velocity_world=0.1 * joint_velocity[:, :3],
            joint_position=self.joint_position,
            joint_velocity=joint_velocity,
            joint_torque=15.0 * (joint_target - self.joint_position),
            foot_position=foot_position,
            foot_velocity=foot_position,
            foot_contact_force=torch.where(feet > 0.0, 14.0, 0.0),
            failed=torch.zeros(self.num_envs, dtype=torch.bool, device=self.device),
        )

    def read(self) -> State:
        return self.state._replace(**self.overrides)

    def reset(self, mask: Tensor, base_position: Tensor, base_quaternion: Tensor, joint_position: Tensor) -> None:
        masked = mask.unsqueeze(-1)
        self.base_position = torch.where(masked, base_position, self.base_position)
        self.base_quaternion = torch.where(masked, base_quaternion, self.base_quaternion)
        self.joint_position = torch.where(masked, joint_position, self.joint_position)
        self.push = torch.where(masked, 0.0, self.push)

    def set_velocity(self, base_linear_velocity_world: Tensor, base_angular_velocity_world: Tensor) -> None:
        self.velocity_settings.append((base_linear_velocity_world.clone(), base_angular_velocity_world.clone()))
        self.push = base_linear_velocity_world.clone()

    def set_properties(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            if name in MATTERING:
                setattr(self, name, value.clone())
            else:
                self.other_properties[name] = value.clone()

    def read_properties(self) -> dict[str, Tensor]:
        return {**{name: getattr(self, name).clone() for name in MATTERING}, **self.other_properties}

    def set_force(self, force: Tensor) -> None:
        self.forces.append(force.clone())
        self.push = self.push + 0.01 * force

    def state_dict(self) -> dict[str, Any]:
        moving = ("joint_position", "base_position", "base_quaternion", "push")
        return {name: getattr(self, name).clone() for name in (*moving, *MATTERING)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value.to(self.device, copy=True))

    def record(self, recorder: Recorder) -> None:
        pass

    def render(self, robot: int = 0) -> NDArray[np.uint8]:
        raise ValueError("no camera")

    def close(self) -> None:
        self.closed = True
