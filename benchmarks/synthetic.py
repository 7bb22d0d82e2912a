"""Rollouts of random numbers: what a learner needs to be timed without a simulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ppo.env import Step


@dataclass(frozen=True)
class Experience:
    """`T` steps of `N` environments; nothing in it depends on the actions."""

    observation: Tensor
    """`[T + 1, N, D]`, the last one after the last step."""
    final_observation: Tensor
    """`[T, N, D]`."""
    reward: Tensor
    """`[T, N]`."""
    terminated: Tensor
    """`[T, N]` bool."""
    truncated: Tensor
    """`[T, N]` bool."""

    @property
    def done(self) -> Tensor:
        """`[T, N]` bool; the episode ended in this step."""
        return self.terminated | self.truncated


def random_experience(
    length: int, num_envs: int, observation_dim: int, end_probability: float, seed: int, device: torch.device
) -> Experience:
    """Standard normal observations and rewards; episodes end with this probability per step, half by time-out."""
    generator = torch.Generator().manual_seed(seed)
    observations = torch.randn(2, length + 1, num_envs, observation_dim, generator=generator).to(device)
    reward = torch.randn(length, num_envs, generator=generator).to(device)
    chance = torch.rand(length, num_envs, generator=generator).to(device)
    return Experience(
        observation=observations[0],
        final_observation=observations[1, 1:],
        reward=reward,
        terminated=chance < 0.5 * end_probability,
        truncated=chance > 1.0 - 0.5 * end_probability,
    )


class ReplayEnv:
    """Plays an `Experience` whatever the actions; a `ppo.env.VecEnv`.

    Args:
        num_envs: `N`.
        observation_dim: `D`.
        action_dim: `A`.
        device: where the tensors lie.
    """

    def __init__(self, num_envs: int, observation_dim: int, action_dim: int, device: torch.device) -> None:
        self.num_envs, self.observation_dim, self.action_dim, self.device = (
            num_envs,
            observation_dim,
            action_dim,
            device,
        )
        self.action_high = torch.full((action_dim,), 100.0, device=device)
        self.action_low = -self.action_high
        self.experience: Experience | None = None
        self.time = 0

    def play(self, experience: Experience) -> Tensor:
        """Continue with the first step of `experience`; returns the observation `[N, D]`."""
        self.experience, self.time = experience, 0
        return experience.observation[0]

    def reset(self) -> Tensor:
        """The current observation `[N, D]`, zero before anything is played."""
        if self.experience is None:
            return torch.zeros(self.num_envs, self.observation_dim, device=self.device)
        return self.experience.observation[self.time]

    def step(self, action: Tensor) -> Step:
        """The next step of the experience."""
        assert self.experience is not None
        experience, t = self.experience, self.time
        self.time += 1
        return Step(
            experience.observation[t + 1],
            experience.reward[t],
            experience.terminated[t],
            experience.truncated[t],
            experience.final_observation[t],
            {},
        )

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        """The current observation."""
        return self.reset()

    def close(self) -> None:
        """Nothing is held."""
