"""What observations take their values from: the state, what the robot knows by itself, what only a simulator knows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.state import State
from biped.task.gait import clock_signal
from biped.task.mirror import OTHER_FOOT, ROTATION, VECTOR, MirrorRule, in_place, other_joints, other_motors


class Knowledge(NamedTuple):
    """What is known of `N` robots with `J` joints without measuring."""

    command: Tensor
    """`[N, 3]` m/s, m/s, rad/s."""
    foot_contact: Tensor
    """`[N, 2]` readings of the contact sensors: 0 or 1, and their noise."""
    previous_action: Tensor
    """`[N, J]`."""
    phase: Tensor
    """`[N]` of the gait clock, 0 to 1."""
    standing: Tensor
    """`[N]` bool, where the command asks to stand."""
    hidden: Mapping[str, Tensor]
    """What only a simulator knows, by the names in `HIDDEN`: `[N]` or `[N, W]`."""


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


class Hidden(NamedTuple):
    """A quantity that only a simulator knows."""

    width: int | None
    """`W`; None where it has one value for each joint."""
    neutral: float
    """Its values where nothing is drawn and nothing has happened."""
    source: Known

    def columns(self, robot: Robot) -> int:
        """`W` for `robot`."""
        return robot.num_joints if self.width is None else self.width


def hidden(name: str, width: int | None, neutral: float, mirror: MirrorRule) -> tuple[str, Hidden]:
    """An entry of `HIDDEN`."""
    return name, Hidden(width, neutral, Known(lambda knowledge: _columns(knowledge.hidden[name]), mirror))


def _columns(value: Tensor) -> Tensor:
    """Values of `N` robots, `[N]` or `[N, W]`, as `[N, W]` of float32."""
    return value.reshape(len(value), -1).float()


HIDDEN: Mapping[str, Hidden] = dict(
    (
        # The coefficient as it was drawn.
        hidden("friction", 1, 1.0, in_place(1.0)),
        # Of the nominal motors.
        hidden("motor_strength", None, 1.0, other_motors),
        # kg.
        hidden("added_mass", 1, 0.0, in_place(1.0)),
        # m, of the base, from where it is in the model; body frame.
        hidden("center_of_mass", 3, 0.0, VECTOR),
        # Of the nominal gains.
        hidden("stiffness", None, 1.0, other_motors),
        hidden("damping", None, 1.0, other_motors),
        # Of the links that the joints move, as a multiple of the model's.
        hidden("link_mass", None, 1.0, other_motors),
        # rad that the encoders show too much.
        hidden("encoder_bias", None, 0.0, other_joints),
        # Control steps.
        hidden("sensor_delay", 1, 0.0, in_place(1.0)),
        # N on the base in the last control step, in the body frame.
        hidden("impulse", 3, 0.0, VECTOR),
        # Control steps.
        hidden("latency", 1, 0.0, in_place(1.0)),
        # As `biped.task.last_push` describes it.
        hidden("last_push", 3, 0.0, VECTOR),
    )
)


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
        hidden={
            name: torch.full((num_envs, one.columns(robot)), one.neutral, device=device) for name, one in HIDDEN.items()
        },
    )
