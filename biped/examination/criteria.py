"""What a gait must reach to be called a walk."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from biped.examination.gait_meter import GaitSummary


class Requirement(NamedTuple):
    """One measure and the bound that it has to keep."""

    name: str
    value: float
    """NaN where nothing was seen, which keeps no bound."""
    bound: float
    at_least: bool
    """Whether `bound` is the lowest value allowed, else the largest."""

    @property
    def met(self) -> bool:
        """The bound is kept."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def shortfall(self) -> str:
        """How the bound is missed, in words."""
        if math.isnan(self.value):
            return f"no {self.name} was seen"
        return f"{self.name} {self.value:.3f} is {'below' if self.at_least else 'above'} {self.bound:g}"

    @property
    def closeness(self) -> float:
        """From 0 to 1: the share that is reached of a lowest value; for a largest value 0.5 at the bound, 1 at 0."""
        if math.isnan(self.value):
            return 0.0
        return min(1.0, self.value / self.bound) if self.at_least else self.bound / (self.bound + self.value)


@dataclass(frozen=True)
class WalkingCriteria:
    """What a gait must reach to be called a walk, and standing to be called that."""

    survival: float = 0.99
    """Lowest `GaitSummary.survival`."""
    velocity_error: float = 0.05
    """m/s, largest error on the x and on the y axis."""
    fastest_checked: float = 0.5
    """m/s; `velocity_error` is asked for up to this planar speed."""
    alternation: float = 0.98
    """Lowest share of touchdowns that alternate."""
    foot_clearance: float = 0.03
    """m, lowest mean clearance."""
    duty_asymmetry: float = 0.05
    """Largest difference of the feet's duty factors."""
    standing_duty: float = 0.95
    """Lowest duty factor of either foot when asked to stand."""
    standing_drift: float = 0.03
    """m/s, largest drift when asked to stand."""
    yaw_rate_error: float = 0.1
    """rad/s, largest error of the yaw rate when asked to turn."""
    course_error: float = 0.1
    """rad in 10 s, largest turn off the course when asked to hold it."""
    changing_velocity_error: float = 0.1
    """m/s, largest error after a sudden change of the command."""

    def requirements(self, summary: GaitSummary) -> tuple[Requirement, ...]:
        """All that is asked of the robots of `summary` in their trial.

        Whoever turns or changes pace may load one foot more than the other.
        """
        trial = summary.trial
        required = [Requirement("survival", summary.survival, self.survival, at_least=True)]
        if summary.standing:
            duty = min(summary.duty_right, summary.duty_left)
            required.append(Requirement("time on each foot", duty, self.standing_duty, at_least=True))
            required.append(Requirement("drift", summary.drift_speed, self.standing_drift, at_least=False))
            return tuple(required)
        changing = len(trial.commands) > 1
        if not (changing or trial.on_the_spot):
            required.append(Requirement("alternation", summary.alternation, self.alternation, at_least=True))
            required.append(Requirement("foot clearance", summary.foot_clearance, self.foot_clearance, at_least=True))
        if trial.speed <= self.fastest_checked + 1e-6:
            largest = self.changing_velocity_error if changing else self.velocity_error
            for axis, error in (("forward", summary.velocity_error_x), ("sideways", summary.velocity_error_y)):
                required.append(Requirement(f"{axis} velocity error", error, largest, at_least=False))
        if not trial.straight:
            required.append(Requirement("yaw rate error", summary.yaw_rate_error, self.yaw_rate_error, at_least=False))
        elif not changing:
            required.append(Requirement("duty asymmetry", summary.duty_asymmetry, self.duty_asymmetry, at_least=False))
        if trial.course:
            turned = 10.0 * summary.yaw_drift / summary.seconds
            required.append(Requirement("turn off course in 10 s", turned, self.course_error, at_least=False))
        return tuple(required)

    def shortfalls(self, summary: GaitSummary) -> tuple[str, ...]:
        """Each criterion that is missed, in words; a value that nothing was seen for misses it."""
        return tuple(one.shortfall for one in self.requirements(summary) if not one.met)

    def passes(self, summary: GaitSummary) -> bool:
        """No criterion is missed."""
        return not self.shortfalls(summary)


DISTURBED_CRITERIA = WalkingCriteria(
    survival=0.97,
    velocity_error=0.08,
    alternation=0.0,
    foot_clearance=0.0,
    duty_asymmetry=1.0,
    standing_duty=0.0,
    standing_drift=1e3,
    yaw_rate_error=0.2,
    course_error=1e3,
    changing_velocity_error=0.2,
)
"""What is asked of robots that are pushed: to stay up and on their way. A robot that is pushed has to step out of
time."""
