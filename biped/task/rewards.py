"""Reward terms, one pure function each, and their weighted sum."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from biped.robots.joint_limits import joint_limits
from biped.robots.robot import Robot
from biped.simulators.state import State
from ppo.value_ranges import ConfigurationError, Range, check_ranges

SIDEWAYS_JOINTS = ("right_hip1", "left_hip1", "revolute_torso")
"""Joints that walking straight ahead does not need."""

Weight = Annotated[float, Range(-1e6, 1e6)]


@dataclass(frozen=True)
class RewardWeights:
    """One weight per term; 0 switches the term off.

    A weight is the reward per second for a term of value 1: the weighted sum is multiplied by the control step's
    duration. The exceptions say so: what happens at one instant is paid its weight at once, whatever the duration.
    """

    track_vx: Weight = 10.0
    """`exp(-error^2 / vx_sigma)` of the forward velocity."""
    track_vy: Weight = 6.0
    """`exp(-error^2 / vy_sigma)` of the leftward velocity."""
    track_wz: Weight = 0.0
    """`exp(-error^2 / wz_sigma)` of the yaw rate."""
    alive: Weight = 0.5
    """1, always."""
    vertical_velocity: Weight = -2.0
    """Square of the vertical velocity, m^2/s^2."""
    roll_pitch_rate: Weight = 0.0
    """Sum of the squares of roll and pitch rate, rad^2/s^2."""
    tilt: Weight = 0.0
    """Sum of the squares of the horizontal parts of gravity's direction: the squared sine of the tilt."""
    torso_stability: Weight = 5.0
    """`exp(-tilt^2)` of the angle in rad between base and vertical."""
    fall: Weight = -100.0
    """1 while the base tilts by more than `fall_tilt_deg`: falling, but the episode goes on."""
    height_error: Weight = -2.0
    """Square of the base's distance in m from its nominal height."""
    low_height: Weight = -50.0
    """1 while the base is lower than `low_height_limit`."""
    action_rate: Weight = -0.02
    """Sum of the squares of the change of the action since the last control step."""
    default_pose: Weight = -0.1
    """Sum of the joints' distances in rad from the default pose."""
    sideways_joints: Weight = 0.0
    """Sum of the squares in rad^2 of how far hip abduction and torso are from the default pose."""
    joint_movement: Weight = 1.0
    """`joint_movement_gain` times the sum of the joint speeds, at most `joint_movement_cap`."""
    joint_acceleration: Weight = 0.0
    """Sum of the squares of the joint accelerations, rad^2/s^4."""
    joint_torque: Weight = 0.0
    """Sum of the squares of the joint torques, N^2 m^2."""
    joint_limit: Weight = 0.0
    """Sum in rad of how far joints are beyond the middle `soft_joint_limit` of their range."""
    foot_slip: Weight = 0.0
    """Sum over the feet on the ground of the square of their horizontal velocity, m^2/s^2."""
    clock_contact: Weight = 0.0
    """Number of feet, 0 to 2, that are on the ground or in the air as the clock wants."""
    swing_height: Weight = 0.0
    """Sum of the squares in m^2 of the soles' distance from `swing_height_target`, over the feet the clock wants in
    the air."""
    foot_air_time: Weight = 0.0
    """s that each foot which comes down was in the air, beyond `air_time_target`. At once."""
    foot_alternation: Weight = 1.0
    """0.5 for lifting a foot and 1 for putting it down, one foot after the other. At once."""
    sinusoidal_motion: Weight = 1.0
    """How alike the frequencies are at which the tracked joints swing, 0 to 1."""
    termination: Weight = 0.0
    """1 when a fall ends the episode. At once."""


@dataclass(frozen=True)
class RewardConfig(RewardWeights):
    """The weights and the parameters of the terms."""

    vx_sigma: Annotated[float, Range(1e-6, 1e6)] = 0.25
    """m^2/s^2."""
    vy_sigma: Annotated[float, Range(1e-6, 1e6)] = 0.25
    """m^2/s^2."""
    wz_sigma: Annotated[float, Range(1e-6, 1e6)] = 0.25
    """rad^2/s^2."""
    fall_tilt_deg: Annotated[float, Range(0.0, 1e6)] = 25.0
    """Degrees."""
    low_height_limit: Annotated[float, Range(-1e6, 1e6)] = 0.35
    """m."""
    joint_movement_gain: Annotated[float, Range(-1e6, 1e6)] = 0.1
    """s/rad."""
    joint_movement_cap: Annotated[float, Range(-1e6, 1e6)] = 2.0
    """Largest value of the term."""
    soft_joint_limit: Annotated[float, Range(0.0, 1000.0)] = 0.9
    """Fraction of a joint's range."""
    swing_height_target: Annotated[float, Range(-1000.0, 1000.0)] = 0.08
    """m, of the centre of the sole above the ground."""
    air_time_target: Annotated[float, Range(-1e6, 1e6)] = 0.2
    """s."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if not any(getattr(self, field.name) for field in fields(RewardWeights)):
            raise ConfigurationError(type(self), "alive", "must not be 0 where every weight is 0")


class RewardInputs(NamedTuple):
    """What the terms look at: `N` robots with `J` joints after a control step."""

    state: State
    command: Tensor
    """`[N, 3]` m/s, m/s, rad/s; the one followed during the step."""
    action: Tensor
    """`[N, J]`."""
    previous_action: Tensor
    """`[N, J]`."""
    previous_joint_velocity: Tensor
    """`[N, J]` rad/s."""
    contact: Tensor
    """`[N, 2]` bool, foot on the ground."""
    scheduled_contact: Tensor
    """`[N, 2]` bool, as the clock wants it."""
    touchdown: Tensor
    """`[N, 2]` bool, foot came down in this step."""
    landed_air_time: Tensor
    """`[N, 2]` s in the air before it."""
    alternation: Tensor
    """`[N]` value of the steps taken, 0, 0.5 or 1."""
    harmonic_motion: Tensor
    """`[N]` score, 0 to 1."""
    fell: Tensor
    """`[N]` bool."""


class RobotConstants(NamedTuple):
    """What the terms need to know about the robot."""

    default_joint_position: Tensor
    """`[J]` rad."""
    sideways_joints: Tensor
    """`[K]` int64, indices of the joints that walking straight ahead does not need."""
    soft_lower_limit: Tensor
    """`[J]` rad."""
    soft_upper_limit: Tensor
    """`[J]` rad."""
    nominal_base_height: float
    """m."""
    control_dt: float
    """s."""


def robot_constants(robot: Robot, config: RewardConfig, control_dt: float, device: torch.device) -> RobotConstants:
    """Collect the constants of `robot` on `device`."""
    lower, upper = torch.tensor(joint_limits(robot), device=device).unbind(1)
    margin = (0.5 * (1.0 - config.soft_joint_limit) * (upper - lower)).nan_to_num(posinf=0.0)
    return RobotConstants(
        default_joint_position=torch.tensor(robot.default_joint_position, device=device),
        sideways_joints=torch.tensor(robot.joint_indices(SIDEWAYS_JOINTS), device=device),
        soft_lower_limit=lower + margin,
        soft_upper_limit=upper - margin,
        nominal_base_height=robot.nominal_base_height,
        control_dt=control_dt,
    )


def _track(error: Tensor, sigma: float) -> Tensor:
    return torch.exp(error.square() * (-1.0 / sigma))


def track_vx(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Follow the commanded forward velocity."""
    return _track(inputs.state.base_linear_velocity[:, 0] - inputs.command[:, 0], config.vx_sigma)


def track_vy(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Follow the commanded leftward velocity."""
    return _track(inputs.state.base_linear_velocity[:, 1] - inputs.command[:, 1], config.vy_sigma)


def track_wz(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Follow the commanded yaw rate."""
    return _track(inputs.state.base_angular_velocity[:, 2] - inputs.command[:, 2], config.wz_sigma)


def alive(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Pay for every control step of an episode; a fall forgoes the rest."""
    return torch.ones_like(inputs.alternation)


def vertical_velocity(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep the base from bouncing up and down."""
    return inputs.state.base_linear_velocity[:, 2].square()


def roll_pitch_rate(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep the base from rocking sideways and to and fro."""
    return inputs.state.base_angular_velocity[:, :2].square().sum(dim=-1)


def tilt(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep the base upright: the squared sine of the angle between base and vertical."""
    return inputs.state.projected_gravity[:, :2].square().sum(dim=-1)


def torso_stability(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep the base upright: 1 when it is, less the more it tilts."""
    angle = torch.acos((-inputs.state.projected_gravity[:, 2]).clamp(-1.0, 1.0))
    return torch.exp(-angle.square())


def fall(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Stay clear of falls: 1 while the base tilts beyond a limit, before the episode ends."""
    return (-inputs.state.projected_gravity[:, 2] < math.cos(math.radians(config.fall_tilt_deg))).float()


def height_error(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep the base at its nominal height."""
    return (inputs.state.base_position[:, 2] - robot.nominal_base_height).square()


def low_height(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep the base from sinking: 1 while it is below a limit, before the episode ends."""
    return (inputs.state.base_position[:, 2] < config.low_height_limit).float()


def action_rate(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Change actions little from one control step to the next."""
    return (inputs.action - inputs.previous_action).square().sum(dim=-1)


def default_pose(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep all joints near the default pose."""
    return (inputs.state.joint_position - robot.default_joint_position).abs().sum(dim=-1)


def sideways_joints(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep hip abduction and torso, which walking straight ahead does not need, near the default pose."""
    deviation = inputs.state.joint_position - robot.default_joint_position
    return deviation.index_select(1, robot.sideways_joints).square().sum(dim=-1)


def joint_movement(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Move the joints rather than stand still."""
    speed = inputs.state.joint_velocity.abs().sum(dim=-1)
    return (config.joint_movement_gain * speed).clamp(max=config.joint_movement_cap)


def joint_acceleration(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Move the joints smoothly; the acceleration is the change of velocity over the control step."""
    change = inputs.state.joint_velocity - inputs.previous_joint_velocity
    return change.square().sum(dim=-1) / robot.control_dt**2


def joint_torque(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Use little torque."""
    return inputs.state.joint_torque.square().sum(dim=-1)


def joint_limit(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep joints away from their stops."""
    position = inputs.state.joint_position
    beyond = torch.maximum(robot.soft_lower_limit - position, position - robot.soft_upper_limit)
    return beyond.clamp(min=0.0).sum(dim=-1)


def foot_slip(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Keep feet that are on the ground from sliding."""
    return (inputs.state.foot_velocity[..., :2].square().sum(dim=-1) * inputs.contact).sum(dim=-1)


def clock_contact(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Put feet down and lift them when the clock does."""
    return (inputs.contact == inputs.scheduled_contact).sum(dim=-1, dtype=torch.float32)


def swing_height(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Lift the feet to the target height, neither less nor more.

    Asked of the feet that the clock wants in the air, not of those that are: a foot that never lifts is not spared.
    """
    error = (inputs.state.foot_position[..., 2] - config.swing_height_target).square()
    return (error * ~inputs.scheduled_contact).sum(dim=-1)


def foot_air_time(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Take long steps; divided by the duration of the control step, so that each is paid once."""
    beyond = (inputs.landed_air_time - config.air_time_target) * inputs.touchdown
    return beyond.sum(dim=-1) / robot.control_dt


def foot_alternation(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Step with one foot after the other; divided by the duration of the control step, so that each is paid once."""
    return inputs.alternation / robot.control_dt


def sinusoidal_motion(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Swing all tracked joints at one frequency."""
    return inputs.harmonic_motion


def termination(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    """Do not fall; divided by the duration of the control step, so that a fall is paid once."""
    return inputs.fell / robot.control_dt


Term = Callable[[RewardInputs, RewardConfig, RobotConstants], Tensor]

TERMS: dict[str, Term] = {
    term.__name__: term
    for term in (
        track_vx,
        track_vy,
        track_wz,
        alive,
        vertical_velocity,
        roll_pitch_rate,
        tilt,
        torso_stability,
        fall,
        height_error,
        low_height,
        action_rate,
        default_pose,
        sideways_joints,
        joint_movement,
        joint_acceleration,
        joint_torque,
        joint_limit,
        foot_slip,
        clock_contact,
        swing_height,
        foot_air_time,
        foot_alternation,
        sinusoidal_motion,
        termination,
    )
}
"""Every term by its name, which is also the name of its weight. Each returns `[N]`."""


class Rewards:
    """The weighted sum of the terms whose weight is not 0."""

    def __init__(self, config: RewardConfig, robot: Robot, control_dt: float, device: torch.device) -> None:
        """Choose the terms.

        Raises:
            ValueError: Every weight is 0.
        """
        self._config = config
        self._robot = robot_constants(robot, config, control_dt, device)
        weights = {field.name: getattr(config, field.name) for field in fields(RewardWeights)}
        self._terms = {name: TERMS[name] for name, weight in weights.items() if weight != 0.0}
        self._weights = torch.tensor([weights[name] for name in self._terms], device=device).unsqueeze(1)

    def pays_for(self, name: str) -> bool:
        """Whether the term `name` has a weight."""
        return name in self._terms

    def __call__(self, inputs: RewardInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Reward for one control step.

        Robots whose simulation failed get 0, whatever their state says.

        Returns:
            Reward `[N]`, and for each active term `reward/<term>`: its part of the reward per second, averaged over
            the robots, `[]`.
        """
        values = torch.stack([term(inputs, self._config, self._robot) for term in self._terms.values()])
        rates = torch.where(inputs.state.failed, 0.0, values * self._weights)
        reward = rates.sum(dim=0) * self._robot.control_dt
        means = rates.mean(dim=1).unbind()
        return reward, {f"reward/{name}": mean for name, mean in zip(self._terms, means, strict=True)}
