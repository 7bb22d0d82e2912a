"""Foot contacts as an imperfect sensor reports them: late, sometimes false, noisy."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from biped.task.buffers import Buffers
from biped.task.delay_line import DelayLine
from biped.task.randomization import RandomizationConfig, uniform


class ContactSensor(Buffers):
    """Contact readings `[N, 2]` of the right and the left foot; 0 is in the air, 1 on the ground.

    Only observations see these readings. Rewards and terminations see the true contacts.
    """

    persistent: ClassVar[tuple[str, ...]] = ("reading",)

    def __init__(self, config: RandomizationConfig, num_envs: int, generator: torch.Generator) -> None:
        """Start with both feet of all robots in the air."""
        self._config = config
        self._generator = generator
        self.reading = torch.zeros(num_envs, 2, device=generator.device)
        """`[N, 2]`; noise may take it below 0 or above 1."""
        self._in_the_air = torch.zeros((), device=generator.device)
        self._delay = DelayLine(self.reading, config.contact_delay_steps[1])

    def step(self, contact: Tensor, delay: Tensor) -> None:
        """Take in the true contacts `[N, 2]` bool; readings lag by `delay` `[N]` int64 control steps."""
        reading = self._delay.step(contact.float(), delay)
        shape = tuple(reading.shape)
        if self._config.contact_false_probability > 0.0:
            false = uniform(shape, 0.0, 1.0, self._generator) < self._config.contact_false_probability
            reading = torch.where(false, 1.0 - reading, reading)
        if self._config.contact_noise > 0.0:
            reading = reading + uniform(shape, -self._config.contact_noise, self._config.contact_noise, self._generator)
        self.reading = reading

    def reset(self, mask: Tensor) -> None:
        """Let the robots in `mask` `[N]` bool always have been in the air."""
        self._delay.reset(mask, self._in_the_air)
        self.reading.masked_fill_(mask.unsqueeze(-1), 0.0)

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the remembered tensors by name."""
        return {**super().state_dict(), **self._delay.state_dict()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with the tensors of `state_dict`."""
        super().load_state_dict(state)
        self._delay.load_state_dict(state)
