"""Rollouts of random numbers, and the slow but plain way to walk along one."""

from typing import Literal, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from ppo.hyperparameters import PPOConfig
from ppo.optimizer import FlatAdam
from ppo.policy import PolicyConfig, RecurrentActorCritic, RecurrentState
from ppo.processes import Processes
from ppo.recurrence import EpisodeStarts
from ppo.rollout import Experience, Minibatch, Rollout
from ppo.runtime import Precision
from ppo.update import PPO

CPU = torch.device("cpu")
Algorithm = TypeVar("Algorithm", bound=PPO)
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


def random_experience(policy: RecurrentActorCritic, length: int, num_envs: int, *, seed: int = 0) -> Experience:
    """A rollout whose episodes end by falls and time-outs; log-probabilities and values are near the policy's own."""
    generator = torch.Generator().manual_seed(seed)
    observation_dim, action_dim = policy.lstm_actor.input_size, policy.action_net.out_features
    if policy.config.features:
        first = policy.features_extractor[0]
        assert isinstance(first, nn.Linear)
        observation_dim = first.in_features
    state = random_state(policy, num_envs, generator)
    rollout = Rollout.zeros(length, num_envs, observation_dim, action_dim, CPU)
    for field in (
        rollout.observation,
        rollout.final_observation,
        rollout.action,
        rollout.reward,
        rollout.advantage,
        rollout.returns,
    ):
        field.copy_(torch.randn(field.shape, generator=generator))
    chance = torch.rand(length, num_envs, generator=generator)
    rollout.terminated.copy_(chance < 0.1)
    rollout.truncated.copy_(chance > 0.85)
    rollout.episode_start[0] = torch.rand(num_envs, generator=generator) < 0.3
    rollout.episode_start[1:] = rollout.done[:-1]
    experience = Experience(rollout, state, torch.zeros(num_envs, observation_dim), rollout.done[-1])
    with torch.no_grad():
        log_prob, value = step_along(policy, experience)
    rollout.log_prob.copy_(log_prob + 0.1 * torch.randn(log_prob.shape, generator=generator))
    rollout.value.copy_(value + 0.1 * torch.randn(value.shape, generator=generator))
    experience.next_observation.copy_(torch.randn(num_envs, observation_dim, generator=generator))
    return experience


def step_along(policy: RecurrentActorCritic, experience: Experience) -> tuple[Tensor, Tensor]:
    """Log-probabilities and values `[T, N]` of a rollout, one step at a time with the policy's step functions."""
    rollout, (actor, critic) = experience.rollout, experience.start_state
    log_probs, values = [], []
    for t in range(len(rollout)):
        observation, start = rollout.observation[t], rollout.episode_start[t]
        mean, _, actor, latent = policy.act(observation, actor, start)
        critic_latent, critic = policy.critic_step(observation, critic, start, latent)
        values.append(policy.value(critic_latent))
        log_probs.append(torch.distributions.Normal(mean, policy.log_std.exp()).log_prob(rollout.action[t]).sum(-1))
    return torch.stack(log_probs), torch.stack(values)


def make_minibatch(log_prob: Tensor, value: Tensor, returns: Tensor) -> Minibatch:
    """One whose loss can be worked out by hand, from the `[T, n]` fields that it depends on."""
    nothing = torch.zeros(0)
    return Minibatch(
        environments=torch.arange(log_prob.shape[1]),
        start_state=RecurrentState((nothing, nothing), (nothing, nothing)),
        starts=EpisodeStarts(torch.zeros_like(log_prob, dtype=torch.bool)),
        observation=nothing,
        action=nothing,
        log_prob=log_prob,
        value=value,
        returns=returns,
    )


def make_ppo(
    kind: type[Algorithm], policy: RecurrentActorCritic, config: PPOConfig, optimizer: FlatAdam | None = None
) -> Algorithm:
    """`kind` of PPO in one process, in single precision, with the same minibatches every time."""
    return kind(
        policy,
        optimizer or FlatAdam(policy.parameters(), config.learning_rate),
        config,
        torch.Generator().manual_seed(0),
        Precision("fp32", "cpu"),
        Processes(),
    )


def run_update(
    policy: RecurrentActorCritic,
    experience: Experience,
    config: PPOConfig,
    optimizer: FlatAdam | None = None,
    interruptions: list[bool] | None = None,
) -> dict[str, Tensor]:
    """The scalars of an update by `PPO`; `interruptions` are what it hears when it asks."""
    interrupted = (lambda: False) if interruptions is None else lambda: interruptions.pop(0)
    return make_ppo(PPO, policy, config, optimizer).update(experience, interrupted)


def weights(policy: RecurrentActorCritic) -> list[Tensor]:
    """Copies of all parameters."""
    return [parameter.detach().clone() for parameter in policy.parameters()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    """Whether two lists of tensors are equal, bit for bit."""
    return all(torch.equal(x, y) for x, y in zip(first, second, strict=True))
