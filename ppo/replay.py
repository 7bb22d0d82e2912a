"""Learning from the last rollouts, not the newest alone: Generalised PPO (Queeney et al. 2021, arXiv 2111.00072).

Three policies are involved. The behaviour policy took the actions of a rollout; the proximal policy is the one at the
start of the update; the current one is being improved. The newest rollout's behaviour policy is the proximal one.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ppo.policy import RecurrentActorCritic, RecurrentState
from ppo.recurrence import EpisodeStarts, LstmState
from ppo.rollout import Rollout
from ppo.update import PPOConfig


class Replay:
    """The last `K` rollouts of the same `N` environments, side by side as if of `K * N` environments.

    The recurrent state before the first step of a rollout stays what it was when the rollout was collected: an older
    policy's.

    Args:
        capacity: `K`.
        rollout: whose shapes the rollouts have.
    """

    def __init__(self, capacity: int, rollout: Rollout) -> None:
        device, num_envs = rollout.fields["reward"].device, capacity * rollout.num_envs
        observation_dim, action_dim = (rollout.fields[name].shape[-1] for name in ("observation", "action"))
        actor, critic = (_zeros(state, num_envs) for state in rollout.start_state)
        self._storage = Rollout(
            rollout.length, num_envs, observation_dim, action_dim, RecurrentState(actor, critic), device
        )
        self._storage.data["proximal_log_prob"] = torch.zeros(rollout.length, num_envs, device=device)
        self._storage.fields["proximal_log_prob"] = self._storage.data["proximal_log_prob"]
        self._last_observation = torch.zeros(num_envs, observation_dim, device=device)
        self._last_episode_start = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._num_envs, self._capacity, self._added = rollout.num_envs, capacity, 0

    @property
    def count(self) -> int:
        """Rollouts held, at most `K`."""
        return min(self._added, self._capacity)

    @property
    def newest(self) -> slice:
        """The places of the newest rollout among the environments of `batch`."""
        return self._places((self._added - 1) % self._capacity)

    @property
    def batch(self) -> Rollout:
        """All rollouts held, a view on `count * N` environments, with the additional field `proximal_log_prob`."""
        return self._storage.first(self.count * self._num_envs)

    def add(
        self, rollout: Rollout, last_observation: Tensor, last_episode_start: Tensor
    ) -> tuple[Rollout, Tensor, Tensor]:
        """Copy a rollout, over the oldest if there are `K` already.

        Args:
            rollout: filled up to its values.
            last_observation: `[N, D]`; the observation after the last step.
            last_episode_start: `[N]` bool; whether an episode starts with it.

        Returns:
            The same of all rollouts held: `batch`, `[count * N, D]` and `[count * N]`.
        """
        self._added += 1
        places = self.newest
        for name, field in rollout.fields.items():
            self._storage.fields[name][:, places].copy_(field)
        for kept, state in zip(self._storage.start_state, rollout.start_state, strict=True):
            for into, tensor in zip(kept, state, strict=True):
                into[:, places].copy_(tensor)
        self._last_observation[places].copy_(last_observation)
        self._last_episode_start[places].copy_(last_episode_start)
        held = self.count * self._num_envs
        return self.batch, self._last_observation[:held], self._last_episode_start[:held]

    def judge(self, policy: RecurrentActorCritic, episode_start: Tensor) -> Tensor:
        """Set `proximal_log_prob` of all rollouts.

        Args:
            policy: the proximal policy, which collected the newest rollout.
            episode_start: `[T, count * N]` bool on the host.

        Returns:
            Importance weights proximal / behaviour probability of each action, `[T, count * N]`.
        """
        batch = self.batch
        fields, (hidden, cell) = batch.fields, batch.start_state.actor
        proximal = fields["proximal_log_prob"]
        for slot in range(self.count):
            places = self._places(slot)
            if places == self.newest:
                proximal[:, places].copy_(fields["log_prob"][:, places])
                continue
            starts = EpisodeStarts(episode_start[:, places], fields["episode_start"][:, places])
            state = hidden[:, places], cell[:, places]
            log_prob = policy.log_prob(fields["observation"][:, places], state, starts, fields["action"][:, places])
            proximal[:, places].copy_(log_prob)
        return (proximal - fields["log_prob"]).exp()

    def update_config(self, config: PPOConfig) -> PPOConfig:
        """Hyper-parameters of an update on `batch`: minibatches as large as without replay, and a narrower clip range.

        With rollouts drawn uniformly, the newest being i = 0, epsilon / E[i + 1] bounds the expected loss of
        performance in an update as epsilon does without replay (Queeney et al., section 4).
        """
        return replace(
            config,
            batch_size=config.minibatch_envs(self._num_envs) * config.n_steps,
            clip_range=config.clip_range / (0.5 * (self.count + 1)),
        )

    def _places(self, slot: int) -> slice:
        return slice(slot * self._num_envs, (slot + 1) * self._num_envs)


def _zeros(state: LstmState, num_envs: int) -> LstmState:
    """A state of as many layers and units, for `num_envs` environments."""
    layers, _, units = state[0].shape
    zeros = state[0].new_zeros(layers, num_envs, units)
    return zeros, zeros.clone()
