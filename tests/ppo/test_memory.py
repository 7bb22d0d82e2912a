"""The estimate of a training's memory, against what is counted."""

from dataclasses import replace

import pytest
import torch

from benchmarks.learner import NETWORKS
from benchmarks.learners import Settings
from benchmarks.memory import minibatch_bytes, needed_bytes
from ppo.hyperparameters import PPOConfig
from ppo.memory import bytes_per_sample, training_bytes
from ppo.policy import PolicyConfig
from ppo.runtime import Precision

D, A, STEPS, ENVS = 38, 9, 8, 16
CPU = torch.device("cpu")


def test_bytes_of_a_sample_by_hand() -> None:
    policy = PolicyConfig(lstm_hidden_size=16, n_lstm_layers=2, pi=(8,), vf=(4, 2), features=(6,))
    # Twice: the observation and seven numbers of 32 units for actor and critic, two of twenty units of the MLPs.
    assert bytes_per_sample(policy, 10) == 2 * 4 * (2 * (10 + 7 * 32) + 2 * 20)


@pytest.mark.parametrize("network", ["default", "small"])
@pytest.mark.parametrize("minibatches", [1, 4])
def test_the_estimate_is_above_what_is_counted_and_not_far(network: str, minibatches: int) -> None:
    ppo = replace(PPOConfig(), n_steps=STEPS, n_minibatches=minibatches)
    settings = Settings(
        num_envs=ENVS,
        observation_dim=D,
        action_dim=A,
        end_probability=0.01,
        ppo=ppo,
        device=CPU,
        precision=Precision.resolve("fp32", CPU),
    )
    policy = NETWORKS[network]
    robots = 1024
    saved = minibatch_bytes(policy, settings, robots / minibatches)
    counted = needed_bytes(STEPS, robots, D, A, 4 * policy.n_lstm_layers * policy.lstm_hidden_size)
    counted += saved.activations + saved.lstm
    estimate = training_bytes(robots, policy, ppo, D, A)
    assert counted < estimate < 3 * counted


@pytest.mark.parametrize(
    ("ppo", "samples"),
    [
        (PPOConfig(n_steps=STEPS, n_minibatches=4), 256 * STEPS),
        (PPOConfig(n_steps=STEPS, batch_size=1024 * STEPS), 1024 * STEPS),
        (PPOConfig(n_steps=STEPS, micro_batch_size=100), 100),
    ],
)
def test_the_estimate_goes_by_the_samples_of_a_pass(ppo: PPOConfig, samples: int) -> None:
    policy = PolicyConfig()
    one = training_bytes(1024, policy, PPOConfig(n_steps=STEPS, micro_batch_size=1), D, A)
    assert training_bytes(1024, policy, ppo, D, A) == one + (samples - 1) * bytes_per_sample(policy, D)
