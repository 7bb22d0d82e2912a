"""Returns and lengths of episodes, kept on the device and read once per rollout."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class EpisodeStatistics:
    """Mean return and length over the last `window` episodes that ended, as SB3 reports them.

    Args:
        num_envs: `N`.
        device: of the environment.
        window: episodes to average over.
    """

    def __init__(self, num_envs: int, device: torch.device, window: int = 100) -> None:
        self.window = window
        self.current = torch.zeros(2, num_envs, device=device)
        """Return and length so far of each running episode."""
        self.last = torch.zeros(2, window + 1, device=device)
        """Ring of the last returns and lengths; the extra place swallows what belongs to no episode's end."""
        self.ended = torch.zeros((), dtype=torch.int64, device=device)
        """Episodes that have ended since training began."""
        self.ended_before = self.ended.clone()
        self.pending: list[tuple[Tensor, Tensor]] = []

    def add(self, reward: Tensor, done: Tensor) -> None:
        """Count one control step: `reward` `[N]`, and `done` `[N]` bool where the episode ended with it."""
        self.current[0].add_(reward)
        self.current[1].add_(1.0)
        self.pending.append((self.current.clone(), done))
        self.current.masked_fill_(done, 0.0)

    def end_rollout(self) -> None:
        """Move the episodes that ended in the last rollout into the window."""
        if not self.pending:
            return
        values = torch.cat([value for value, _ in self.pending], dim=1)
        done = torch.cat([flags for _, flags in self.pending])
        self.pending = []
        number = self.ended + done.cumsum(0) - 1
        self.ended_before, self.ended = self.ended, self.ended + done.sum()
        recent = done & (number >= self.ended - self.window)
        place = torch.where(recent, number % self.window, self.window)
        self.last.scatter_(1, place.expand(2, -1), values)

    @property
    def ended_in_rollout(self) -> Tensor:
        """Episodes that ended in the last rollout, `[]`."""
        return self.ended - self.ended_before

    def sums(self) -> tuple[Tensor, Tensor]:
        """Sum of returns and of lengths in the window, `[2]`, and the number of episodes in it, `[]`."""
        return self.last[:, : self.window].sum(1), self.ended.clamp(max=self.window)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to continue the statistics. Call it between rollouts."""
        return {"current": self.current, "last": self.last, "ended": self.ended}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        for name in ("current", "last", "ended"):
            getattr(self, name).copy_(state[name])
        self.ended_before = self.ended.clone()
