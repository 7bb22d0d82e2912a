"""Environments and the rollout that they fill."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ppo.env import Recorder, Remembered, VecEnv, unrecorded, zero_where_not_finite
from ppo.episodes import EpisodeStatistics
from ppo.policy import RecurrentActorCritic, RecurrentState
from ppo.recurrence import LstmState
from ppo.rollout import Experience, Rollout
from ppo.runtime import Stopwatch


class Collector:
    """Acts in the environments, `T` control steps at a time, and keeps what goes from one rollout to the next.

    Args:
        env: the environments.
        policy: network that acts, on the environment's device.
        n_steps: `T`.
        stopwatch: told of the phases "policy" and "simulation".
        seed: of the exploration.
        recorder: may record how the policy acts.
        changing: what the policy replaces by other tensors, for the recorder.
    """

    def __init__(
        self,
        env: VecEnv,
        policy: RecurrentActorCritic,
        n_steps: int,
        stopwatch: Stopwatch,
        seed: int,
        recorder: Recorder = unrecorded,
        changing: Sequence[Remembered] = (),
    ) -> None:
        self.env, self.policy, self.stopwatch = env, policy, stopwatch
        self.noise_generator = torch.Generator(env.device).manual_seed(seed)
        self.episodes = EpisodeStatistics(env.num_envs, env.device)
        self.rollout = Rollout.zeros(n_steps, env.num_envs, env.observation_dim, env.action_dim, env.device)
        self.start_state = policy.initial_state(env.num_envs)
        """The policy's memory before the first step of the rollout."""
        self.observation: Tensor | None = None
        """What the next action answers, `[N, D]`; None before the first reset."""
        self.episode_start = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        """Where that observation begins an episode, `[N]`."""
        self.actor_state: LstmState = self.start_state.actor
        """The actor's memory after the last step."""
        self.metric_sums: dict[str, Tensor] = {}
        """The environment's metrics, summed over the rollout."""
        self.between_rollouts = True
        self._act = recorder(self._explore, changing, [self.noise_generator])

    @property
    def experience(self) -> Experience:
        """The rollout with its edges; valid until the next one is collected."""
        assert self.observation is not None
        return Experience(self.rollout, self.start_state, self.observation, self.episode_start)

    def collect(self, interrupted: Callable[[], bool]) -> None:
        """Fill the rollout, or less of it as soon as `interrupted()`."""
        env, rollout = self.env, self.rollout
        # In training mode cuDNN would keep what only a backward pass needs.
        self.policy.eval()
        if self.observation is None:
            self.observation = zero_where_not_finite(env.reset())
        observation, episode_start = self.observation, self.episode_start
        state = self.start_state.actor
        # Looked up once: a field of a tensorclass costs as much as a small operation.
        observations, actions, log_probs = rollout.observation, rollout.action, rollout.log_prob
        rewards, final_observations = rollout.reward, rollout.final_observation
        episode_starts, terminated, truncated = rollout.episode_start, rollout.terminated, rollout.truncated
        names: tuple[str, ...] = ()
        sums: Tensor | None = None
        self.between_rollouts = False
        for t in range(rollout.shape[0]):
            if interrupted():
                break
            with self.stopwatch.phase("policy"), torch.no_grad():
                action, log_prob, state, clipped = self._act(observation, state, episode_start)
                observations[t], episode_starts[t] = observation, episode_start
                actions[t], log_probs[t] = action, log_prob
            with self.stopwatch.phase("simulation"):
                step = env.step(clipped)
            with self.stopwatch.phase("policy"), torch.no_grad():
                reward = zero_where_not_finite(step.reward)
                rewards[t], terminated[t], truncated[t] = reward, step.terminated, step.truncated
                final_observations[t] = zero_where_not_finite(step.final_observation)
                observation = zero_where_not_finite(step.observation)
                episode_start = step.terminated | step.truncated
                self.episodes.add(reward, episode_start)
                names = tuple(step.metrics)
                if names:
                    # In one vector, which two operators add up whatever their number.
                    metrics = torch.stack([*step.metrics.values()])
                    sums = metrics if sums is None else sums.add_(metrics)
        self.observation, self.episode_start, self.actor_state = observation, episode_start, state
        self.metric_sums = {} if sums is None else dict(zip(names, sums.unbind(), strict=True))

    def _explore(
        self, observation: Tensor, state: LstmState, episode_start: Tensor
    ) -> tuple[Tensor, Tensor, LstmState, Tensor]:
        """An action of each environment, its log-probability, the state after it, and the action within the bounds."""
        shape = (self.env.num_envs, self.env.action_dim)
        noise = torch.randn(shape, device=self.env.device, generator=self.noise_generator)
        action, log_prob, state, _ = self.policy.act(observation, state, episode_start, noise)
        return action, log_prob, state, self.policy.clip(action)

    def next_rollout(self, critic_state: LstmState) -> None:
        """The rollout has been learned from; the next one starts with this memory of the critic."""
        # Not where the next action leaves its own.
        hidden, cell = self.actor_state
        self.start_state = RecurrentState((hidden.clone(), cell.clone()), critic_state)
        self.episodes.end_rollout()
        self.between_rollouts = True

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to continue exactly here; empty in the middle of a rollout."""
        if not self.between_rollouts or self.observation is None:
            return {}
        actor, critic = self.start_state
        return {
            "env": self.env.state_dict(),
            "noise_generator": self.noise_generator.get_state(),
            "recurrent": [*actor, *critic],
            "episode_start": self.episode_start,
            "episodes": self.episodes.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> bool:
        """Continue from what `state_dict` gave; returns whether that could be done.

        It cannot with other environments, on another type of device, whose generators differ, or from a state that
        lacks what these environments remember. They then start new episodes.
        """
        fresh = self.env.state_dict()
        try:
            observation = zero_where_not_finite(self.env.load_state_dict(state["env"]))
            # In the type of the weights, whatever the precision was that the run was saved in.
            actor_hidden, actor_cell, critic_hidden, critic_cell = (
                tensor.to(self.start_state.actor[0]) for tensor in state["recurrent"]
            )
            episode_start = self.episode_start.clone().copy_(state["episode_start"])
            self.episodes.load_state_dict(state["episodes"])
            self.noise_generator.set_state(state["noise_generator"])
        except (KeyError, RuntimeError, TypeError, ValueError):
            self.env.load_state_dict(fresh)
            self.episodes = EpisodeStatistics(self.env.num_envs, self.env.device)
            return False
        self.observation, self.episode_start = observation, episode_start
        self.start_state = RecurrentState((actor_hidden, actor_cell), (critic_hidden, critic_cell))
        return True
