"""Reward terms, one pure function each: what they look at, their parameters, and the value `[N]` that they return.

A function may return several terms, `[N, K]`, that are cheaper together.
A term is paid for by an entry in the table of `biped/task/rewards.py`.
"""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.state import State
from biped.task.mean_velocity import velocity_error
from ppo.value_ranges import Range


@dataclass(frozen=True)
class RewardParameters:
    """The parameters of the terms."""

    vx_sigma: Annotated[float, Range(1e-6, 1e6)] = 0.25
    """m^2/s^2."""
    vy_sigma: Annotated[float, Range(1e-6, 1e6)] = 0.25
    """m^2/s^2."""
    wz_sigma: Annotated[float, Range(1e-6, 1e6)] = 0.25
    """rad^2/s^2."""
    mean_velocity_scale: Annotated[float, Range(1e-6, 1e6)] = 0.1
    """m/s."""
    mean_yaw_rate_scale: Annotated[float, Range(1e-6, 1e6)] = 0.1
    """rad/s."""
    mean_time_constant: Annotated[float, Range(0.0, 1e6)] = 0.6
    """s; averages of the velocity forget with this time constant. About one period of the gait."""
    mean_settling_time: Annotated[float, Range(0.0, 1e6)] = 0.0
    """s after a new command in which averages of the velocity count no error."""
    large_tilt_limit_deg: Annotated[float, Range(0.0, 1e6)] = 25.0
    """Degrees."""
    low_height_limit: Annotated[float | None, Range(-1e6, 1e6)] = None
    """m; the robot's own `low` height if not given."""
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
    """`[N, 2]` s in the air before it; NaN unless a term that is paid for needs it."""
    alternation: Tensor
    """`[N]` value of the steps taken, 0, 0.5 or 1; NaN unless a term that is paid for needs it."""
    harmonic_motion: Tensor
    """`[N]` score, 0 to 1; NaN unless a term that is paid for needs it."""
    mean_velocity_error: Tensor
    """`[N, 3]` m/s, m/s, rad/s beyond the command, averaged; NaN unless a term that is paid for needs it."""
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
    low_height: float
    """m; below it `low_height` is paid for."""
    control_dt: float
    """s."""
    tracking_sharpness: Tensor
    """`[3]`: 1 / `vx_sigma`, 1 / `vy_sigma` and 1 / `wz_sigma`, negative."""


def robot_constants(
    robot: Robot, parameters: RewardParameters, control_dt: float, device: torch.device
) -> RobotConstants:
    """Collect the constants of `robot` on `device`."""
    lower, upper = torch.tensor(robot.joint_range, device=device).unbind(1)
    margin = (0.5 * (1.0 - parameters.soft_joint_limit) * (upper - lower)).nan_to_num(posinf=0.0)
    return RobotConstants(
        default_joint_position=torch.tensor(robot.default_joint_position, device=device),
        sideways_joints=torch.tensor(robot.joint_indices(robot.sideways_joints), dtype=torch.int64, device=device),
        soft_lower_limit=lower + margin,
        soft_upper_limit=upper - margin,
        nominal_base_height=robot.nominal_base_height,
        low_height=robot.low_height if parameters.low_height_limit is None else parameters.low_height_limit,
        control_dt=control_dt,
        tracking_sharpness=torch.tensor(
            [-1.0 / sigma for sigma in (parameters.vx_sigma, parameters.vy_sigma, parameters.wz_sigma)], device=device
        ),
    )


def tracking(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Follow the commanded forward velocity, leftward velocity and yaw rate: three terms, `[N, 3]`."""
    return torch.exp(velocity_error(inputs.state, inputs.command).square() * robot.tracking_sharpness)


def mean_velocity(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Follow the commanded planar velocity on average; the peak is sharp, so that small errors cost something, too."""
    error = torch.linalg.vector_norm(inputs.mean_velocity_error[:, :2], dim=-1)
    return torch.exp(error / -parameters.mean_velocity_scale)


def mean_yaw_rate(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Follow the commanded yaw rate on average."""
    return torch.exp(inputs.mean_velocity_error[:, 2].abs() / -parameters.mean_yaw_rate_scale)


def alive(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Pay for every control step of an episode; a fall forgoes the rest."""
    return torch.ones_like(inputs.alternation)


def vertical_velocity(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep the base from bouncing up and down."""
    return inputs.state.base_linear_velocity[:, 2].square()


def roll_pitch_rate(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep the base from rocking sideways and to and fro."""
    return inputs.state.base_angular_velocity[:, :2].square().sum(dim=-1)


def tilt(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep the base upright: the squared sine of the angle between base and vertical."""
    return inputs.state.projected_gravity[:, :2].square().sum(dim=-1)


def torso_stability(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep the base upright: 1 when it is, less the more it tilts."""
    angle = torch.acos((-inputs.state.projected_gravity[:, 2]).clamp(-1.0, 1.0))
    return torch.exp(-angle.square())


def large_tilt(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep the base from tilting far: 1 while it does beyond a limit, before the episode ends."""
    return (-inputs.state.projected_gravity[:, 2] < math.cos(math.radians(parameters.large_tilt_limit_deg))).float()


def height_error(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep the base at its nominal height."""
    return (inputs.state.base_position[:, 2] - robot.nominal_base_height).square()


def low_height(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep the base from sinking: 1 while it is below a limit, before the episode ends."""
    return (inputs.state.base_position[:, 2] < robot.low_height).float()


def action_rate(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Change actions little from one control step to the next."""
    return (inputs.action - inputs.previous_action).square().sum(dim=-1)


def default_pose(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep all joints near the default pose."""
    return (inputs.state.joint_position - robot.default_joint_position).abs().sum(dim=-1)


def sideways_joints(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep the joints that walking straight ahead does not need near the default pose."""
    deviation = inputs.state.joint_position - robot.default_joint_position
    return deviation.index_select(1, robot.sideways_joints).square().sum(dim=-1)


def joint_movement(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Move the joints rather than stand still."""
    speed = inputs.state.joint_velocity.abs().sum(dim=-1)
    return (parameters.joint_movement_gain * speed).clamp(max=parameters.joint_movement_cap)


def joint_acceleration(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Move the joints smoothly; the acceleration is the change of velocity over the control step."""
    change = inputs.state.joint_velocity - inputs.previous_joint_velocity
    return change.square().sum(dim=-1) / robot.control_dt**2


def joint_torque(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Use little torque."""
    return inputs.state.joint_torque.square().sum(dim=-1)


def joint_limit(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep joints away from their stops."""
    position = inputs.state.joint_position
    beyond = torch.maximum(robot.soft_lower_limit - position, position - robot.soft_upper_limit)
    return beyond.clamp(min=0.0).sum(dim=-1)


def foot_slip(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Keep feet that are on the ground from sliding."""
    return (inputs.state.foot_velocity[..., :2].square().sum(dim=-1) * inputs.contact).sum(dim=-1)


def clock_contact(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Put feet down and lift them when the clock does."""
    return (inputs.contact == inputs.scheduled_contact).sum(dim=-1, dtype=torch.float32)


def swing_height(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Lift the feet to the target height, neither less nor more.

    Asked of the feet that the clock wants in the air, not of those that are: a foot that never lifts is not spared.
    """
    error = (inputs.state.foot_position[..., 2] - parameters.swing_height_target).square()
    return (error * ~inputs.scheduled_contact).sum(dim=-1)


def foot_air_time(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Take long steps: s that each foot which comes down was in the air, beyond the target."""
    beyond = (inputs.landed_air_time - parameters.air_time_target) * inputs.touchdown
    return beyond.sum(dim=-1)


def foot_alternation(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Step with one foot after the other."""
    return inputs.alternation


def sinusoidal_motion(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Swing all tracked joints at one frequency."""
    return inputs.harmonic_motion


def termination(inputs: RewardInputs, parameters: RewardParameters, robot: RobotConstants) -> Tensor:
    """Do not fall: 1 when it ends the episode."""
    return inputs.fell.float()
