"""How the learning rate changes between updates: not at all, linearly to zero, or by how far the policy moved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ppo.value_ranges import ConfigurationError, Range, check_ranges


@dataclass(frozen=True)
class LearningRateConfig:
    """Schedule of the learning rate. The KL rule's defaults change it slowly and rarely."""

    schedule: Literal["constant", "linear", "adaptive"] = "constant"
    """Constant, linear to zero at the last step, or adaptive: follow the KL divergence of each update."""
    target_kl: Annotated[float, Range(0.0, 1e12, open=True)] = 0.015
    """KL divergence per update that the adaptive schedule aims at, in nats."""
    window: Annotated[int, Range(1, 1_000_000)] = 5
    """Updates over which the KL divergence is averaged."""
    high: Annotated[float, Range(0.0, 1e6)] = 1.0
    """The rate falls when the averaged KL stays above `high * target_kl`."""
    low: Annotated[float, Range(0.0, 1e6)] = 0.8
    """The rate rises when the averaged KL stays below `low * target_kl`."""
    patience_high: Annotated[int, Range(1, 1_000_000)] = 5
    """Updates in a row above the band before the rate falls."""
    patience_low: Annotated[int, Range(1, 1_000_000)] = 10
    """Updates in a row below the band before the rate rises."""
    factor: Annotated[float, Range(0.0, 1.0, open=True)] = 0.8
    """The rate is multiplied by this when it falls and divided by it when it rises."""
    minimum: Annotated[float, Range(0.0, 10.0, open=True)] = 1e-6
    """Lowest adaptive rate."""
    maximum: Annotated[float, Range(0.0, 10.0, open=True)] = 3e-4
    """Highest adaptive rate."""
    cooldown_steps: Annotated[int, Range(0, 10**15)] = 50_000
    """Control steps that must pass between two changes."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.factor == 1.0:
            raise ConfigurationError(type(self), "factor", "must be below 1, not 1, to change the rate at all")
        for low, high in (("minimum", "maximum"), ("low", "high")):
            if getattr(self, low) > getattr(self, high):
                problem = f"must be at most {high}, {getattr(self, high):g}, not {getattr(self, low):g}"
                raise ConfigurationError(type(self), low, problem)


class LearningRate:
    """The current learning rate, and the memory that the adaptive rule needs.

    Args:
        initial: rate of the first update.
        config: how it changes.
        total_timesteps: control steps at which a linear schedule reaches zero.
    """

    begin: int
    """Control steps at which a linear schedule starts: those that a model had when training went on from it."""

    def __init__(self, initial: float, config: LearningRateConfig, total_timesteps: int) -> None:
        self.config = config
        self.initial = initial
        self.total_timesteps = total_timesteps
        self.begin = 0
        self.value = initial
        self.recent_kl: list[float] = []
        self.updates_high = 0
        self.updates_low = 0
        self.last_change = 0

    def before_update(self, num_timesteps: int) -> float:
        """Rate to use for the update after `num_timesteps` control steps in all."""
        if self.config.schedule == "linear":
            progress = (num_timesteps - self.begin) / (self.total_timesteps - self.begin)
            self.value = self.initial * max(0.0, 1.0 - progress)
        return self.value

    @property
    def to_go_on_with(self) -> float:
        """Rate for whoever trains on from here under another schedule: not what a linear one has fallen to."""
        return self.value if self.config.schedule == "adaptive" else self.initial

    def after_update(self, kl: float, num_timesteps: int) -> None:
        """Take note of an update's KL divergence (nats) and change the rate if the adaptive rule says so."""
        config = self.config
        if config.schedule != "adaptive" or kl != kl:
            return
        self.recent_kl = [*self.recent_kl, kl][-config.window :]
        if len(self.recent_kl) < config.window:
            return
        mean = sum(self.recent_kl) / config.window
        self.updates_high = self.updates_high + 1 if mean > config.high * config.target_kl else 0
        self.updates_low = self.updates_low + 1 if mean < config.low * config.target_kl else 0
        if num_timesteps - self.last_change < config.cooldown_steps:
            return
        if self.updates_high >= config.patience_high:
            self._change(self.value * config.factor, num_timesteps)
        elif self.updates_low >= config.patience_low:
            self._change(self.value / config.factor, num_timesteps)

    def _change(self, value: float, num_timesteps: int) -> None:
        self.value = min(max(value, self.config.minimum), self.config.maximum)
        self.updates_high = self.updates_low = 0
        self.last_change = num_timesteps

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to continue the schedule."""
        return {
            "schedule": self.config.schedule,
            "initial": self.initial,
            "begin": self.begin,
            "value": self.value,
            "recent_kl": list(self.recent_kl),
            "updates_high": self.updates_high,
            "updates_low": self.updates_low,
            "last_change": self.last_change,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave, as far as the configuration is the same.

        A rate that does not adapt, did not adapt, or was to start elsewhere is what the configuration says.
        """
        config, value = self.config, float(state["value"])
        self.begin = int(state.get("begin", 0))
        # Older states do not tell their schedule; one outside of the range was not this one.
        in_range = config.minimum <= value <= config.maximum
        adapted = state["schedule"] == "adaptive" if "schedule" in state else in_range
        if config.schedule != "adaptive" or not adapted or state.get("initial", self.initial) != self.initial:
            return
        self.value = min(max(value, config.minimum), config.maximum)
        self.recent_kl = [float(kl) for kl in state["recent_kl"]]
        self.updates_high = int(state["updates_high"])
        self.updates_low = int(state["updates_low"])
        self.last_change = int(state["last_change"])
