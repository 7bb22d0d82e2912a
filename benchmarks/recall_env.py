"""A small environment in plain tensors that needs memory: the answer is shown once."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ppo.env import Step


class RecallEnv:
    """Give back a cue that only the first observation of the episode shows.

    The cue is +1 or -1. Every step is rewarded with `-(action - cue)^2`, so remembering earns a return of 0. Without
    memory it is best to act 0 after the first step, which costs 1 per step. Episodes end by time-out only.

    Args:
        num_envs: `N`.
        episode_length: steps per episode.
        seed: of the cues.
    """

    observation_dim = 2
    """The cue, 0 after the first step, and the fraction of the episode that has passed."""
    action_dim = 1
    device = torch.device("cpu")

    def __init__(self, num_envs: int, *, episode_length: int = 4, seed: int = 0) -> None:
        self.num_envs, self.episode_length = num_envs, episode_length
        self.action_low, self.action_high = torch.tensor([-2.0]), torch.tensor([2.0])
        self.generator = torch.Generator().manual_seed(seed)
        self.cue = torch.zeros(num_envs)
        self.age = torch.zeros(num_envs, dtype=torch.int64)

    @property
    def memoryless_return(self) -> float:
        """Highest mean return per episode without memory."""
        return -float(self.episode_length - 1)

    def reset(self) -> Tensor:
        """Start a new episode everywhere; returns the observation `[N, 2]`."""
        self.cue = self._draw_cues()
        self.age.zero_()
        return self._observe()

    def step(self, action: Tensor) -> Step:
        """Compare `action` `[N, 1]` with the cue."""
        error = action[:, 0] - self.cue
        self.age += 1
        truncated = self.age == self.episode_length
        final_observation = self._observe()
        self.cue = torch.where(truncated, self._draw_cues(), self.cue)
        self.age.masked_fill_(truncated, 0)
        return Step(
            observation=self._observe(),
            reward=-error.square(),
            terminated=torch.zeros_like(truncated),
            truncated=truncated,
            final_observation=final_observation,
            metrics={"episode/time_out": truncated.float().sum()},
        )

    def state_dict(self) -> dict[str, Any]:
        """Cues, time passed and the generator."""
        return {"cue": self.cue.clone(), "age": self.age.clone(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        """Continue where `state_dict` was taken; returns the observation `[N, 2]`."""
        self.cue.copy_(state["cue"])
        self.age.copy_(state["age"])
        self.generator.set_state(state["generator"])
        return self._observe()

    def close(self) -> None:
        """Nothing is held."""

    def _draw_cues(self) -> Tensor:
        return 2.0 * torch.randint(0, 2, (self.num_envs,), generator=self.generator).float() - 1.0

    def _observe(self) -> Tensor:
        shown = torch.where(self.age == 0, self.cue, 0.0)
        return torch.stack((shown, self.age / self.episode_length), dim=1)
