"""The last few values of a signal, read back with a delay of its own for every robot."""

from typing import ClassVar

import torch
from torch import Tensor

from biped.task.buffers import Buffers


class DelayLine(Buffers):
    """The newest `K + 1` values of a signal `[N, W]`, `K` being the longest delay in control steps."""

    persistent: ClassVar[tuple[str, ...]] = ("history",)

    def __init__(self, initial: Tensor, longest_delay: int) -> None:
        """Start with a past in which the signal was always `initial` `[N, W]`."""
        past = initial.expand(longest_delay + 1, *initial.shape).clone()
        self.history = past if longest_delay else None
        """`[K + 1, N, W]`, newest first; None where nothing is late."""

    def step(self, value: Tensor, delay: Tensor) -> Tensor:
        """Take in the newest value `[N, W]` and return the one of `delay` `[N]` control steps ago."""
        if self.history is None:
            return value
        self.history = torch.cat((value.unsqueeze(0), self.history[:-1]))
        return self.history.gather(0, delay.view(1, -1, 1).expand(1, *value.shape)).squeeze(0)

    def reset(self, mask: Tensor, value: Tensor) -> None:
        """Give the robots in `mask` `[N]` a past in which the signal was always `value` (broadcast to `[N, W]`)."""
        if self.history is not None:
            self.history = torch.where(mask.view(1, -1, 1), value, self.history)
