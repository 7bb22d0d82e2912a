"""What observations take their values from: the state, what the robot knows by itself, what only a simulator knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.state import State
from biped.task.gait import clock_signal
from biped.task.mirror import OTHER_FOOT, ROTATION, VECTOR, MirrorRule, in_place, other_joints, other_motors


class Knowledge(NamedTuple):
    """What is known of `N` robots with `J` joints without measuring; from `friction` on, by a simulator only."""

    command: Tensor
    """`[N, 3]` m/s, m/s, rad/s."""
    foot_contact: Tensor
    """`[N, 2]` readings of the contact sensors, 0 to 1."""
    previous_action: Tensor
    """`[N, J]`."""
    phase: Tensor
    """`[N]` of the gait clock, 0 to 1."""
    standing: Tensor
    """`[N]` bool, where the command asks to stand."""
    friction: Tensor
    """`[N]` coefficient as it was drawn; 1 where none is."""
    motor_strength: Tensor
    """`[N, J]` of the nominal motors."""
    added_mass: Tensor
    """`[N]` kg."""
    latency: Tensor
    """`[N]` int64, control steps."""
    last_push: Tensor
    """`[N, 3]` as `biped.task.last_push` describes it; 0 where the observation does not show it."""


@dataclass(frozen=True)
class Measured:
    """A quantity `[N, W]` that sensors measure of the state."""

    read: Callable[[State], Tensor]
    mirror: MirrorRule | None = None
    """How it looks in the mirror; needed where `mirror_left_stance` is on."""
    at_rest: Callable[[State], Tensor] | None = None
    """Where `read` cannot tell it from `state_at_rest`, because that does not know heading and feet."""


@dataclass(frozen=True)
class Known:
    """A quantity `[N, W]` that the robot, or a simulator, knows by itself."""

    read: Callable[[Knowledge], Tensor]
    mirror: MirrorRule | None = None
    """How it looks in the mirror; needed where `mirror_left_stance` is on."""


ROLL_PITCH_YAW = Measured(lambda state: state.roll_pitch_yaw, ROTATION)
BASE_ANGULAR_VELOCITY = Measured(lambda state: state.base_angular_velocity, ROTATION)
BASE_LINEAR_VELOCITY = Measured(lambda state: state.base_linear_velocity, VECTOR)
BASE_POSITION = Measured(lambda state: state.base_position, VECTOR)
PROJECTED_GRAVITY = Measured(lambda state: state.projected_gravity, VECTOR)
CONTACT_FORCE = Measured(lambda state: state.foot_contact_force.log1p(), OTHER_FOOT)
"""Logarithm of 1 plus the force in N: an impact of many times the weight is no outlier, whatever the robot weighs."""
JOINT_POSITION = Measured(lambda state: state.joint_position, other_joints)
JOINT_VELOCITY = Measured(lambda state: state.joint_velocity, other_joints)

COMMAND = Known(lambda knowledge: knowledge.command, in_place(1.0, -1.0, -1.0))
FOOT_CONTACT = Known(lambda knowledge: knowledge.foot_contact, OTHER_FOOT)
PREVIOUS_ACTION = Known(lambda knowledge: knowledge.previous_action, other_joints)
CLOCK = Known(lambda knowledge: clock_signal(knowledge.phase, knowledge.standing), in_place(-1.0, -1.0))
"""Half a period later, sine and cosine have turned."""
FRICTION = Known(lambda knowledge: knowledge.friction.unsqueeze(1), in_place(1.0))
MOTOR_STRENGTH = Known(lambda knowledge: knowledge.motor_strength, other_motors)
ADDED_MASS = Known(lambda knowledge: knowledge.added_mass.unsqueeze(1), in_place(1.0))
LATENCY = Known(lambda knowledge: knowledge.latency.float().unsqueeze(1), in_place(1.0))
LAST_PUSH = Known(lambda knowledge: knowledge.last_push, VECTOR)


def state_at_rest(robot: Robot, num_envs: int, device: torch.device) -> State:
    """`N` robots before the first control step of an episode: upright, at rest, touching nothing, in the default pose.

    What that does not tell is NaN: the yaw, and where the feet are.
    """
    still = torch.zeros(num_envs, 3, device=device)
    joints = torch.zeros(num_envs, robot.num_joints, device=device)
    feet = torch.zeros(num_envs, 2, 3, device=device)

    def everyone(*values: float) -> Tensor:
        return torch.tensor(values, device=device).repeat(num_envs, 1)

    return State(
        base_position=everyone(0.0, 0.0, robot.nominal_base_height),
        base_quaternion=everyone(1.0, 0.0, 0.0, 0.0),
        base_linear_velocity=still,
        base_angular_velocity=still,
        projected_gravity=everyone(0.0, 0.0, -1.0),
        roll_pitch_yaw=everyone(0.0, 0.0, torch.nan),
        joint_position=everyone(*robot.default_joint_position),
        joint_velocity=joints,
        joint_torque=joints,
        foot_position=torch.full_like(feet, torch.nan),
        foot_velocity=feet,
        foot_contact_force=feet[..., 0],
        failed=torch.zeros(num_envs, dtype=torch.bool, device=device),
    )


def knowledge_at_rest(robot: Robot, num_envs: int, device: torch.device) -> Knowledge:
    """What is known of `N` robots like the model that have no command, feel no ground and have not acted."""
    return Knowledge(
        command=torch.zeros(num_envs, 3, device=device),
        foot_contact=torch.zeros(num_envs, 2, device=device),
        previous_action=torch.zeros(num_envs, robot.num_joints, device=device),
        phase=torch.zeros(num_envs, device=device),
        standing=torch.ones(num_envs, dtype=torch.bool, device=device),
        friction=torch.ones(num_envs, device=device),
        motor_strength=torch.ones(num_envs, robot.num_joints, device=device),
        added_mass=torch.zeros(num_envs, device=device),
        latency=torch.zeros(num_envs, dtype=torch.int64, device=device),
        last_push=torch.zeros(num_envs, 3, device=device),
    )
