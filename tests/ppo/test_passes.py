"""Minibatches that go through the network in several passes."""

from dataclasses import replace

import torch

from ppo.hyperparameters import PPOConfig
from ppo.optimizer import FlatAdam
from tests.ppo.rollouts import random_experience, run_update, same, small_policy, weights

T, N = 5, 8
CONFIG = PPOConfig(n_steps=T, n_minibatches=4, n_epochs=3, learning_rate=1e-2)


def test_passes_add_up_to_their_minibatch() -> None:
    experience = random_experience(small_policy(), T, N)
    one_batch = replace(CONFIG, n_minibatches=1, n_epochs=1)
    results = []
    # Three, three and two environments, which count by their number.
    for config in (one_batch, replace(one_batch, micro_batch_size=3 * T)):
        policy = small_policy()
        optimizer = FlatAdam(policy.parameters(), 1e-2)
        scalars = run_update(policy, experience, config, optimizer)
        results.append({"gradient": optimizer.gradient.clone(), **scalars})
    torch.testing.assert_close(*results)


def test_interruption_between_passes_leaves_the_minibatch_out() -> None:
    policy = small_policy()
    optimizer = FlatAdam(policy.parameters(), 1e-2)
    experience = random_experience(policy, T, N)
    # Two environments in a minibatch and one in a pass: the third minibatch is not complete.
    config = replace(CONFIG, micro_batch_size=T)
    run_update(policy, experience, config, optimizer, [False] * 5 + [True])
    assert all(float(state["step"]) == 2.0 for state in optimizer.state_dict()["state"].values())
    before = weights(policy)
    assert run_update(policy, experience, config, optimizer, [False, True]) == {}
    assert same(weights(policy), before)


def test_size_of_passes() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    config = PPOConfig(n_steps=32)
    # 1e11 operations, six for each parameter and sample.
    assert config.envs_per_pass(1_000_000, cpu) == 16_666 // 32
    assert config.envs_per_pass(10**12, cpu) == 1
    assert config.envs_per_pass(10**12, cuda) > 10**9
    for device in (cpu, cuda):
        assert replace(config, micro_batch_size=100).envs_per_pass(1_000_000, device) == 3
        assert replace(config, micro_batch_size=10).envs_per_pass(1_000_000, device) == 1
