"""A trained policy that acts, outside of training."""

import torch
from torch import Tensor

from ppo.policy import RecurrentActorCritic


class TrainedAgent:
    """A policy with the recurrent state that it carries from one control step to the next."""

    def __init__(self, policy: RecurrentActorCritic, num_envs: int, noise: torch.Generator | None = None) -> None:
        """Let `policy` act for `num_envs` robots: sample actions with `noise`, or take their mean without it."""
        self._policy = policy.eval()
        self._noise = noise
        self._state = policy.initial_state(num_envs).actor

    @torch.no_grad()
    def __call__(self, observation: Tensor, episode_start: Tensor) -> Tensor:
        """Actions `[N, A]` for observations `[N, D]`; memory is lost in `episode_start` `[N]` bool.

        They are within the policy's action bounds.
        """
        noise = None
        if self._noise is not None:
            shape = (len(observation), self._policy.log_std.shape[0])
            noise = torch.randn(shape, generator=self._noise, device=observation.device)
        action, _, self._state, _ = self._policy.act(observation, self._state, episode_start, noise)
        return self._policy.clip(action)
