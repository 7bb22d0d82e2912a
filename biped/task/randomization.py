"""Domain randomisation: what differs from robot to robot, and what happens to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from biped.simulators.interface import Simulator
from biped.task.buffers import Buffers
from biped.task.table import entries, entry
from ppo.value_ranges import Range, check_order, check_ranges

Bounds = tuple[float, float] | None


@dataclass(frozen=True)
class Lasting:
    """A property that is drawn once, for the whole run."""

    per: Literal["robot", "joint"]
    """What has a value of its own."""


def lasting(per: Literal["robot", "joint"], bounds: Bounds = None) -> Bounds:
    """The default `bounds` of a property that lasts for the whole run; handed to the simulator under its name."""
    return entry(bounds, Lasting(per))


@dataclass(frozen=True)
class RandomizationConfig:
    """Ranges are drawn from uniformly; `None` switches a randomisation off."""

    friction: Annotated[Bounds, Range(0.0, 1000.0)] = lasting("robot", (0.4, 1.25))
    """Friction coefficient between robot and ground; one per robot, for the whole run."""
    motor_strength: Annotated[Bounds, Range(0.0, 1000.0)] = lasting("joint", (0.6, 1.2))
    """Factor on the nominal motor; one per joint of each robot, for the whole run."""
    added_mass: Annotated[Bounds, Range(-1000.0, 1000.0)] = lasting("robot")
    """kg on the base, less than the model's where negative; one per robot, for the whole run."""
    backlash: Annotated[Bounds, Range(0.0, 1000.0)] = (0.01, 0.07)
    """rad of slack; one per joint of each robot, drawn anew for every episode."""
    latency_steps: Annotated[tuple[int, int], Range(0, 10_000)] = (1, 1)
    """Control steps from an action to its effect, both ends included; one per robot, drawn anew for every episode."""
    push_speed: Annotated[float, Range(0.0, 1000.0)] = 0.0
    """m/s; a push changes the horizontal velocity of the base by up to this in a random direction. 0 switches pushes
    off, 1 is a strong push."""
    push_interval_s: Annotated[float, Range(0.0, 1e9, open=True)] = 7.0
    """s between pushes. All robots are pushed in the same control step, wherever their episodes are."""
    growth_s: Annotated[float, Range(0.0, 1e9)] = 0.0
    """s of training in which pushes grow from nothing and the longest latency from the shortest; 0: they begin whole.
    A training that continues with its robots goes on growing where it was."""
    contact_noise: Annotated[float, Range(0.0, 1e6)] = 0.0
    """Uniform noise of plus and minus this on each foot contact reading, on top of the observation noise."""
    contact_false_probability: Annotated[float, Range(0.0, 1.0)] = 0.0
    """Probability per foot and control step that a contact reading is inverted."""
    contact_delay_steps: Annotated[tuple[int, int], Range(0, 10_000)] = (0, 0)
    """Control steps by which contact readings lag, both ends included; one per robot, drawn anew for every episode."""

    def __post_init__(self) -> None:
        check_ranges(self)
        check_order(self, *(each.name for each in fields(self) if isinstance(getattr(self, each.name), Sequence)))


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Float32 numbers of `shape`, uniform in `[low, high)`, on the generator's device."""
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def uniform_integer(shape: tuple[int, ...], low: int, high: int, generator: torch.Generator) -> Tensor:
    """Int64 numbers of `shape`, uniform over `low..high`, both included, on the generator's device."""
    return torch.randint(low, high + 1, shape, device=generator.device, generator=generator)


class Randomization(Buffers):
    """The drawn properties of `N` robots with `J` joints."""

    persistent: ClassVar[tuple[str, ...]] = ("backlash", "latency", "contact_delay")

    def __init__(self, config: RandomizationConfig, num_envs: int, num_joints: int, generator: torch.Generator) -> None:
        """Draw every property once."""
        self._config = config
        self._generator = generator
        shapes = {"robot": (num_envs,), "joint": (num_envs, num_joints)}
        self.lasting = {
            name: uniform(shapes[property.per], bounds[0], bounds[1], generator)
            for name, property in entries(type(config), Lasting).items()
            if (bounds := getattr(config, name)) is not None
        }
        """What was drawn for the whole run, `[N]` or `[N, J]`, by name; nothing where the model stays as it is."""
        self.backlash = uniform((num_envs, num_joints), *(config.backlash or (0.0, 0.0)), generator)
        """`[N, J]` rad."""
        self.latency = uniform_integer((num_envs,), *config.latency_steps, generator)
        """`[N]` control steps."""
        self.contact_delay = uniform_integer((num_envs,), *config.contact_delay_steps, generator)
        """`[N]` control steps."""

    def apply(self, simulator: Simulator) -> None:
        """Hand the properties that last for the whole run to the simulator."""
        simulator.set_properties(self.lasting)

    def redraw(self, mask: Tensor) -> None:
        """Draw what changes with every episode anew for the robots in `mask` `[N]` bool."""
        config, generator = self._config, self._generator
        if config.backlash is not None:
            backlash = uniform(tuple(self.backlash.shape), *config.backlash, generator)
            self.backlash = torch.where(mask.unsqueeze(-1), backlash, self.backlash)
        self.latency = self._redrawn(self.latency, config.latency_steps, mask)
        self.contact_delay = self._redrawn(self.contact_delay, config.contact_delay_steps, mask)

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of everything drawn, by name."""
        return {**super().state_dict(), **{name: value.clone() for name, value in self.lasting.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with what was drawn when `state_dict` was taken."""
        super().load_state_dict(state)
        self.lasting = {name: self._restored(name, value, state) for name, value in self.lasting.items()}

    def _redrawn(self, delay: Tensor, bounds: tuple[int, int], mask: Tensor) -> Tensor:
        """Delays `[N]` within `bounds`, new ones for the robots in `mask` `[N]` bool."""
        if bounds[0] == bounds[1]:
            return delay
        return torch.where(mask, uniform_integer(tuple(delay.shape), *bounds, self._generator), delay)
