"""Is it walking? What the movement of many robots says about their gait, gathered on the device."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from biped.examination.footfalls import Footfalls, StepTracker
from biped.examination.trials import Schedule, Trial
from biped.robots.robot import Robot
from biped.simulators.state import State, rotate
from biped.task.gait import GaitConfig

GRAVITY = 9.81
"""m/s^2."""
USABLE_RANGE = 0.99
"""Fraction of a joint's range, about its middle; positions outside of it count as hits of a limit."""
SETTLING_TIME = 1.5
"""s after a change of the command in which the errors are not counted."""


@dataclass(frozen=True)
class GaitSummary:
    """How the robots of one trial walked. Values that nothing was seen for are NaN.

    Everything but `survival` and `yaw_drift` leaves out the first seconds, in which the robots pick up speed. A robot
    contributes until its episode ends. Means are over robots and time together, unless a field says otherwise. Errors
    are those of the command that was followed worst, from `SETTLING_TIME` after each change.
    """

    trial: Trial
    """What was asked for."""
    seconds: float
    """s that it took."""
    standing: bool
    """Nothing was asked for but to stand still."""
    robots: int
    """How many robots were watched."""
    survival: float
    """Share of robots that never fell."""
    velocity_x: float
    """m/s, mean horizontal velocity of the base in the direction it faces."""
    velocity_y: float
    """m/s, mean horizontal velocity of the base to its left."""
    velocity_error_x: float
    """m/s, absolute difference of the mean velocity in the direction it faces and the command."""
    velocity_error_y: float
    """m/s, absolute difference of the mean velocity to its left and the command."""
    yaw_rate_error: float
    """rad/s, absolute difference of the mean yaw rate and the command."""
    drift_speed: float
    """m/s, distance between first and last place of each robot over the time between them."""
    yaw_drift: float
    """rad turned beyond the command, either way, over the whole run; mean over the robots."""
    alternation: float
    """Share of touchdowns of another foot than the touchdown before. Landing on both feet at once is never one."""
    steps_per_second: float
    """Touchdowns per second."""
    foot_clearance: float
    """m, mean over the swings of the highest point that the centre of the sole reached."""
    duty_right: float
    """Fraction of the time that the right foot is on the ground."""
    duty_left: float
    """Fraction of the time that the left foot is on the ground."""
    duty_asymmetry: float
    """Absolute difference of the two duty factors of each robot, so that limps of different robots do not cancel."""
    foot_slip: float
    """m/s, mean horizontal speed of the feet that touch the ground."""
    torque_rms: float
    """N m, root of the mean square over joints and time."""
    joint_limit_hits: float
    """Share of joint positions outside of the middle 99 % of the joint's range."""
    action_rate: float
    """Mean squared change of an action from one control step to the next."""
    cost_of_transport: float
    """Mechanical power, counting braking as well, per weight and speed. NaN without one command to go somewhere."""


class _Sums(NamedTuple):
    """What is summed over time, each `[N]`."""

    steps: Tensor
    velocity_x: Tensor
    velocity_y: Tensor
    touchdowns: Tensor
    compared: Tensor
    alternating: Tensor
    swing_height: Tensor
    grounded_right: Tensor
    grounded_left: Tensor
    contacts: Tensor
    slip: Tensor
    squared_torque: Tensor
    limit_hits: Tensor
    action_change: Tensor
    power: Tensor


def heading_velocity(state: State) -> Tensor:
    """Horizontal velocity `[N, 2]` in m/s of the base: in the direction that it faces, and to its left."""
    velocity = rotate(state.base_quaternion, state.base_linear_velocity)
    cos, sin = state.roll_pitch_yaw[:, 2].cos(), state.roll_pitch_yaw[:, 2].sin()
    forward = cos * velocity[:, 0] + sin * velocity[:, 1]
    return torch.stack((forward, cos * velocity[:, 1] - sin * velocity[:, 0]), dim=1)


class GaitMeter:
    """Watches `N` robots with `J` joints follow the commands of a schedule.

    `step` runs without a host synchronisation; `summaries` waits for the device.
    """

    def __init__(
        self,
        robot: Robot,
        schedule: Schedule,
        control_dt: float,
        gait: GaitConfig,
        *,
        warmup_s: float,
    ) -> None:
        """Prepare to watch robots that start now.

        Args:
            robot: Whose joint limits count, and whose mass does for the cost of transport.
            schedule: Tells what they are asked; the meter takes its commands as they are in each `step`.
            control_dt: s, duration of one control step.
            gait: Tells which commands ask to stand still.
            warmup_s: s at the start that are not counted; at least one control step.
        """
        num_envs, device = schedule.command.shape[0], schedule.command.device
        self._schedule = schedule
        self._control_dt = control_dt
        self._weight = robot.mass * GRAVITY
        self._settling_steps = round(SETTLING_TIME / control_dt)
        self._warmup_steps = max(1, round(warmup_s / control_dt))
        self._standing_command = gait.standing_command
        margins = [0.5 * (1.0 - USABLE_RANGE) * (high - low) for low, high in robot.joint_range]
        limits = zip(robot.joint_range, margins, strict=True)
        # The margin of a joint without limits is infinite, which would make its bounds undefined.
        bounds = [(low + margin, high - margin) if margin < math.inf else (low, high) for (low, high), margin in limits]
        self._lowest, self._highest = torch.tensor(bounds, device=device).unbind(dim=-1)
        self._tracker = StepTracker(num_envs, control_dt, device)
        self._steps = 0
        self._walking = torch.ones(num_envs, dtype=torch.bool, device=device)
        self._sums = torch.zeros(num_envs, len(_Sums._fields), dtype=torch.float64, device=device)
        self._errors = torch.zeros(num_envs, schedule.legs, 4, dtype=torch.float64, device=device)
        self._action = torch.zeros(num_envs, robot.num_joints, device=device)
        self._yaw = torch.zeros(num_envs, device=device)
        self._excess_yaw = torch.zeros(num_envs, device=device)
        self._first_place = torch.zeros(num_envs, 2, device=device)
        self._last_place = torch.zeros(num_envs, 2, device=device)

    def step(self, state: State, contact: Tensor, action: Tensor, ended: Tensor) -> None:
        """Take in one control step.

        Args:
            state: After the control step; not looked at where the episode ended.
            contact: `[N, 2]` bool, which feet touch the ground.
            action: `[N, J]` as it was applied.
            ended: `[N]` bool; the episode ended, so that the robot is not looked at any more and counts as fallen.
        """
        self._steps += 1
        self._walking = self._walking & ~ended
        command, yaw = self._schedule.command, state.roll_pitch_yaw[:, 2]
        turned = torch.remainder(yaw - self._yaw + math.pi, 2.0 * math.pi) - math.pi
        if self._steps > 1:
            excess = turned - command[:, 2] * self._control_dt
            self._excess_yaw = torch.where(self._walking, self._excess_yaw + excess, self._excess_yaw)
        self._last_place = torch.where(self._walking.unsqueeze(-1), state.base_position[:, :2], self._last_place)
        if self._steps == self._warmup_steps:
            self._first_place = self._last_place
        footfalls = self._tracker.step(contact, state.foot_position[..., 2])
        if self._steps > self._warmup_steps:
            quantities = self._quantities(state, contact, action, footfalls)
            self._add_errors(quantities, turned)
            values = torch.stack(quantities, dim=1)
            self._sums = torch.where(self._walking.unsqueeze(-1), self._sums + values, self._sums)
        # Copies, as the environment may write over what it gave.
        self._yaw = yaw.clone()
        self._action = action.clone()

    def _add_errors(self, quantities: _Sums, turned: Tensor) -> None:
        """Add how far the velocities are from the command to the sums of the leg that each robot is in."""
        schedule, one = self._schedule, quantities.steps
        measured = torch.stack((quantities.velocity_x, quantities.velocity_y, turned / self._control_dt), dim=1)
        values = torch.cat((measured - schedule.command, one.unsqueeze(1)), dim=1).double()
        settled = (schedule.leg == 0) | (self._steps > schedule.begin + self._settling_steps)
        values = torch.where((self._walking & settled).unsqueeze(1), values, 0.0)
        self._errors.scatter_add_(1, schedule.leg.view(-1, 1, 1).expand(-1, 1, 4), values.unsqueeze(1))

    def _quantities(self, state: State, contact: Tensor, action: Tensor, footfalls: Footfalls) -> _Sums:
        velocity = heading_velocity(state)
        touchdown, grounded = footfalls.touchdown, footfalls.grounded.float()
        slip = state.foot_velocity[..., :2].norm(dim=-1) * contact
        beyond = (state.joint_position < self._lowest) | (state.joint_position > self._highest)
        return _Sums(
            steps=torch.ones_like(velocity[:, 0]),
            velocity_x=velocity[:, 0],
            velocity_y=velocity[:, 1],
            touchdowns=touchdown.sum(dim=-1).float(),
            compared=footfalls.compared.float(),
            alternating=footfalls.alternating.float(),
            swing_height=(footfalls.swing_height * touchdown).sum(dim=-1),
            grounded_right=grounded[:, 0],
            grounded_left=grounded[:, 1],
            contacts=contact.sum(dim=-1).float(),
            slip=slip.sum(dim=-1),
            squared_torque=state.joint_torque.square().mean(dim=-1),
            limit_hits=beyond.float().mean(dim=-1),
            action_change=(action - self._action).square().mean(dim=-1),
            power=(state.joint_torque * state.joint_velocity).abs().sum(dim=-1),
        )

    def summaries(self) -> list[GaitSummary]:
        """What was seen so far in each trial."""
        robots = self._schedule.robots
        return [
            self._summary(trial, slice(index * robots, (index + 1) * robots))
            for index, trial in enumerate(self._schedule.trials)
        ]

    def _summary(self, trial: Trial, robots: slice) -> GaitSummary:
        each = _Sums(*self._sums[robots].unbind(dim=1))
        total = _Sums(*(value.sum() for value in each))
        distance = (self._last_place - self._first_place)[robots].norm(dim=-1).sum()
        asymmetry = (each.grounded_right - each.grounded_left).abs().sum() / total.steps
        legs = self._errors[robots, : len(trial.commands)].sum(dim=0)
        error_x, error_y, yaw_rate_error = (legs[:, :3] / legs[:, 3:]).abs().amax(dim=0).tolist()
        x, y = (total.velocity_x / total.steps).item(), (total.velocity_y / total.steps).item()
        walking = self._walking[robots]
        transport = self._weight * math.hypot(x, y) * total.steps
        return GaitSummary(
            trial=trial,
            seconds=self._steps * self._control_dt,
            standing=max(abs(part) for command in trial.commands for part in command) < self._standing_command,
            robots=len(walking),
            survival=walking.double().mean().item(),
            velocity_x=x,
            velocity_y=y,
            velocity_error_x=error_x,
            velocity_error_y=error_y,
            yaw_rate_error=yaw_rate_error,
            drift_speed=(distance / (total.steps * self._control_dt)).item(),
            yaw_drift=self._excess_yaw[robots].abs().mean().item(),
            alternation=(total.alternating / total.compared).item(),
            steps_per_second=(total.touchdowns / (total.steps * self._control_dt)).item(),
            foot_clearance=(total.swing_height / total.touchdowns).item(),
            duty_right=(total.grounded_right / total.steps).item(),
            duty_left=(total.grounded_left / total.steps).item(),
            duty_asymmetry=asymmetry.item(),
            foot_slip=(total.slip / total.contacts).item(),
            torque_rms=(total.squared_torque / total.steps).sqrt().item(),
            joint_limit_hits=(total.limit_hits / total.steps).item(),
            action_rate=(total.action_change / total.steps).item(),
            cost_of_transport=math.nan
            if trial.on_the_spot or len(trial.commands) > 1
            else (total.power / transport).item(),
        )
