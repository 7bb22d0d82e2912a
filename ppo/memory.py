"""How much memory a training needs on its device."""

from ppo.hyperparameters import PPOConfig
from ppo.policy import PolicyConfig

FLOAT = 4
"""Bytes of a float32."""


def bytes_per_sample(policy: PolicyConfig, observation_dim: int) -> int:
    """What a pass through the network keeps of each sample for its backward pass, and needs in it.

    Of an LSTM layer the four gates, the cell state, its hyperbolic tangent and the output; of an MLP layer what comes
    before and after its activation. As much again is needed in the backward pass and for padding.

    Args:
        policy: shape of the network.
        observation_dim: `D`.
    """
    lstm = 7 * policy.n_lstm_layers * policy.lstm_hidden_size
    mlp = 2 * sum((*policy.features, *policy.pi, *policy.vf))
    return 2 * FLOAT * (2 * (observation_dim + lstm) + mlp)


def training_bytes(num_envs: int, policy: PolicyConfig, ppo: PPOConfig, observation_dim: int, action_dim: int) -> int:
    """What a training needs, its environments apart; an estimate that is rather too high.

    Args:
        num_envs: `N` of this process.
        policy: shape of the network.
        ppo: length of rollouts, and samples of a minibatch and of a pass through the network.
        observation_dim: `D`.
        action_dim: `A`.
    """
    # Observation, final observation, action, and five numbers and three flags; once more while they are collected.
    stored = 2 * FLOAT * (2 * observation_dim + action_dim + 6) * ppo.n_steps * ppo.replay
    minibatch = ppo.batch_size or num_envs * ppo.n_steps / ppo.n_minibatches
    samples = minibatch if ppo.micro_batch_size is None else min(minibatch, ppo.micro_batch_size)
    # The critic values a whole rollout, and keeps but one layer at a time of it; as a CUDA graph in memory of its own.
    valued = 3 * FLOAT * max((policy.lstm_hidden_size, *policy.vf)) * ppo.n_steps
    return int(num_envs * (stored + valued) + samples * bytes_per_sample(policy, observation_dim))
