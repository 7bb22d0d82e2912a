"""PPO that lets a test see or choose what it learns from."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ppo.hyperparameters import PPOConfig
from ppo.policy import EvaluatedActions
from ppo.replay import ReplayPPO
from ppo.rollout import Minibatch
from ppo.update import PPO


class RecordingPPO(PPO):
    """Keeps every minibatch that it computes a loss of."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments)
        self.minibatches: list[Minibatch] = []

    def loss(
        self, actions: EvaluatedActions, minibatch: Minibatch, advantage: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.minibatches.append(minibatch)
        return super().loss(actions, minibatch, advantage)


class RecordingReplayPPO(RecordingPPO, ReplayPPO):
    """The same with several rollouts; keeps the number of environments and the hyper-parameters of each update, too."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments)
        self.updates: list[tuple[int, PPOConfig]] = []

    def epochs(self, num_envs: int) -> Iterator[list[Tensor]]:
        self.updates.append((num_envs, self.update_config))
        return super().epochs(num_envs)


class OrderedPPO(PPO):
    """Draws no lots: minibatches are the environments in their order."""

    def epochs(self, num_envs: int) -> Iterator[list[Tensor]]:
        while True:
            yield list(torch.arange(num_envs).split(self.update_config.minibatch_envs(num_envs)))
