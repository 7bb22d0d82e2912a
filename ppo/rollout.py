"""One rollout: what was seen and done in `T` steps of `N` environments, and the advantages computed from it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from tensordict import TensorClass
from torch import Tensor

from ppo.policy import RecurrentActorCritic, RecurrentState
from ppo.recurrence import EpisodeStarts, LstmState
from ppo.runtime import send


class Rollout(TensorClass):
    """`T` steps of `N` environments, on their device; its batch size is `[T, N]`."""

    observation: Tensor
    """`[T, N, D]`; what the action answers."""
    final_observation: Tensor
    """`[T, N, D]`; the last one of the episode that ended in this step. Valid where `done`."""
    action: Tensor
    """`[T, N, A]`; as it was sampled, before it was clipped to the bounds."""
    log_prob: Tensor
    """`[T, N]`; of the action, by the policy that took it."""
    reward: Tensor
    """`[T, N]`."""
    value: Tensor
    """`[T, N]`; of the observation, by the critic before the update."""
    advantage: Tensor
    """`[T, N]`; not normalised."""
    returns: Tensor
    """`[T, N]`; what the value shall become."""
    episode_start: Tensor
    """`[T, N]` bool; an episode starts with this observation."""
    terminated: Tensor
    """`[T, N]` bool; the episode ended for good in this step."""
    truncated: Tensor
    """`[T, N]` bool; the episode ended by time-out in this step."""

    @classmethod
    def zeros(
        cls, length: int, num_envs: int, observation_dim: int, action_dim: int, device: torch.device
    ) -> "Rollout":
        """Zeros, for `T` steps of `N` environments with observations `[D]` and actions `[A]`."""
        shape = (length, num_envs)

        def field(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(*shape, *size, dtype=dtype, device=device)

        return cls(
            observation=field(observation_dim),
            final_observation=field(observation_dim),
            action=field(action_dim),
            log_prob=field(),
            reward=field(),
            value=field(),
            advantage=field(),
            returns=field(),
            episode_start=field(dtype=torch.bool),
            terminated=field(dtype=torch.bool),
            truncated=field(dtype=torch.bool),
            batch_size=shape,
        )

    @property
    def done(self) -> Tensor:
        """`[T, N]` bool; the episode ended in this step."""
        return self.terminated | self.truncated


class Minibatch(NamedTuple):
    """Whole environments of a rollout, what the loss needs of them; fields as in `Rollout`."""

    environments: Tensor
    """`[n]` int64; which ones, on their device."""
    start_state: RecurrentState
    """Before t = 0."""
    starts: EpisodeStarts
    """Of the `[T, n]` sequences."""
    observation: Tensor
    """`[T, n, D]`."""
    action: Tensor
    """`[T, n, A]`."""
    log_prob: Tensor
    """`[T, n]`."""
    value: Tensor
    """`[T, n]`."""
    returns: Tensor
    """`[T, n]`."""


@dataclass(frozen=True)
class Experience:
    """A rollout and its edges: what was remembered before its first step and what is seen after its last one.

    Within the rollout a recurrent state is either the continuation of `start_state` or zero at an episode start, so
    storing it for every step would only make it stale.
    """

    rollout: Rollout
    """`[T, N]`."""
    start_state: RecurrentState
    """Before t = 0."""
    next_observation: Tensor
    """`[N, D]`; after the last step."""
    next_episode_start: Tensor
    """`[N]` bool; an episode starts with that observation."""
    known_to_host: bool = True
    """Whether the host may look where episodes end, to do only what is needed there."""

    def edges(self) -> tuple[Tensor, ...]:
        """Everything but the rollout itself."""
        actor, critic = self.start_state
        return *actor, *critic, self.next_observation, self.next_episode_start

    @functools.cached_property
    def starts(self) -> EpisodeStarts:
        """Where episodes start, `[T, N]`."""
        return EpisodeStarts(self._flags_on_host[0] if self.known_to_host else None, self.rollout.episode_start)

    def may_be_truncated(self, t: int) -> Tensor | slice | None:
        """Environments whose episode may have been truncated in step `t`; None if there is none."""
        if not self.known_to_host:
            return slice(None)
        truncated = self._flags_on_host[1, t]
        if not bool(truncated.any()):
            return None
        return send(truncated.nonzero().squeeze(1), self.next_observation.device)

    @functools.cached_property
    def _flags_on_host(self) -> Tensor:
        """`episode_start` and `truncated`, `[2, T, N]`, in one transfer."""
        return torch.stack((self.rollout.episode_start, self.rollout.truncated)).cpu()

    def minibatch(self, environments: Tensor) -> Minibatch:
        """The sequences of some environments, given by their indices `[n]` on the host."""
        rollout, (actor, critic) = self.rollout, self.start_state
        chosen = send(environments, self.next_observation.device)
        return Minibatch(
            environments=chosen,
            start_state=RecurrentState(
                (actor[0][:, chosen], actor[1][:, chosen]), (critic[0][:, chosen], critic[1][:, chosen])
            ),
            starts=self.starts.select(environments, chosen),
            observation=rollout.observation.index_select(1, chosen),
            action=rollout.action.index_select(1, chosen),
            log_prob=rollout.log_prob.index_select(1, chosen),
            value=rollout.value.index_select(1, chosen),
            returns=rollout.returns.index_select(1, chosen),
        )


class Interrupted(Exception):  # noqa: N818 - no error
    """Learning from a rollout was given up before the policy had changed."""


def critic_pass(
    policy: RecurrentActorCritic, experience: Experience, interrupted: Callable[[], bool] = lambda: False
) -> tuple[Tensor, Tensor, LstmState]:
    """Value every observation of a rollout, and what follows each step, with one walk of the critic along it.

    A time-out is followed by the value of the episode's final observation, with the recurrent state that led to it.

    Args:
        policy: the weights to value it with.
        experience: filled up to its values.
        interrupted: asked at every step.

    Returns:
        Values `[T, N]`, next values `[T, N]` (zero after a termination), and the critic's state after the rollout.

    Raises:
        Interrupted: `interrupted()` was True.
    """
    rollout = experience.rollout
    observation, episode_start = rollout.observation, rollout.episode_start
    actor_state, critic_state = experience.start_state
    shared = policy.config.critic == "shared"
    latents, bootstraps = [], []

    def advance(
        observation: Tensor, actor: LstmState, critic: LstmState, start: Tensor
    ) -> tuple[Tensor, LstmState, LstmState]:
        # Only a critic that shares the actor's LSTM needs that LSTM run again.
        latent = observation
        if shared:
            _, _, actor, latent = policy.act(observation, actor, start)
        output, critic = policy.critic_step(observation, critic, start, latent)
        return output, actor, critic

    for t in range(len(observation)):
        if interrupted():
            raise Interrupted
        output, actor_state, critic_state = advance(observation[t], actor_state, critic_state, episode_start[t])
        latents.append(output)
        rows = experience.may_be_truncated(t)
        if rows is not None:
            final_observation = rollout.final_observation[t, rows]
            output, _, _ = advance(
                final_observation,
                (actor_state[0][:, rows], actor_state[1][:, rows]),
                (critic_state[0][:, rows], critic_state[1][:, rows]),
                torch.zeros_like(final_observation[:, 0], dtype=torch.bool),
            )
            bootstraps.append((t, rows, policy.value(output)))
    output, _, _ = advance(experience.next_observation, actor_state, critic_state, experience.next_episode_start)
    values = policy.value(torch.stack((*latents, output)))
    next_values = values[1:].masked_fill(rollout.done, 0.0)
    for t, rows, bootstrap in bootstraps:
        next_values[t, rows] = torch.where(rollout.truncated[t, rows], bootstrap, next_values[t, rows])
    return values[:-1], next_values, critic_state


def generalized_advantage(
    reward: Tensor, value: Tensor, next_value: Tensor, done: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Generalised advantage estimate (Schulman et al. 2016, arXiv 1506.02438, equation 16), `[T, N]`.

    Args:
        reward: `[T, N]`.
        value: `[T, N]`; V of the observation acted on.
        next_value: `[T, N]`; V of what followed: zero after a termination, V of the final observation after a time-out.
        done: `[T, N]` bool; the episode ended in this step, so later rewards are not this action's doing.
        gamma: discount per step.
        gae_lambda: decay of the n-step estimates.
    """
    delta = reward + gamma * next_value - value
    return decaying_sums(delta, gamma * gae_lambda * (~done).to(delta.dtype))


def decaying_sums(delta: Tensor, decay: Tensor) -> Tensor:
    """`[T, N]`; x[t] = delta[t] + decay[t] x[t + 1], from zero behind the last step."""
    sums = torch.zeros_like(delta)
    running = torch.zeros_like(delta[0])
    for t in reversed(range(delta.shape[0])):
        running = delta[t] + decay[t] * running
        sums[t] = running
    return sums
