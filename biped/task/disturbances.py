"""What happens to all robots at once while they walk: pushes, impulses, and the time in which disturbances grow."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from biped.simulators.interface import Simulator
from biped.simulators.state import State, rotate, rotate_inverse
from biped.task.buffers import Buffers
from biped.task.last_push import LastPush
from biped.task.randomization import Longest, RandomizationConfig, uniform


def horizontal(largest: float, num_envs: int, generator: torch.Generator) -> Tensor:
    """Vectors `[N, 3]` in random horizontal directions, their lengths uniform between 0 and `largest`."""
    length = uniform((num_envs,), 0.0, largest, generator)
    direction = uniform((num_envs,), 0.0, 2.0 * math.pi, generator)
    return torch.stack((length * direction.cos(), length * direction.sin(), torch.zeros_like(length)), dim=-1)


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
    return linear + horizontal(speed, len(linear), generator), angular


class Disturbances(Buffers):
    """Disturbances of the robots of a simulator, timed by the control steps since the training began."""

    persistent: ClassVar[tuple[str, ...]] = ("force",)

    def __init__(
        self,
        config: RandomizationConfig,
        simulator: Simulator,
        last_push: LastPush | None,
        generator: torch.Generator,
    ) -> None:
        """Begin before the first control step; `last_push` is told of every push."""
        self._config = config
        self._simulator = simulator
        self._last_push = last_push
        self._generator = generator
        self._push_interval, self._impulse_interval, self._impulse_duration = (
            max(1, round(seconds / simulator.control_dt))
            for seconds in (config.push_interval_s, config.impulse_interval_s, config.impulse_duration_s)
        )
        self.force = (
            None if config.impulse_force == 0.0 else torch.zeros(simulator.num_envs, 3, device=simulator.device)
        )
        """`[N, 3]` N, world frame, on every base in the last control step; None without impulses."""
        self.step_count = 0
        """Control steps since the training began."""

    @property
    def grown(self) -> float:
        """Share of their full strength, 0 to 1, that disturbances have reached."""
        growth = self._config.growth_s
        return 1.0 if growth == 0.0 else min(1.0, self.step_count * self._simulator.control_dt / growth)

    @property
    def longest_delays(self) -> Longest:
        """The longest latency and sensor delay that there are yet; few different ones in a whole training."""
        ranges = self._config.latency_steps, self._config.sensor_delay_steps
        return Longest(*(shortest + int(self.grown * (longest - shortest)) for shortest, longest in ranges))

    def step(self, state: State, at_rest: Tensor) -> None:
        """Disturb the robots before the next control step.

        Args:
            state: the state before it.
            at_rest: `[N]` bool, robots that have been put at rest since `state` was read.
        """
        config, grown = self._config, self.grown
        self.step_count += 1
        if self._last_push is not None:
            self._last_push.step()
        if self.force is not None:
            self.force = self._pull(self.force, grown * config.impulse_force)
        if config.push_speed > 0.0 and self.step_count % self._push_interval == 0:
            velocity = pushed_velocity(state, at_rest, grown * config.push_speed, self._generator)
            self._simulator.set_velocity(*velocity)
            if self._last_push is not None:
                self._last_push.remember(state, at_rest, velocity[0])

    def hidden(self, state: State) -> dict[str, Tensor]:
        """What happened of late that only a simulator knows, by the names of `observation_sources.HIDDEN`."""
        impulse = {} if self.force is None else {"impulse": rotate_inverse(state.base_quaternion, self.force)}
        return impulse if self._last_push is None else {**impulse, "last_push": self._last_push.reading}

    def reset(self, mask: Tensor) -> None:
        """Forget what happened to the robots in `mask` `[N]` bool."""
        if self._last_push is not None:
            self._last_push.reset(mask)
        if self.force is not None:
            self.force = self.force.masked_fill(mask.unsqueeze(-1), 0.0)

    def _pull(self, force: Tensor, largest: float) -> Tensor:
        """Pull for a control step if it is one of an impulse.

        Args:
            force: `[N, 3]` N of the last control step.
            largest: N that a new impulse may have.

        Returns:
            `[N, 3]` N of this control step.
        """
        elapsed = self.step_count % self._impulse_interval
        if self.step_count < self._impulse_interval or elapsed > self._impulse_duration:
            return force
        if elapsed == 0:
            force = horizontal(largest, len(force), self._generator)
        elif elapsed == self._impulse_duration:
            return torch.zeros_like(force)
        self._simulator.set_force(force)
        return force
