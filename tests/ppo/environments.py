"""A small environment in plain tensors whose episodes end in every way."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ppo.env import Step


class TrackingEnv:
    """Follow a visible target that jumps in every step.

    The reward is `1 - |action - target|^2`. An episode ends by termination with a small probability in each step, and
    by time-out after `episode_length` steps if it was not terminated in that same step.

    Args:
        num_envs: `N`.
        action_dim: `A`, also the number of coordinates of the target.
        episode_length: longest episode, in steps.
        fall_probability: chance of a termination in each step.
        seed: of targets and terminations.
        device: where the tensors lie.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        action_dim: int = 2,
        episode_length: int = 20,
        fall_probability: float = 0.02,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.num_envs = num_envs
        self.observation_dim = action_dim + 1
        self.action_dim = action_dim
        self.episode_length = episode_length
        self.fall_probability = fall_probability
        self.action_low = torch.full((action_dim,), -1.0, device=self.device)
        self.action_high = torch.full((action_dim,), 1.0, device=self.device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.target = torch.zeros(num_envs, action_dim, device=self.device)
        self.steps = torch.zeros(num_envs, dtype=torch.int64, device=self.device)

    def reset(self) -> Tensor:
        self.target = self._draw_targets()
        self.steps.zero_()
        return self._observe()

    def step(self, action: Tensor) -> Step:
        squared_error = (action - self.target).square().sum(1)
        self.steps += 1
        chance = torch.rand(self.num_envs, generator=self.generator, device=self.device)
        terminated = chance < self.fall_probability
        truncated = (self.steps >= self.episode_length) & ~terminated
        done = terminated | truncated
        self.target = self._draw_targets()
        final_observation = self._observe()
        self.target = torch.where(done.unsqueeze(1), self._draw_targets(), self.target)
        self.steps.masked_fill_(done, 0)
        return Step(
            observation=self._observe(),
            reward=1.0 - squared_error,
            terminated=terminated,
            truncated=truncated,
            final_observation=final_observation,
            metrics={
                "tracking/error": squared_error.sqrt().mean(),
                "episode/time_out": truncated.float().sum(),
                "episode/fell": terminated.float().sum(),
            },
        )

    def state_dict(self) -> dict[str, Any]:
        return {"target": self.target.clone(), "steps": self.steps.clone(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        self.target.copy_(state["target"])
        self.steps.copy_(state["steps"])
        self.generator.set_state(state["generator"])
        return self._observe()

    def close(self) -> None:
        pass

    def _draw_targets(self) -> Tensor:
        uniform = torch.rand(self.num_envs, self.action_dim, generator=self.generator, device=self.device)
        return 2.0 * uniform - 1.0

    def _observe(self) -> Tensor:
        return torch.cat((self.target, (self.steps / self.episode_length).unsqueeze(1)), dim=1)


PRIVILEGED = [1, 4]
"""One column among what the actor sees, one behind it."""


class PrivilegedEnv(TrackingEnv):
    """A target of three coordinates and the time, of which the critic alone sees the second and the time's square."""

    privileged_columns = PRIVILEGED

    def __init__(self, num_envs: int, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(num_envs, action_dim=3, seed=seed, device=device)
        self.observation_dim = 5

    def _observe(self) -> Tensor:
        seen = super()._observe()
        return torch.cat((seen, 30.0 + 5.0 * seen[:, 3:].square()), dim=1)
