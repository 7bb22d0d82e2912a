"""A small environment in plain tensors that needs memory: the answer is shown once."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ppo.env import Step


class RecallEnv:
    """Repeat a cue that is shown once.

    The first observation of an episode holds a cue of +1 or -1, later ones hold 0 in its place. The reward is
    `-(action - cue)^2` in every step, and episodes end by time-out after `episode_length` steps. A policy that
    remembers the cue can reach a return of 0. One without memory knows the cue in the first step only; afterwards its
    best action is 0, which costs 1 per step: see `memoryless_return`.

    Args:
        num_envs: `N`.
        episode_length: steps per episode, at least 2.
        seed: of the cues.
        device: where the tensors lie.
    """

    observation_dim = 2
    """Cue or 0, and the fraction of the episode that has passed."""
    action_dim = 1

    def __init__(self, num_envs: int, *, episode_length: int = 4, seed: int = 0, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.num_envs = num_envs
        self.episode_length = episode_length
        self.action_low = torch.full((1,), -2.0, device=self.device)
        self.action_high = torch.full((1,), 2.0, device=self.device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.cue = torch.zeros(num_envs, device=self.device)
        self.steps = torch.zeros(num_envs, dtype=torch.int64, device=self.device)

    @property
    def memoryless_return(self) -> float:
        """Highest mean return per episode that a policy without memory can reach."""
        return -float(self.episode_length - 1)

    def reset(self) -> Tensor:
        """Start a new episode everywhere; returns the observation `[N, 2]`."""
        self.cue = self._draw_cues()
        self.steps.zero_()
        return self._observe()

    def step(self, action: Tensor) -> Step:
        """Compare `action` `[N, 1]` with the cue."""
        error = action[:, 0] - self.cue
        self.steps += 1
        truncated = self.steps >= self.episode_length
        final_observation = self._observe()
        self.cue = torch.where(truncated, self._draw_cues(), self.cue)
        self.steps.masked_fill_(truncated, 0)
        ended = truncated.float().sum()
        return Step(
            observation=self._observe(),
            reward=-error.square(),
            terminated=torch.zeros_like(truncated),
            truncated=truncated,
            final_observation=final_observation,
            metrics={
                "tracking/error": error.abs().mean(),
                "episode/time_out": ended,
                "episode/fell": torch.zeros_like(ended),
            },
        )

    def state_dict(self) -> dict[str, Any]:
        """Cues, time passed and the generator."""
        return {"cue": self.cue.clone(), "steps": self.steps.clone(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        """Continue where `state_dict` was taken; returns the observation `[N, 2]`."""
        self.cue.copy_(state["cue"])
        self.steps.copy_(state["steps"])
        self.generator.set_state(state["generator"])
        return self._observe()

    def close(self) -> None:
        """Nothing is held."""

    def _draw_cues(self) -> Tensor:
        coin = torch.randint(0, 2, (self.num_envs,), generator=self.generator, device=self.device)
        return 2.0 * coin.float() - 1.0

    def _observe(self) -> Tensor:
        shown = torch.where(self.steps == 0, self.cue, 0.0)
        return torch.stack((shown, self.steps / self.episode_length), dim=1)
