"""Domain randomisation: what differs from robot to robot, and pushes."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from biped.simulators.interface import Simulator
from biped.simulators.state import State, rotate
from biped.task.buffers import Buffers
from ppo.value_ranges import Range, check_order, check_ranges


@dataclass(frozen=True)
class RandomizationConfig:
    """Ranges are drawn from uniformly; `None` switches a randomisation off."""

    friction: Annotated[tuple[float, float] | None, Range(0.0, 1000.0)] = (0.4, 1.25)
    """Friction coefficient between robot and ground; one per robot, for the whole run."""
    motor_strength: Annotated[tuple[float, float] | None, Range(0.0, 1000.0)] = (0.6, 1.2)
    """Factor on the nominal motor; one per joint of each robot, for the whole run."""
    added_mass: Annotated[tuple[float, float] | None, Range(-1000.0, 1000.0)] = None
    """kg on the base, less than the model's where negative; one per robot, for the whole run."""
    backlash: Annotated[tuple[float, float] | None, Range(0.0, 1000.0)] = (0.01, 0.07)
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
        check_order(
            self, "friction", "motor_strength", "added_mass", "backlash", "latency_steps", "contact_delay_steps"
        )


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Float32 numbers of `shape`, uniform in `[low, high)`, on the generator's device."""
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def uniform_integer(shape: tuple[int, ...], low: int, high: int, generator: torch.Generator) -> Tensor:
    """Int64 numbers of `shape`, uniform over `low..high`, both included, on the generator's device."""
    return torch.randint(low, high + 1, shape, device=generator.device, generator=generator)


def pushed_velocity(state: State, at_rest: Tensor, speed: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Base velocities after a push in a random horizontal direction by 0 to `speed` m/s.

    Args:
        state: The state before the push.
        at_rest: `[N]` bool, robots that have been put at rest since `state` was read.
        speed: m/s.
        generator: Source of the random numbers.

    Returns:
        Linear velocity `[N, 3]` in m/s and angular velocity `[N, 3]` in rad/s, both in the world frame.
    """
    velocity = torch.stack((state.base_linear_velocity, state.base_angular_velocity), dim=1)
    velocity.masked_fill_(at_rest.view(-1, 1, 1), 0.0)
    linear, angular = rotate(state.base_quaternion.unsqueeze(1), velocity).unbind(1)
    num_envs = linear.shape[0]
    change = uniform((num_envs,), 0.0, speed, generator)
    direction = uniform((num_envs,), 0.0, 2.0 * math.pi, generator)
    push = torch.stack((change * direction.cos(), change * direction.sin(), torch.zeros_like(change)), dim=-1)
    return linear + push, angular


class Randomization(Buffers):
    """The drawn properties of `N` robots with `J` joints."""

    persistent: ClassVar[tuple[str, ...]] = (
        "friction",
        "motor_strength",
        "added_mass",
        "backlash",
        "latency",
        "contact_delay",
    )

    def __init__(self, config: RandomizationConfig, num_envs: int, num_joints: int, generator: torch.Generator) -> None:
        """Draw every property once."""
        self._config = config
        self._generator = generator

        def draw(bounds: tuple[float, float] | None, *shape: int) -> Tensor | None:
            return None if bounds is None else uniform(shape, *bounds, generator)

        self.friction = draw(config.friction, num_envs)
        """`[N]`, or None where the simulator's own value stays."""
        self.motor_strength = draw(config.motor_strength, num_envs, num_joints)
        """`[N, J]`, or None."""
        self.added_mass = draw(config.added_mass, num_envs)
        """`[N]` kg, or None."""
        self.backlash = uniform((num_envs, num_joints), *(config.backlash or (0.0, 0.0)), generator)
        """`[N, J]` rad."""
        self.latency = uniform_integer((num_envs,), *config.latency_steps, generator)
        """`[N]` control steps."""
        self.contact_delay = uniform_integer((num_envs,), *config.contact_delay_steps, generator)
        """`[N]` control steps."""

    @property
    def lasting(self) -> dict[str, Tensor]:
        """The properties that were drawn for the whole run, by name."""
        drawn = {"friction": self.friction, "motor_strength": self.motor_strength, "added_mass": self.added_mass}
        return {name: value for name, value in drawn.items() if value is not None}

    def apply(self, simulator: Simulator) -> None:
        """Hand the properties that last for the whole run to the simulator."""
        if self.friction is not None:
            simulator.set_friction(self.friction)
        if self.motor_strength is not None:
            simulator.set_motor_strength(self.motor_strength)
        if self.added_mass is not None:
            simulator.set_added_mass(self.added_mass)

    def redraw(self, mask: Tensor) -> None:
        """Draw what changes with every episode anew for the robots in `mask` `[N]` bool."""
        config, generator = self._config, self._generator
        if config.backlash is not None:
            backlash = uniform(tuple(self.backlash.shape), *config.backlash, generator)
            self.backlash = torch.where(mask.unsqueeze(-1), backlash, self.backlash)
        if config.latency_steps[0] < config.latency_steps[1]:
            latency = uniform_integer(tuple(self.latency.shape), *config.latency_steps, generator)
            self.latency = torch.where(mask, latency, self.latency)
        if config.contact_delay_steps[0] < config.contact_delay_steps[1]:
            delay = uniform_integer(tuple(self.contact_delay.shape), *config.contact_delay_steps, generator)
            self.contact_delay = torch.where(mask, delay, self.contact_delay)
