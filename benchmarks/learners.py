"""The contenders of `benchmarks.learner`: this trainer, rsl_rl and sb3-contrib behind one interface."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from benchmarks.adapters import (
    OURS,
    RSL,
    SB3,
    RslVecEnv,
    make_learner,
    make_sb3,
    observation_group,
    rsl_configuration,
)
from benchmarks.measurement import seconds
from benchmarks.synthetic import Experience, ReplayEnv
from ppo.hyperparameters import PPOConfig
from ppo.policy import PolicyConfig
from ppo.runtime import Precision


@dataclass(frozen=True)
class Settings:
    """What is learned from, apart from the network."""

    num_envs: int
    observation_dim: int
    action_dim: int
    end_probability: float
    """Chance that an episode ends, per control step."""
    ppo: PPOConfig
    device: torch.device
    precision: Precision

    @property
    def steps(self) -> int:
        """Control steps per rollout."""
        return self.num_envs * self.ppo.n_steps

    @property
    def minibatches(self) -> int:
        """Optimiser steps per epoch."""
        return self.num_envs // self.ppo.minibatch_envs(self.num_envs)

    def make_env(self) -> ReplayEnv:
        """The stage for the experience."""
        return ReplayEnv(self.num_envs, self.observation_dim, self.action_dim, self.device)


class Learner(Protocol):
    """One contender."""

    optimizer: torch.optim.Optimizer
    modules: Sequence[nn.Module]
    """The whole network."""
    updates: int
    """Updates in one call of `learn`."""

    def set_epochs(self, n_epochs: int) -> None:
        """Passes over the rollout in the next updates."""
        ...

    def fill(self, experience: Experience) -> None:
        """Act along the experience and store everything that the learner needs; not timed."""
        ...

    def learn(self) -> dict[str, float]:
        """Seconds of one `update` (all gradient steps), and of one `improve` (advantages and update)."""
        ...


class Ours:
    """`ppo.learner.Learner`; its improvement includes valuing the rollout, which the others do while they collect."""

    updates = 2

    def __init__(self, network: PolicyConfig, settings: Settings, folder: Path) -> None:
        self.settings, self.env = settings, settings.make_env()
        self.learner = make_learner(self.env, network, settings.ppo, settings.precision)
        self.optimizer: torch.optim.Optimizer = self.learner.optimizer.adam
        self.modules: Sequence[nn.Module] = [self.learner.policy]

    def set_epochs(self, n_epochs: int) -> None:
        """Change the hyper-parameters."""
        self.learner.algorithm.config = replace(self.learner.algorithm.config, n_epochs=n_epochs)

    def fill(self, experience: Experience) -> None:
        """Let the learner collect."""
        self.learner.collector.observation = self.env.play(experience)
        self.learner.collector.collect(lambda: False)

    def learn(self) -> dict[str, float]:
        """Improve, then update once more on the same experience."""
        learner, device = self.learner, self.settings.device
        experience = learner.collector.experience
        improve = seconds(learner.improve, device)
        again = partial(learner.algorithm.update, experience)
        return {"update": seconds(again, device), "improve": improve}


class Sb3:
    """`sb3_contrib.RecurrentPPO.train`."""

    updates = 1

    def __init__(self, network: PolicyConfig, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.model = make_sb3(settings.make_env(), network, settings.ppo)
        self.optimizer: torch.optim.Optimizer = self.model.policy.optimizer
        self.modules: Sequence[nn.Module] = [self.model.policy]
        self.start = torch.ones(settings.num_envs, device=settings.device)
        self.last: tuple[Tensor, Tensor] | None = None

    def set_epochs(self, n_epochs: int) -> None:
        """Change the hyper-parameter."""
        self.model.n_epochs = n_epochs

    def fill(self, experience: Experience) -> None:
        """Store step by step, as its `collect_rollouts` does."""
        model, buffer = self.model, self.model.rollout_buffer
        model.policy.set_training_mode(False)
        buffer.reset()
        state = model._last_lstm_states
        with torch.no_grad():
            for t in range(self.settings.ppo.n_steps):
                observation = experience.observation[t]
                action, value, log_prob, after = model.policy(observation, state, self.start)
                buffer.add(
                    observation.cpu().numpy(),
                    action.cpu().numpy(),
                    experience.reward[t].cpu().numpy(),
                    self.start.cpu().numpy(),
                    value,
                    log_prob,
                    lstm_states=state,
                )
                state, self.start = after, experience.done[t].float()
            last = model.policy.predict_values(experience.observation[-1], state.vf, self.start)
        model._last_lstm_states = state
        self.last = last, self.start

    def learn(self) -> dict[str, float]:
        """Compute advantages, then train."""
        assert self.last is not None
        value, done = self.last
        advantages = partial(self.model.rollout_buffer.compute_returns_and_advantage, value, done.cpu().numpy())
        before = seconds(advantages, self.settings.device)
        alone = seconds(self.model.train, self.settings.device)
        return {"update": alone, "improve": before + alone}


class Rsl:
    """`rsl_rl.algorithms.PPO.update` with an LSTM for actor and critic each."""

    updates = 1

    def __init__(self, network: PolicyConfig, settings: Settings, folder: Path) -> None:
        from rsl_rl.algorithms import PPO

        self.settings = settings
        env = RslVecEnv(settings.make_env())
        configuration = rsl_configuration(network, settings.ppo, settings.num_envs, settings.precision)
        with contextlib.redirect_stdout(io.StringIO()):
            self.algorithm = PPO.construct_algorithm(env.get_observations(), env, configuration, str(settings.device))
        self.optimizer: torch.optim.Optimizer = self.algorithm.optimizer
        self.modules: Sequence[nn.Module] = [self.algorithm.actor, self.algorithm.critic]
        self.last: Tensor | None = None

    def set_epochs(self, n_epochs: int) -> None:
        """Change the hyper-parameter."""
        self.algorithm.num_learning_epochs = n_epochs

    def fill(self, experience: Experience) -> None:
        """Store step by step, as its runner does."""
        with torch.inference_mode():
            for t in range(self.settings.ppo.n_steps):
                self.algorithm.act(observation_group(experience.observation[t]))
                self.algorithm.process_env_step(
                    observation_group(experience.observation[t + 1]),
                    experience.reward[t],
                    experience.done[t].long(),
                    {"time_outs": experience.truncated[t]},
                )
        self.last = experience.observation[-1]

    def learn(self) -> dict[str, float]:
        """Compute advantages, then update."""
        assert self.last is not None
        last = observation_group(self.last)
        with torch.inference_mode():
            before = seconds(lambda: self.algorithm.compute_returns(last), self.settings.device)
        alone = seconds(self.algorithm.update, self.settings.device)
        return {"update": alone, "improve": before + alone}


LEARNERS: Mapping[str, Callable[[PolicyConfig, Settings, Path], Learner]] = {OURS: Ours, SB3: Sb3, RSL: Rsl}
