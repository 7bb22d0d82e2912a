"""What learns: environments, policy and algorithm of one process, and all that a checkpoint keeps of them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.collector import Collector
from ppo.cuda.graphed_ppo import GraphedPPO, what_changes
from ppo.env import Recorder, VecEnv, privileged_columns, record_environment, unrecorded
from ppo.hyperparameters import PPOConfig
from ppo.learning_rate import LearningRate
from ppo.metrics import iteration_fractions, read_fractions
from ppo.normalization import ObservationNormalizer
from ppo.optimizer import MOMENTS, FlatAdam
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
from ppo.replay import ReplayPPO
from ppo.runtime import Precision, Stopwatch, derive_seed
from ppo.update import PPO, explained_variance

MAX_FAILED_UPDATES = 20
"""Updates in a row without a single finite gradient after which training stops."""


class TrainingFailedError(RuntimeError):
    """Training cannot go on; the last good checkpoint is kept."""


class Learner:
    """Recurrent PPO on any environment that follows `ppo.env.VecEnv`, one rollout after the other.

    Args:
        env: environments to learn from.
        policy: network, on the environment's device.
        ppo: hyper-parameters.
        total_timesteps: control steps over all environments at which a learning rate that falls is at its end.
        precision: arithmetic of the gradient steps.
        processes: this process among those that train together.
        seed: of the run; exploration and minibatches of every process have a stream of their own.
        facts: plain values to store with every checkpoint, such as the configuration.
        recorder: records what the device does again and again, if given; learning from older rollouts is not recorded.

    Raises:
        ConfigurationError: only the critic may see a part of the observation, and the policy's cannot see more than the
            actor.
    """

    def __init__(
        self,
        env: VecEnv,
        policy: RecurrentActorCritic,
        ppo: PPOConfig,
        total_timesteps: int,
        *,
        precision: Precision,
        processes: Processes,
        seed: int,
        facts: Mapping[str, Any],
        recorder: Recorder | None = None,
    ) -> None:
        self.env, self.policy, self.ppo = env, policy, ppo
        self.processes, self.seed, self.facts = processes, seed, facts
        self.minibatches_per_update = ppo.n_epochs * (env.num_envs // ppo.minibatch_envs(env.num_envs))
        self.steps_per_rollout = ppo.n_steps * env.num_envs * processes.count
        """Control steps, over all processes."""
        if ppo.normalize_observation:
            policy.normalizer = ObservationNormalizer(env.observation_dim, env.device)
        if columns := privileged_columns(env):
            policy.hide_from_actor(columns)
        policy.bound_actions(env.action_low.tolist(), env.action_high.tolist())
        self.optimizer = FlatAdam(
            policy.parameters(), ppo.learning_rate, packed=[lstm.in_cudnn_order() for lstm in policy.lstms]
        )
        self.learning_rate = LearningRate(ppo.learning_rate, ppo.lr, total_timesteps)
        self.minibatch_generator = torch.Generator().manual_seed(derive_seed(seed, "minibatches", processes.rank))
        self.algorithm = self._make_algorithm(recorder, precision)
        self.stopwatch = Stopwatch(env.device)
        self.collector = Collector(
            env,
            policy,
            ppo.n_steps,
            self.stopwatch,
            derive_seed(seed, "exploration", processes.rank),
            recorder or unrecorded,
            what_changes(policy),
        )
        if recorder is not None:
            record_environment(env, recorder)
        self.best_score = -math.inf
        """The best that an evaluator has said of the policy."""
        self.num_timesteps = 0
        """Control steps learned from, over all processes."""
        self.n_updates = 0
        """Epochs of optimisation."""
        self.failed_updates = 0
        """Updates in a row without a finite gradient."""

    def _make_algorithm(self, recorder: Recorder | None, precision: Precision) -> PPO:
        arguments = self.policy, self.optimizer, self.ppo, self.minibatch_generator, precision, self.processes
        if self.ppo.replay > 1:
            return ReplayPPO(*arguments)
        if recorder is None:
            return PPO(*arguments)
        algorithm = GraphedPPO(*arguments)
        algorithm.record(recorder)
        return algorithm

    @property
    def asks_often(self) -> bool:
        """Whether to ask at every control step and before every pass through the network if training is interrupted."""
        return self.algorithm.asks_often(self.ppo.minibatch_envs(self.env.num_envs))

    @property
    def questions_per_improvement(self) -> int:
        """How often `improve` asks whether it is interrupted."""
        if not self.asks_often:
            return self.ppo.n_epochs
        passes = math.ceil(self.ppo.minibatch_envs(self.env.num_envs) / self.algorithm.envs_per_pass)
        preparing = self.algorithm.questions_while_preparing(self.ppo.n_steps)
        return preparing + self.minibatches_per_update * passes

    def improve(self, interrupted: Callable[[], bool] = lambda: False) -> dict[str, Tensor]:
        """Compute advantages, update the policy, and move on to the next rollout.

        Args:
            interrupted: as in `PPO.prepare` and `PPO.update`.

        Returns:
            Scalars `[]` on the device.

        Raises:
            Interrupted: before anything was learned.
        """
        collector, algorithm = self.collector, self.algorithm
        with self.stopwatch.phase("update"):
            experience, critic_state = algorithm.prepare(
                collector.experience, interrupted if self.asks_often else lambda: False
            )
            self.num_timesteps += self.steps_per_rollout
            self.optimizer.learning_rate = self.learning_rate.before_update(self.num_timesteps)
            scalars = algorithm.update(experience, interrupted)
            scalars["explained_variance"] = explained_variance(experience.rollout.value, experience.rollout.returns)
            scalars["std"] = self.policy.log_std.detach().exp().mean()
            self.n_updates += algorithm.last_epochs
            if self.policy.normalizer is not None:
                self.policy.normalizer.update(collector.rollout.observation, self.processes)
            collector.next_rollout(critic_state)
        return scalars

    def read_metrics(self, scalars: Mapping[str, Tensor]) -> dict[str, float]:
        """Bring everything measured on the device to the host in one transfer, and adapt the learning rate to it.

        Args:
            scalars: what `improve` returned.

        Returns:
            Values by their tag in the log, averaged over all processes.

        Raises:
            TrainingFailedError: there has been no finite gradient for too long.
        """
        collector = self.collector
        metrics = read_fractions(
            iteration_fractions(scalars, collector.metric_sums, collector.episodes, self.ppo.n_steps), self.processes
        )
        seconds = self.stopwatch.read()
        for name in ("simulation", "policy", "update"):
            metrics[f"perf/{name}_seconds"] = seconds.get(name, 0.0)
        metrics["train/learning_rate"] = self.learning_rate.value
        metrics["train/clip_range"] = self.algorithm.update_config.clip_range
        metrics["train/n_updates"] = self.n_updates
        if self.ppo.clip_range_vf is not None:
            metrics["train/clip_range_vf"] = self.ppo.clip_range_vf
        self._watch_failures(metrics.get("train/skipped_updates", 0.0) >= self.minibatches_per_update)
        self.learning_rate.after_update(metrics.get("train/approx_kl", math.nan), self.num_timesteps)
        return metrics

    def _watch_failures(self, failed: bool) -> None:
        self.failed_updates = self.failed_updates + 1 if failed else 0
        if self.failed_updates >= MAX_FAILED_UPDATES:
            raise TrainingFailedError(
                f"the last {MAX_FAILED_UPDATES} updates had no finite gradient; the weights are those before them. "
                "Look for exploding rewards or observations, or lower the learning rate"
            )

    def model(self, states: list[dict[str, Any]]) -> Sb3Model:
        """What a checkpoint holds.

        Args:
            states: `process_state` of all processes by rank, or none to let the environments start anew.
        """
        env, rate = self.env, self.learning_rate.to_go_on_with
        optimizer = self.optimizer.state_dict()
        optimizer["param_groups"][0]["lr"] = rate
        return Sb3Model(
            policy=self.policy.config,
            observation_dim=env.observation_dim,
            action_low=tuple(self.policy.action_low.tolist()),
            action_high=tuple(self.policy.action_high.tolist()),
            parameters=self.policy.plain_state_dict(),
            optimizer=optimizer,
            hyperparameters=self.ppo.sb3_hyperparameters(env.num_envs, rate, self.seed),
            num_timesteps=self.num_timesteps,
            n_updates=self.n_updates,
            own_facts={
                "num_envs": env.num_envs,
                "processes": self.processes.count,
                "device": env.device.type,
                **self.facts,
            },
            own_state={
                "learning_rate": self.learning_rate.state_dict(),
                "best_score": self.best_score,
                "processes": states,
                **self.policy.normalizer_state_dict(),
            },
        )

    def process_state(self) -> dict[str, Any]:
        """State of this process's environments and generators; empty in the middle of a rollout."""
        state = self.collector.state_dict()
        return {**state, "minibatch_generator": self.minibatch_generator.get_state()} if state else {}

    def start_from(self, model: Sb3Model) -> None:
        """Take over weights, action bounds, normalisation, optimiser and step count of a saved model.

        A learning rate that falls begins anew from there.

        Args:
            model: of the same network, with as many observations and actions.

        Raises:
            CheckpointError: the environments take none of the actions that the model may choose, or its actor sees what
                only the critic may.
        """
        try:
            self.policy.bound_actions(model.action_low, model.action_high)
        except ValueError as error:
            raise CheckpointError(str(error)) from None
        self.policy.load_state_dict(model.parameters)
        self.policy.restore_normalizer(model.own_state or {})
        if model.optimizer and model.optimizer["state"]:
            self.optimizer.load_state_dict(model.optimizer)
        self._check_privileged()
        self.num_timesteps, self.n_updates = model.num_timesteps, model.n_updates
        self.learning_rate.begin = model.num_timesteps

    def _check_privileged(self) -> None:
        parameters = [name for name, _ in self.policy.named_parameters()]
        state = self.optimizer.state_dict()["state"].get(parameters.index("lstm_actor.weight_ih_l0"), {})
        if self.policy.sees_privileged(*(state[name] for name in MOMENTS if name in state)):
            raise CheckpointError(
                "the model's actor sees what only the critic may see in this task; start from a model that was trained "
                "in it, or train anew"
            )

    def restore(self, model: Sb3Model, *, environments: bool = True) -> bool:
        """Continue the run that saved a model.

        Args:
            model: of the same network, with as many observations and actions.
            environments: whether they and the generators shall be restored, too; not if they are to be others.

        Returns:
            Whether the environments continue exactly where they were; otherwise new episodes start.

        Raises:
            CheckpointError: as `start_from`.
        """
        self.start_from(model)
        facts, state = model.own_facts or {}, model.own_state
        if state is None or not {"learning_rate", "best_score", "processes"} <= state.keys():
            return False
        self.learning_rate.load_state_dict(state["learning_rate"])
        self.best_score = float(state["best_score"])
        same = (facts.get("num_envs"), facts.get("processes")) == (self.env.num_envs, self.processes.count)
        own = state["processes"][self.processes.rank] if environments and same and state["processes"] else {}
        if not own:
            return False
        if not self.collector.load_state_dict(own):
            return False
        self.minibatch_generator.set_state(own["minibatch_generator"])
        return True
