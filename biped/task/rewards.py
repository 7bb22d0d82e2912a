"""The table of rewards: which term is paid how much, and their weighted sum."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.task import reward_terms as terms
from biped.task.reward_terms import RewardInputs, RewardParameters, RobotConstants, robot_constants
from biped.task.table import entries, entry
from ppo.value_ranges import ConfigurationError, Range, check_ranges

Weight = Annotated[float, Range(-1e6, 1e6)]
TermFunction = Callable[[RewardInputs, Any, RobotConstants], Tensor]
"""From what it looks at, the parameters and the robot to the value of the term `[N]`, or of several terms `[N, K]`.

The parameters are the whole configuration of the rewards, so that a term may have parameters of its own beside its
weight.
"""


@dataclass(frozen=True)
class Term:
    """How a term is paid for."""

    function: TermFunction
    at_once: bool
    needs: tuple[str, ...]
    column: int | None


def term(
    function: TermFunction,
    weight: float,
    *,
    at_once: bool = False,
    needs: tuple[str, ...] = (),
    column: int | None = None,
) -> float:
    """The default of a field of the rewards that is the weight of a term; the field's name is the term's.

    Args:
        function: computes the term.
        weight: reward per second for a term of value 1; 0 switches the term off.
        at_once: what happens at one instant, and is paid its weight at once, whatever the duration of a control step.
        needs: fields of `RewardInputs` that are costly to follow, `landed_air_time`, `alternation`,
            `harmonic_motion` and `mean_velocity_error`, if the term looks at them; they are followed only where a
            term that is paid for needs them.
        column: of what the function returns, where it returns several terms; it is called once for all of them.
    """
    return entry(weight, Term(function, at_once, needs, column))


@dataclass(frozen=True)
class RewardWeights:
    """One weight per term; 0 switches the term off.

    A weight is the reward per second for a term of value 1: the weighted sum is multiplied by the control step's
    duration. The exceptions say so: what happens at one instant is paid its weight at once, whatever the duration.
    """

    track_vx: Weight = term(terms.tracking, 10.0, column=0)
    """`exp(-error^2 / vx_sigma)` of the forward velocity."""
    track_vy: Weight = term(terms.tracking, 6.0, column=1)
    """`exp(-error^2 / vy_sigma)` of the leftward velocity."""
    track_wz: Weight = term(terms.tracking, 0.0, column=2)
    """`exp(-error^2 / wz_sigma)` of the yaw rate."""
    mean_velocity: Weight = term(terms.mean_velocity, 0.0, needs=("mean_velocity_error",))
    """`exp(-error / mean_velocity_scale)` of the planar velocity averaged over about a stride."""
    mean_yaw_rate: Weight = term(terms.mean_yaw_rate, 0.0, needs=("mean_velocity_error",))
    """`exp(-error / mean_yaw_rate_scale)` of the yaw rate averaged over about a stride."""
    alive: Weight = term(terms.alive, 0.5)
    """1, always."""
    vertical_velocity: Weight = term(terms.vertical_velocity, -2.0)
    """Square of the vertical velocity, m^2/s^2."""
    roll_pitch_rate: Weight = term(terms.roll_pitch_rate, 0.0)
    """Sum of the squares of roll and pitch rate, rad^2/s^2."""
    tilt: Weight = term(terms.tilt, 0.0)
    """Sum of the squares of the horizontal parts of gravity's direction: the squared sine of the tilt."""
    torso_stability: Weight = term(terms.torso_stability, 5.0)
    """`exp(-tilt^2)` of the angle in rad between base and vertical."""
    large_tilt: Weight = term(terms.large_tilt, -100.0)
    """1 while the base tilts by more than `large_tilt_limit_deg`: it may be falling, but the episode goes on."""
    height_error: Weight = term(terms.height_error, -2.0)
    """Square of the base's distance in m from its nominal height."""
    low_height: Weight = term(terms.low_height, -50.0)
    """1 while the base is lower than `low_height_limit`."""
    action_rate: Weight = term(terms.action_rate, -0.02)
    """Sum of the squares of the change of the action since the last control step."""
    default_pose: Weight = term(terms.default_pose, -0.1)
    """Sum of the joints' distances in rad from the default pose."""
    sideways_joints: Weight = term(terms.sideways_joints, 0.0)
    """Sum of the squares in rad^2 of how far the robot's `sideways` joints are from the default pose."""
    joint_movement: Weight = term(terms.joint_movement, 1.0)
    """`joint_movement_gain` times the sum of the joint speeds, at most `joint_movement_cap`."""
    joint_acceleration: Weight = term(terms.joint_acceleration, 0.0)
    """Sum of the squares of the joint accelerations, rad^2/s^4."""
    joint_torque: Weight = term(terms.joint_torque, 0.0)
    """Sum of the squares of the joint torques, N^2 m^2."""
    joint_limit: Weight = term(terms.joint_limit, 0.0)
    """Sum in rad of how far joints are beyond the middle `soft_joint_limit` of their range."""
    foot_slip: Weight = term(terms.foot_slip, 0.0)
    """Sum over the feet on the ground of the square of their horizontal velocity, m^2/s^2."""
    clock_contact: Weight = term(terms.clock_contact, 0.0)
    """Number of feet, 0 to 2, that are on the ground or in the air as the clock wants."""
    swing_height: Weight = term(terms.swing_height, 0.0)
    """Sum of the squares in m^2 of the soles' distance from `swing_height_target`, over the feet the clock wants in
    the air."""
    foot_air_time: Weight = term(terms.foot_air_time, 0.0, at_once=True, needs=("landed_air_time",))
    """s that each foot which comes down was in the air, beyond `air_time_target`. At once."""
    foot_alternation: Weight = term(terms.foot_alternation, 1.0, at_once=True, needs=("alternation",))
    """0.5 for lifting a foot and 1 for putting it down, one foot after the other. At once."""
    sinusoidal_motion: Weight = term(terms.sinusoidal_motion, 1.0, needs=("harmonic_motion",))
    """How alike the frequencies are at which the tracked joints swing, 0 to 1."""
    termination: Weight = term(terms.termination, 0.0, at_once=True)
    """1 when a fall ends the episode. At once."""


@dataclass(frozen=True)
class RewardConfig(RewardParameters, RewardWeights):
    """The weights and the parameters of the terms.

    A term of your own is one more field, here or in a class derived from this one.
    """

    def __post_init__(self) -> None:
        check_ranges(self)
        if not any(getattr(self, name) for name in entries(type(self), Term)):
            raise ConfigurationError(type(self), "alive", "must not be 0 where every weight is 0")


class Rewards:
    """The weighted sum of the terms whose weight is not 0."""

    def __init__(self, config: RewardConfig, robot: Robot, control_dt: float, device: torch.device) -> None:
        """Choose the terms."""
        self._config = config
        self._robot = robot_constants(robot, config, control_dt, device)
        table = entries(type(config), Term)
        self._terms = {name: term for name, term in table.items() if getattr(config, name) != 0.0}
        self._functions = tuple(dict.fromkeys(term.function for term in self._terms.values()))
        durations = [control_dt if term.at_once else 1.0 for term in self._terms.values()]
        weights = [getattr(config, name) / duration for name, duration in zip(self._terms, durations, strict=True)]
        self._weights = torch.tensor(weights, device=device).unsqueeze(1)
        self._checked = False
        self.needs = frozenset(name for term in self._terms.values() for name in term.needs)
        """Fields of the inputs that have to be followed, because a term that is paid for needs them."""
        self.rates: Tensor | None = None
        """`[R, N]` reward per second of each term, in the order of `names`, in the last control step; None before."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the terms that are paid for."""
        return tuple(self._terms)

    def __call__(self, inputs: RewardInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Reward for one control step.

        Robots whose simulation failed get 0, whatever their state says.

        Returns:
            Reward `[N]`, and for each active term `reward/<term>`: its part of the reward per second, averaged over
            the robots, `[]`.

        Raises:
            ValueError: A term is not of shape `[N]`.
        """
        config, robot = self._config, self._robot
        failed = inputs.state.failed
        returned = {function: function(inputs, config, robot) for function in self._functions}
        values = [
            returned[term.function] if term.column is None else returned[term.function][:, term.column]
            for term in self._terms.values()
        ]
        if not self._checked:
            self._check_shapes(values, failed.shape)
        self.rates = rates = (torch.stack(values) * self._weights).masked_fill_(failed, 0.0)
        reward = rates.sum(dim=0) * robot.control_dt
        means = rates.mean(dim=1).unbind()
        return reward, {f"reward/{name}": mean for name, mean in zip(self._terms, means, strict=True)}

    def _check_shapes(self, values: list[Tensor], shape: torch.Size) -> None:
        for name, value in zip(self._terms, values, strict=True):
            if value.shape != shape:
                raise ValueError(f"the reward {name} must have shape {list(shape)}, not {list(value.shape)}")
        # Once: the shape of a term does not change from step to step.
        self._checked = True
