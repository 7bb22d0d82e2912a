"""A policy with its memory, as it is played and examined."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from ppo.agent import TrainedAgent
from ppo.policy import PolicyConfig, RecurrentActorCritic
from ppo.recurrence import LstmState

SMALL = PolicyConfig(lstm_hidden_size=8, n_lstm_layers=2, pi=(8,), vf=(8,))


def test_memory_is_lost_where_an_episode_starts() -> None:
    torch.manual_seed(0)
    policy = RecurrentActorCritic(SMALL, 3, 2)
    torch.nn.init.normal_(policy.action_net.weight)
    heard: list[tuple[LstmState, Tensor]] = []
    act = policy.act

    def listen(
        observation: Tensor, state: LstmState, episode_start: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, LstmState, Tensor]:
        heard.append((state, episode_start.clone()))
        return act(observation, state, episode_start, noise)

    policy.act = listen  # type: ignore[method-assign]
    agent = TrainedAgent(policy, 2, None)
    observation = torch.randn(6, 2, 3)
    episode_start = torch.zeros(6, 2, dtype=torch.bool)
    episode_start[0] = True
    episode_start[4, 1] = True
    actions = torch.stack([agent(observation[t], episode_start[t]) for t in range(6)])

    assert torch.equal(torch.stack([start for _, start in heard]), episode_start)
    assert all(state[0].abs().sum(dim=(0, 2)).gt(0.0).all() for state, _ in heard[1:])
    fresh = TrainedAgent(policy, 2, None)
    replayed = torch.stack([fresh(observation[t], episode_start[t - 4]) for t in (4, 5)])
    torch.testing.assert_close(actions[4:, 1], replayed[:, 1])
    assert not torch.isclose(actions[4:, 0], replayed[:, 0], atol=1e-3).any()


def test_noise_spreads_sampled_actions_about_the_mean() -> None:
    torch.manual_seed(0)
    policy = RecurrentActorCritic(dataclasses.replace(SMALL, log_std_init=-1.0), 3, 2)
    observation, start = torch.zeros(20_000, 3), torch.ones(20_000, dtype=torch.bool)
    mean = TrainedAgent(policy, 20_000, None)(observation, start)
    sample = TrainedAgent(policy, 20_000, torch.Generator().manual_seed(0))(observation, start)
    assert (sample - mean).std(dim=0).tolist() == pytest.approx([np.exp(-1.0)] * 2, rel=0.02)
