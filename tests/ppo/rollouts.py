"""Rollouts of random numbers, and the slow but plain way to walk along one."""

from typing import Literal, TypeAlias

import pytest
import torch
from torch import Tensor, nn

from ppo.policy import Evaluation, PolicyConfig, RecurrentActorCritic, RecurrentState
from ppo.rollout import Rollout

CPU = torch.device("cpu")
CriticKind: TypeAlias = Literal["lstm", "shared", "linear"]
CRITICS: tuple[CriticKind, ...] = ("lstm", "shared", "linear")


def small_policy(
    critic: CriticKind = "lstm",
    *,
    layers: int = 1,
    features: tuple[int, ...] = (),
    observation_dim: int = 3,
    action_dim: int = 2,
    seed: int = 0,
) -> RecurrentActorCritic:
    """A network of a few thousand parameters."""
    torch.manual_seed(seed)
    config = PolicyConfig(lstm_hidden_size=8, n_lstm_layers=layers, pi=(8,), vf=(6,), features=features, critic=critic)
    return RecurrentActorCritic(config, observation_dim, action_dim)


def random_state(policy: RecurrentActorCritic, num_envs: int, generator: torch.Generator) -> RecurrentState:
    """A state that is not zero, in the shape the policy wants."""
    actor, critic = policy.initial_state(num_envs)

    def fill(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=generator) * 0.5

    return RecurrentState((fill(actor[0]), fill(actor[1])), (fill(critic[0]), fill(critic[1])))


def random_rollout(policy: RecurrentActorCritic, length: int, num_envs: int, *, seed: int = 0) -> Rollout:
    """A rollout whose episodes end by falls and time-outs; log-probabilities and values are near the policy's own."""
    generator = torch.Generator().manual_seed(seed)
    observation_dim, action_dim = policy.lstm_actor.input_size, policy.action_net.out_features
    if policy.config.features:
        first = policy.features_extractor[0]
        assert isinstance(first, nn.Linear)
        observation_dim = first.in_features
    state = random_state(policy, num_envs, generator)
    rollout = Rollout(length, num_envs, observation_dim, action_dim, state, CPU)
    fields = rollout.fields
    for name in ("observation", "final_observation", "action", "reward", "advantage", "return"):
        fields[name].copy_(torch.randn(fields[name].shape, generator=generator))
    chance = torch.rand(length, num_envs, generator=generator)
    fields["terminated"].copy_(chance < 0.1)
    fields["truncated"].copy_(chance > 0.85)
    fields["episode_start"][0] = torch.rand(num_envs, generator=generator) < 0.3
    fields["episode_start"][1:] = (fields["terminated"] | fields["truncated"])[:-1]
    with torch.no_grad():
        log_prob, value = step_along(policy, rollout)
    fields["log_prob"].copy_(log_prob + 0.1 * torch.randn(log_prob.shape, generator=generator))
    fields["value"].copy_(value + 0.1 * torch.randn(value.shape, generator=generator))
    return rollout


def step_along(policy: RecurrentActorCritic, rollout: Rollout) -> tuple[Tensor, Tensor]:
    """Log-probabilities and values `[T, N]` of a rollout, one step at a time with the policy's step functions."""
    fields, (actor, critic) = rollout.fields, rollout.start_state
    log_probs, values = [], []
    for t in range(rollout.length):
        observation, start = fields["observation"][t], fields["episode_start"][t]
        mean, _, actor, latent = policy.act(observation, actor, start)
        critic_latent, critic = policy.critic_step(observation, critic, start, latent)
        values.append(policy.value(critic_latent))
        log_probs.append(torch.distributions.Normal(mean, policy.log_std.exp()).log_prob(fields["action"][t]).sum(-1))
    return torch.stack(log_probs), torch.stack(values)


def record_evaluated(policy: RecurrentActorCritic, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """A list that grows by the observations of every minibatch that `policy` evaluates from now on."""
    seen: list[Tensor] = []
    evaluate = policy.evaluate

    def spy(observation: Tensor, *arguments: object) -> Evaluation:
        seen.append(observation)
        return evaluate(observation, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(policy, "evaluate", spy)
    return seen
