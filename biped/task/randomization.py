"""Domain randomisation: what differs from robot to robot, and what happens to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from biped.simulators.interface import Simulator
from biped.simulators.properties import PROPERTIES
from biped.task.buffers import Buffers, restored
from biped.task.table import entries, entry
from ppo.value_ranges import ConfigurationError, Range, check_order, check_ranges

Bounds = tuple[float, float] | None
Per = Literal["robot", "joint", "axis"]


@dataclass(frozen=True)
class Lasting:
    """A property that is drawn once, for the whole run."""

    per: Per
    """What has a value of its own."""


def lasting(per: Per, bounds: Bounds = None) -> Bounds:
    """The default `bounds` of a property that lasts for the whole run.

    One whose name is in `biped.simulators.properties.PROPERTIES` is handed to the simulator.
    """
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
    stiffness: Annotated[Bounds, Range(0.0, 1000.0)] = lasting("joint")
    """Factor on the stiffness of each servo, on top of its strength; one per joint of each robot, for the whole run."""
    damping: Annotated[Bounds, Range(0.0, 1000.0)] = lasting("joint")
    """Factor on the damping of each servo, on top of its strength; one per joint of each robot, for the whole run."""
    armature: Annotated[Bounds, Range(0.0, 1000.0)] = lasting("joint")
    """Factor on the inertia of each servo's rotor; one per joint of each robot, for the whole run."""
    joint_friction: Annotated[Bounds, Range(0.0, 1000.0)] = lasting("joint")
    """N m of dry friction more than in the model; one per joint of each robot, for the whole run."""
    joint_damping: Annotated[Bounds, Range(0.0, 1000.0)] = lasting("joint")
    """N m s/rad of viscous friction more than in the model; one per joint of each robot, for the whole run."""
    center_of_mass: Annotated[Bounds, Range(-1000.0, 1000.0)] = lasting("axis")
    """m by which the base's centre of mass lies elsewhere; one per axis of each robot, for the whole run."""
    link_mass: Annotated[Bounds, Range(0.0, 1000.0, open=True)] = lasting("joint")
    """Factor on mass and inertia of the link that a joint moves; one per joint of each robot, for the whole run."""
    encoder_bias: Annotated[Bounds, Range(-1000.0, 1000.0)] = lasting("joint")
    """rad that an encoder shows too much; one per joint of each robot, for the whole run. The servo goes by its encoder
    as well: the joint stops that far short of its target."""
    imu_tilt: Annotated[Bounds, Range(-3.14, 3.14)] = lasting("axis")
    """rad by which the IMU is turned about each axis of the base; for the whole run. It turns the observed angular and
    linear velocity, the direction of gravity, roll and pitch."""
    backlash: Annotated[Bounds, Range(0.0, 1000.0)] = (0.01, 0.07)
    """rad of slack; one per joint of each robot, drawn anew for every episode."""
    latency_steps: Annotated[tuple[int, int], Range(0, 10_000)] = (1, 1)
    """Control steps from an action to its effect, both ends included; one per robot, drawn anew for every episode."""
    sensor_delay_steps: Annotated[tuple[int, int], Range(0, 10_000)] = (0, 0)
    """Control steps by which what the actor sees of IMU, joints and height is late, both ends included; one per robot,
    drawn anew for every episode. The critic's own parts are not late, and contacts have a delay of their own."""
    push_speed: Annotated[float, Range(0.0, 1000.0)] = 0.0
    """m/s; a push changes the horizontal velocity of the base by up to this in a random direction. 0 switches pushes
    off, 1 is a strong push."""
    push_interval_s: Annotated[float, Range(0.0, 1e9, open=True)] = 7.0
    """s between pushes. All robots are pushed in the same control step, wherever their episodes are."""
    impulse_force: Annotated[float, Range(0.0, 1e6)] = 0.0
    """N; an impulse pulls the base at its centre of mass with up to this in a random horizontal direction. 0 switches
    impulses off."""
    impulse_duration_s: Annotated[float, Range(0.0, 1e9, open=True)] = 0.1
    """s for which an impulse pulls, at most the interval."""
    impulse_interval_s: Annotated[float, Range(0.0, 1e9, open=True)] = 7.0
    """s from the start of one impulse to that of the next. All robots are pulled in the same control steps."""
    growth_s: Annotated[float, Range(0.0, 1e9)] = 0.0
    """s of training in which pushes and impulses grow from nothing and the longest latency and sensor delay from the
    shortest; 0: they begin whole. A training that continues with its robots goes on growing where it was."""
    contact_noise: Annotated[float, Range(0.0, 1e6)] = 0.0
    """Uniform noise of plus and minus this on each foot contact reading, on top of the observation noise."""
    contact_false_probability: Annotated[float, Range(0.0, 1.0)] = 0.0
    """Probability per foot and control step that a contact reading is inverted."""
    contact_delay_steps: Annotated[tuple[int, int], Range(0, 10_000)] = (0, 0)
    """Control steps by which contact readings lag, both ends included; one per robot, drawn anew for every episode."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.impulse_force > 0.0 and self.impulse_duration_s > self.impulse_interval_s:
            limit, found = self.impulse_interval_s, self.impulse_duration_s
            problem = f"must be at most impulse_interval_s, {limit:g}, not {found:g}"
            raise ConfigurationError(type(self), "impulse_duration_s", problem)
        check_order(self, *(each.name for each in fields(self) if isinstance(getattr(self, each.name), Sequence)))


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Float32 numbers of `shape`, uniform in `[low, high)`, on the generator's device."""
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def uniform_integer(shape: tuple[int, ...], low: int, high: int, generator: torch.Generator) -> Tensor:
    """Int64 numbers of `shape`, uniform over `low..high`, both included, on the generator's device."""
    return torch.randint(low, high + 1, shape, device=generator.device, generator=generator)


class Longest(NamedTuple):
    """The longest delays that there are yet, in control steps."""

    latency: int
    sensor_delay: int


def shortened(delay: Tensor, longest: int, bounds: tuple[int, int]) -> Tensor:
    """Delays `[N]` within `bounds`, none of them longer than `longest`, in control steps."""
    return delay if longest == bounds[1] else delay.clamp(max=longest)


class Randomization(Buffers):
    """The drawn properties of `N` robots with `J` joints."""

    persistent: ClassVar[tuple[str, ...]] = ("backlash", "latency", "contact_delay", "sensor_delay")

    def __init__(self, config: RandomizationConfig, num_envs: int, num_joints: int, generator: torch.Generator) -> None:
        """Draw every property once."""
        self._config = config
        self._generator = generator
        shapes = {"robot": (num_envs,), "joint": (num_envs, num_joints), "axis": (num_envs, 3)}
        self.lasting = {
            name: uniform(shapes[property.per], bounds[0], bounds[1], generator)
            for name, property in entries(type(config), Lasting).items()
            if (bounds := getattr(config, name)) is not None
        }
        """What was drawn for the whole run, `[N]`, `[N, J]` or `[N, 3]`, by name; nothing of what is switched off."""
        self.backlash = uniform((num_envs, num_joints), *(config.backlash or (0.0, 0.0)), generator)
        """`[N, J]` rad."""
        self.latency = uniform_integer((num_envs,), *config.latency_steps, generator)
        """`[N]` control steps."""
        self.contact_delay = uniform_integer((num_envs,), *config.contact_delay_steps, generator)
        """`[N]` control steps."""
        delayed = config.sensor_delay_steps[1] > 0
        self.sensor_delay = uniform_integer((num_envs,), *config.sensor_delay_steps, generator) if delayed else None
        """`[N]` control steps, or None where nothing is late."""

    def apply(self, simulator: Simulator) -> None:
        """Hand the properties that last for the whole run to the simulator."""
        simulator.set_properties({name: value for name, value in self.lasting.items() if name in PROPERTIES})

    def redraw(self, mask: Tensor) -> None:
        """Draw what changes with every episode anew for the robots in `mask` `[N]` bool."""
        config, generator = self._config, self._generator
        if config.backlash is not None:
            backlash = uniform(tuple(self.backlash.shape), *config.backlash, generator)
            self.backlash = torch.where(mask.unsqueeze(-1), backlash, self.backlash)
        self.latency = self._redrawn(self.latency, config.latency_steps, mask)
        self.contact_delay = self._redrawn(self.contact_delay, config.contact_delay_steps, mask)
        if self.sensor_delay is not None:
            self.sensor_delay = self._redrawn(self.sensor_delay, config.sensor_delay_steps, mask)

    def latency_now(self, longest: Longest) -> Tensor:
        """`[N]` control steps from an action to its effect."""
        return shortened(self.latency, longest.latency, self._config.latency_steps)

    def sensor_delay_now(self, longest: Longest) -> Tensor | None:
        """`[N]` control steps by which measurements are late; None where they never are."""
        delay = self.sensor_delay
        return None if delay is None else shortened(delay, longest.sensor_delay, self._config.sensor_delay_steps)

    def hidden(self, longest: Longest) -> dict[str, Tensor]:
        """What only a simulator knows of the robots, by the names of `observation_sources.HIDDEN`."""
        delay = self.sensor_delay_now(longest)
        late = {} if delay is None else {"sensor_delay": delay}
        return {**self.lasting, "latency": self.latency_now(longest), **late}

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of everything drawn, by name."""
        return {**super().state_dict(), **{name: value.clone() for name, value in self.lasting.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with what was drawn when `state_dict` was taken."""
        super().load_state_dict(state)
        self.lasting = {name: restored(self, name, value, state) for name, value in self.lasting.items()}

    def _redrawn(self, delay: Tensor, bounds: tuple[int, int], mask: Tensor) -> Tensor:
        """Delays `[N]` within `bounds`, new ones for the robots in `mask` `[N]` bool."""
        if bounds[0] == bounds[1]:
            return delay
        return torch.where(mask, uniform_integer(tuple(delay.shape), *bounds, self._generator), delay)
