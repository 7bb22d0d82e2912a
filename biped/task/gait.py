"""Foot contacts over time: the clock that asks for them, air time, and steps with one foot after the other."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from biped.task.buffers import Buffers
from ppo.value_ranges import Range, check_ranges

NO_SUPPORT, RIGHT_SUPPORT, LEFT_SUPPORT, DOUBLE_SUPPORT = range(4)
"""Which feet are on the ground: right counts 1, left counts 2."""


@dataclass(frozen=True)
class GaitConfig:
    """What counts as a contact, as a step, and the rhythm that is asked for."""

    contact_threshold: Annotated[float, Range(0.0, 1e6)] = 1.0
    """N; a foot is on the ground when its contact force is above this."""
    period: Annotated[float, Range(1e-3, 1e6)] = 0.6
    """s of the clock: one step with each foot."""
    stance_fraction: Annotated[float, Range(0.0, 1.0)] = 0.55
    """Fraction of the period for which the clock wants a foot on the ground; the right one from phase 0 on."""
    left_offset: Annotated[float, Range(-1.0, 1.0)] = 0.5
    """Phase at which the left foot's stance begins, as a fraction of the period."""
    standing_command: Annotated[float, Range(0.0, 1000.0)] = 0.1
    """m/s and rad/s; where every part of the command is smaller, the clock stops and wants both feet on the ground."""
    stopping_time: Annotated[float, Range(0.0, 1e6)] = 0.0
    """s for which the clock goes on after a command to stand, so that a robot that walks can end in steps."""
    random_phase: bool = False
    """Start episodes at a random phase of the clock instead of 0."""
    minimum_swing: Annotated[float, Range(0.0, 1e6)] = 0.06
    """s; a foot must leave the ground for at least this long, the other one standing, for a step to count."""
    minimum_step: Annotated[float, Range(0.0, 1e6)] = 0.2
    """s; from one step that counts to the next. Together with `minimum_swing` it takes the profit out of trembling."""

    def __post_init__(self) -> None:
        check_ranges(self)


def is_standing(command: Tensor, config: GaitConfig) -> Tensor:
    """Where the command `[N, 3]` asks to stand still. Returns `[N]` bool."""
    return command.abs().amax(dim=-1) < config.standing_command


def scheduled_contact(phase: Tensor, standing: Tensor, config: GaitConfig) -> Tensor:
    """Which feet the clock wants on the ground.

    Args:
        phase: `[N]` of the clock, 0 to 1.
        standing: `[N]` bool, where both feet are wanted on the ground.
        config: Stance fraction and offset.

    Returns:
        `[N, 2]` bool, right and left.
    """
    phases = torch.stack((phase, (phase - config.left_offset) % 1.0), dim=-1)
    return (phases < config.stance_fraction) | standing.unsqueeze(-1)


def clock_signal(phase: Tensor, standing: Tensor) -> Tensor:
    """Sine and cosine of the clock `[N, 2]`, both 0 where the robot is asked to stand."""
    angle = 2.0 * math.pi * phase
    return torch.stack((angle.sin(), angle.cos()), dim=-1).masked_fill_(standing.unsqueeze(-1), 0.0)


class Gait(Buffers):
    """Clock, contacts and air times of `N` robots."""

    persistent: ClassVar[tuple[str, ...]] = ("phase", "contact", "air_time", "_steps_to_stop")

    def __init__(
        self,
        config: GaitConfig,
        num_envs: int,
        control_dt: float,
        generator: torch.Generator,
        *,
        needs_air_time: bool = True,
    ) -> None:
        """Start with the clock at 0 and both feet in the air; air times are followed only where they are needed."""
        device = generator.device
        self.config = config
        self._control_dt = control_dt
        self._generator = generator
        self.phase = torch.zeros(num_envs, device=device)
        """`[N]` of the clock, 0 to 1."""
        self.contact = torch.zeros(num_envs, 2, dtype=torch.bool, device=device)
        """`[N, 2]`; the foot is on the ground."""
        self.air_time = torch.zeros(num_envs, 2, device=device) if needs_air_time else None
        """`[N, 2]` s since the foot left the ground, 0 on the ground; None where it is not followed."""
        self.touchdown = torch.zeros_like(self.contact)
        """`[N, 2]`; the foot came down in the last control step."""
        self.landed_air_time = torch.full((num_envs, 2), torch.nan, device=device)
        """`[N, 2]` s that a foot which came down in the last control step had been in the air; 0 for all others, NaN
        where air times are not followed."""
        self._stopping_steps = round(config.stopping_time / control_dt)
        no_steps = torch.zeros(num_envs, dtype=torch.int32, device=device)
        self._steps_to_stop = no_steps if self._stopping_steps else None

    def follow(self, command: Tensor) -> None:
        """Take note of the command `[N, 3]` that holds from the coming control step on."""
        if self._steps_to_stop is not None:
            left = (self._steps_to_stop - 1).clamp_(min=0)
            self._steps_to_stop = torch.where(is_standing(command, self.config), left, self._stopping_steps + 1)

    def stands(self, command: Tensor) -> Tensor:
        """Where robots that follow `command` `[N, 3]` are to stand still, the clock having stopped. `[N]` bool."""
        asked = is_standing(command, self.config)
        return asked if self._steps_to_stop is None else asked & (self._steps_to_stop == 0)

    def step(self, foot_contact_force: Tensor) -> None:
        """Move on by one control step, given the force `[N, 2]` in N under each foot at its end."""
        contact = foot_contact_force > self.config.contact_threshold
        self.touchdown = contact > self.contact
        if self.air_time is not None:
            self.landed_air_time = self.air_time * self.touchdown
            self.air_time = (self.air_time + self._control_dt).masked_fill_(contact, 0.0)
        self.contact = contact
        self.phase = (self.phase + self._control_dt / self.config.period).remainder_(1.0)

    def reset(self, mask: Tensor) -> None:
        """Begin anew for the robots in `mask` `[N]` bool, both feet in the air."""
        if self.config.random_phase:
            phase = torch.rand(self.phase.shape, generator=self._generator, device=self.phase.device)
            self.phase = torch.where(mask, phase, self.phase)
        else:
            self.phase.masked_fill_(mask, 0.0)
        if self._steps_to_stop is not None:
            self._steps_to_stop.masked_fill_(mask, 0)
        masked = mask.unsqueeze(-1)
        self.contact.masked_fill_(masked, False)
        if self.air_time is not None:
            self.air_time.masked_fill_(masked, 0.0)


class FootAlternation(Buffers):
    """Counts the steps that `N` robots take with one foot after the other.

    A step goes from both feet on the ground to one foot (0.5, once the swing has lasted `minimum_swing`) and back to
    both (1.0 more). It counts only if the foot that swings is not the one of the last step that counted, and
    `minimum_step` after it. So tapping with one foot, contacts that flicker and trembling feet earn nothing or no more
    than a quick walk does: at most 1.5 every `minimum_step`.
    """

    persistent: ClassVar[tuple[str, ...]] = (
        "_support",
        "_support_steps",
        "_swing_began",
        "_swing_counts",
        "_last_support",
        "_steps_since",
    )

    def __init__(self, config: GaitConfig, num_envs: int, control_dt: float, device: torch.device) -> None:
        """Start with both feet in the air and no step taken."""
        self._minimum_swing = max(1, math.ceil(config.minimum_swing / control_dt - 1e-6))
        self._minimum_step = math.ceil(config.minimum_step / control_dt - 1e-6)
        count = torch.zeros(num_envs, dtype=torch.int32, device=device)
        self._support = count.clone()
        self._support_steps = count.clone()
        self._swing_began = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._swing_counts = self._swing_began.clone()
        self._last_support = count.clone()
        self._steps_since = count + self._minimum_step

    def step(self, contact: Tensor) -> Tensor:
        """Value `[N]` of what happened in this control step, 0, 0.5 or 1, given the contacts `[N, 2]` bool."""
        right, left = contact.int().unbind(1)
        support = torch.add(right, left, alpha=LEFT_SUPPORT)
        changed = support != self._support
        double = support == DOUBLE_SUPPORT
        self._support_steps.add_(1).masked_fill_(changed, 1)
        self._steps_since.add_(1)
        # Only what begins in double support is a swing, and it lasts as long as the other foot alone stands.
        self._swing_began = torch.where(changed, self._support == DOUBLE_SUPPORT, self._swing_began) & (right != left)
        lifted = (
            self._swing_began
            & (self._support_steps == self._minimum_swing)
            & (support != self._last_support)
            & (self._steps_since >= self._minimum_step)
        )
        put_down = self._swing_counts & double
        self._swing_counts.masked_fill_(changed, False).logical_or_(lifted)
        self._last_support = torch.where(lifted, support, self._last_support)
        self._steps_since.masked_fill_(lifted, 0)
        self._support = support
        return torch.add(put_down.float(), lifted, alpha=0.5)

    def reset(self, mask: Tensor) -> None:
        """Begin anew for the robots in `mask` `[N]` bool: both feet in the air, no step taken.

        How long the support has lasted and whether a swing began follow from the support when it next changes.
        """
        self._support.masked_fill_(mask, NO_SUPPORT)
        self._swing_counts.masked_fill_(mask, False)
        self._last_support.masked_fill_(mask, NO_SUPPORT)
        self._steps_since.masked_fill_(mask, self._minimum_step)
