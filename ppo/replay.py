"""Learning from the last rollouts, not the newest alone: Generalised PPO (Queeney et al. 2021, arXiv 2111.00072).

Three policies are involved. The behaviour policy took the actions of a rollout; the proximal policy is the one at the
start of the update; the current one is being improved. The newest rollout's behaviour policy is the proximal one.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ppo.hyperparameters import PPOConfig
from ppo.policy import EvaluatedActions, RecurrentActorCritic, RecurrentState
from ppo.recurrence import LstmState
from ppo.rollout import Experience, Minibatch, Rollout, critic_pass, decaying_sums
from ppo.update import PPO, Surrogate, total_loss


class RolloutMemory:
    """The last `K` rollouts of the same `N` environments, side by side as if of `K * N` environments.

    The recurrent state before the first step of a rollout stays what it was when the rollout was collected: an older
    policy's.

    Args:
        capacity: `K`.
        like: one whose shapes the rollouts have.
    """

    def __init__(self, capacity: int, like: Experience) -> None:
        length, self.num_envs = like.rollout.shape
        self.capacity, self._added = capacity, 0
        observation_dim, action_dim = like.rollout.observation.shape[-1], like.rollout.action.shape[-1]
        device, (actor, critic) = like.next_observation.device, like.start_state
        self._room = Experience(
            Rollout.zeros(length, capacity * self.num_envs, observation_dim, action_dim, device),
            RecurrentState(_side_by_side(actor, capacity), _side_by_side(critic, capacity)),
            torch.cat([like.next_observation] * capacity),
            torch.cat([like.next_episode_start] * capacity),
        )

    @property
    def count(self) -> int:
        """Rollouts held, at most `K`."""
        return min(self._added, self.capacity)

    @property
    def newest(self) -> slice:
        """The environments of the newest rollout in `experience`."""
        return self.places((self._added - 1) % self.capacity)

    @property
    def experience(self) -> Experience:
        """A view of all rollouts held, as of `count * N` environments."""
        return view(self._room, slice(0, self.count * self.num_envs))

    def places(self, index: int) -> slice:
        """The environments of one of the rollouts in `experience`."""
        return slice(index * self.num_envs, (index + 1) * self.num_envs)

    def add(self, experience: Experience) -> None:
        """Copy a rollout, over the oldest if there are `K` already."""
        self._added += 1
        room = view(self._room, self.newest)
        room.rollout.copy_(experience.rollout)  # type: ignore[type-var]
        for into, tensor in zip(room.edges(), experience.edges(), strict=True):
            into.copy_(tensor)


def view(experience: Experience, places: slice) -> Experience:
    """Some of the environments, in the same memory."""
    actor, critic = ((hidden[:, places], cell[:, places]) for hidden, cell in experience.start_state)
    return Experience(
        experience.rollout[:, places],
        RecurrentState(actor, critic),
        experience.next_observation[places],
        experience.next_episode_start[places],
    )


def _side_by_side(state: LstmState, count: int) -> LstmState:
    return torch.cat([state[0]] * count, dim=1), torch.cat([state[1]] * count, dim=1)


def proximal_log_prob(policy: RecurrentActorCritic, memory: RolloutMemory, held: Experience) -> Tensor:
    """Log-probability `[T, count * N]` of every action held, by the policy that collected the newest rollout.

    Args:
        policy: that policy, the proximal one.
        memory: of the rollouts.
        held: its `experience`.
    """
    results = []
    for index in range(memory.count):
        places = memory.places(index)
        old = view(held, places)
        if places == memory.newest:
            results.append(old.rollout.log_prob)
        else:
            starts = held.starts.part(places)
            results.append(policy.log_prob(old.rollout.observation, old.start_state.actor, starts, old.rollout.action))
    return torch.cat(results, dim=1)


def v_trace(
    rollout: Rollout, value: Tensor, next_value: Tensor, weight: Tensor, config: PPOConfig
) -> tuple[Tensor, Tensor]:
    """Advantages and returns `[T, N]` where another policy took the actions (Espeholt et al. 2018, arXiv 1802.01561).

    As the generalised advantage estimate, but later temporal differences count only as far as the policy would have
    come to them. The action taken is given, so its own weight does not enter its advantage; it does enter the return.

    Args:
        rollout: `[T, N]`; rewards and ends of episodes.
        value: `[T, N]`; V of the observation acted on.
        next_value: `[T, N]`; V of what followed, as for `generalized_advantage`.
        weight: `[T, N]`; probability of each action by the policy over that by the one that took it.
        config: discount and decay.
    """
    trace = weight.clamp(max=1.0)
    delta = rollout.reward + config.gamma * next_value - value
    decay = config.gamma * config.gae_lambda * (~rollout.done).to(delta.dtype)
    decay[:-1] *= trace[1:]
    advantage = decaying_sums(delta, decay)
    return advantage, trace * advantage + value


def replayed_loss(
    actions: EvaluatedActions, minibatch: Minibatch, advantage: Tensor, proximal: Tensor, config: PPOConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """`ppo_loss` with the ratio to the behaviour policy clipped around that of the proximal policy, instead of 1.

    The KL divergence is that from the proximal policy, whose log-probabilities `[T, n]` are given.
    """
    ratio = (actions.log_prob - minibatch.log_prob).exp()
    start = (proximal - minibatch.log_prob).exp()
    clipped = ratio.clamp(start - config.clip_range, start + config.clip_range)
    policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
    with torch.no_grad():
        approx_kl = ((ratio - start) - start * (actions.log_prob - proximal)).mean()
        clip_fraction = ((ratio - start).abs() > config.clip_range).float().mean()
    return total_loss(Surrogate(policy_loss, approx_kl, clip_fraction), actions, minibatch, config)


class ReplayPPO(PPO):
    """Learns from the last `config.replay` rollouts, in as many gradient steps as `PPO` from the newest one."""

    memory: RolloutMemory | None = None
    """None before the first rollout."""
    proximal: Tensor
    """`[T, count * N]`; log-probabilities by the proximal policy."""

    @property
    def update_config(self) -> PPOConfig:
        """Minibatches as large as with one rollout, and a narrower clip range.

        With rollouts drawn uniformly, the newest being i = 0, epsilon / E[i + 1] bounds the expected loss of
        performance in an update as epsilon does with one (Queeney et al., section 4).
        """
        if self.memory is None:
            return self.config
        return replace(
            self.config,
            batch_size=self.config.minibatch_envs(self.memory.num_envs) * self.config.n_steps,
            clip_range=self.config.clip_range / (0.5 * (self.memory.count + 1)),
        )

    def prepare(
        self, newest: Experience, interrupted: Callable[[], bool] = lambda: False
    ) -> tuple[Experience, LstmState]:
        """Add the newest rollout to those held, and fill in values, advantages and returns of all of them."""
        if self.memory is None:
            self.memory = RolloutMemory(self.config.replay, newest)
        self.memory.add(newest)
        held = self.memory.experience
        rollout = held.rollout
        with torch.no_grad():
            values, next_values, (hidden, cell) = critic_pass(self.policy, held, interrupted)
            self.proximal = proximal_log_prob(self.policy, self.memory, held)
        weight = (self.proximal - rollout.log_prob).exp()
        advantage, returns = v_trace(rollout, values, next_values, weight, self.config)
        rollout.value.copy_(values)
        rollout.advantage.copy_(advantage)
        rollout.returns.copy_(returns)
        places = self.memory.newest
        return held, (hidden[:, places], cell[:, places])

    def epochs(self, num_envs: int) -> Iterator[list[Tensor]]:
        """As many minibatches as with one rollout; all environments are used equally often, up to one time."""
        assert self.memory is not None
        minibatches = itertools.chain.from_iterable(super().epochs(num_envs))
        per_epoch = self.memory.num_envs // self.config.minibatch_envs(self.memory.num_envs)
        while True:
            yield list(itertools.islice(minibatches, per_epoch))

    def loss(
        self, actions: EvaluatedActions, minibatch: Minibatch, advantage: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`replayed_loss` with the hyper-parameters of this update."""
        proximal = self.proximal.index_select(1, minibatch.environments)
        return replayed_loss(actions, minibatch, advantage, proximal, self.update_config)
