"""The loop: collect a rollout, improve the policy on it, log, save; until the steps are done or a signal comes."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ppo.checkpoint.checks import checked
from ppo.checkpoint.folder import CheckpointFolder
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.collector import Collector
from ppo.env import VecEnv
from ppo.evaluation import Evaluator
from ppo.learning_rate import LearningRate
from ppo.metrics import iteration_fractions, read_fractions
from ppo.normalization import ObservationNormalizer
from ppo.optimizer import FlatAdam
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
from ppo.program.agreed_signal import AgreedSignal
from ppo.program.interruption import deferred
from ppo.replay import ReplayPPO
from ppo.report.console import Console, Status
from ppo.report.logging import MetricsLogger
from ppo.runtime import Precision, Stopwatch, derive_seed
from ppo.update import PPO, PPOConfig, explained_variance

MAX_FAILED_UPDATES = 20
"""Updates in a row without a single finite gradient after which training stops."""


class TrainingFailedError(RuntimeError):
    """Training cannot go on; the last good checkpoint is kept."""


@dataclass(frozen=True)
class Budget:
    """How long to train and when to save."""

    total_timesteps: int
    """Control steps over all environments at which training ends."""
    save_freq: int
    """Control steps between two checkpoints."""
    eval_freq: int | None = None
    """Control steps between two evaluations; None for none."""


class Trainer:
    """Recurrent PPO on any environment that follows `ppo.env.VecEnv`.

    Args:
        env: environments to learn from.
        policy: network, on the environment's device.
        ppo: hyper-parameters.
        budget: how long to train and when to save.
        checkpoints: where models go.
        console: what the user sees.
        logger: TensorBoard and Weights & Biases; None on processes that do not write.
        precision: arithmetic of the network.
        processes: this process among those that train together.
        seed: of the run; exploration and minibatches of every process have a stream of their own.
        evaluator: what judges the policy every `budget.eval_freq` steps; the best one is kept as `model_best.zip`.
        facts: plain values to store with every checkpoint, such as the configuration.
    """

    def __init__(
        self,
        env: VecEnv,
        policy: RecurrentActorCritic,
        ppo: PPOConfig,
        budget: Budget,
        *,
        checkpoints: CheckpointFolder,
        console: Console,
        logger: MetricsLogger | None,
        precision: Precision,
        processes: Processes,
        seed: int,
        facts: Mapping[str, Any],
        evaluator: Evaluator | None = None,
    ) -> None:
        self.minibatches_per_epoch = env.num_envs // ppo.minibatch_envs(env.num_envs)
        self.env, self.policy, self.ppo, self.budget = env, policy, ppo, budget
        self.checkpoints, self.console, self.logger = checkpoints, console, logger
        self.precision, self.processes, self.seed, self.facts = precision, processes, seed, facts
        if ppo.normalize_observation:
            policy.normalizer = ObservationNormalizer(env.observation_dim, env.device)
        policy.bound_actions(env.action_low.tolist(), env.action_high.tolist())
        self.optimizer = FlatAdam(policy.parameters(), ppo.learning_rate)
        self.learning_rate = LearningRate(ppo.learning_rate, ppo.lr, budget.total_timesteps)
        self.minibatch_generator = torch.Generator().manual_seed(derive_seed(seed, "minibatches", processes.rank))
        algorithm = PPO if ppo.replay == 1 else ReplayPPO
        self.algorithm = algorithm(policy, self.optimizer, ppo, self.minibatch_generator, precision, processes)
        self.stopwatch = Stopwatch(env.device)
        self.collector = Collector(
            env, policy, ppo.n_steps, precision, self.stopwatch, derive_seed(seed, "exploration", processes.rank)
        )
        self.evaluator = evaluator
        self.best_score = -math.inf
        self.num_timesteps = 0
        self.n_updates = 0
        self.failed_updates = 0
        self.signal = AgreedSignal(processes, env.device)

    def train(self) -> int | None:
        """Train until the budget is spent or a signal comes; the signal's number, or None, is returned.

        SIGINT, SIGTERM and SIGHUP let the current control step or minibatch finish and save `model_interrupted.zip`.
        Any other exception saves `model_interrupted.zip` as well and is raised again.

        Raises:
            TrainingFailedError: training cannot go on, or its last model could not be saved in its folder.
            CheckpointError: no model of this training could be saved; nothing has been trained.
        """
        try:
            checked(self._model([]))
        except ValueError as error:
            raise CheckpointError(f"no model of this training could be saved: {error}") from None
        with deferred(self.signal.receive):
            try:
                self._train()
            except BaseException:
                if self.n_updates:
                    # The other processes may be gone or elsewhere, so nothing is asked of them here.
                    try:
                        self._write_last("model_interrupted", [])
                    except CheckpointError as error:
                        self.console.message(str(error))
                raise
            # A signal that comes now must not end the process before the model is on the disk.
            interrupted = self.signal.agreed() and self.num_timesteps < self.budget.total_timesteps
            name = "model_interrupted" if interrupted else "model_final"
            try:
                self._write_last(name, self.processes.gather(self._process_state()))
            except CheckpointError as error:
                raise TrainingFailedError(str(error)) from None
        return self.signal.number

    def _train(self) -> None:
        started, first = time.perf_counter(), self.num_timesteps
        next_save = next_multiple(self.num_timesteps, self.budget.save_freq)
        next_evaluation = next_multiple(self.num_timesteps, self.budget.eval_freq)
        self.console.start(self.num_timesteps)
        while self.num_timesteps < self.budget.total_timesteps and not self.signal.agreed():
            begin = time.perf_counter()
            self.collector.collect(self.signal.stops_rollout)
            if self.signal.agreed():
                break
            scalars = self.improve()
            elapsed = time.perf_counter() - begin
            metrics = self._metrics(scalars, elapsed)
            metrics["time/fps"] = int((self.num_timesteps - first) / (time.perf_counter() - started))
            better = False
            if self.num_timesteps >= next_evaluation:
                better = self._evaluate(metrics)
                next_evaluation = next_multiple(self.num_timesteps, self.budget.eval_freq)
            self._report(metrics, elapsed)
            if better:
                self._write("model_best", [])
            if self.num_timesteps >= next_save:
                self.save(f"{self.checkpoints.prefix}_{self.num_timesteps}_steps")
                next_save = next_multiple(self.num_timesteps, self.budget.save_freq)

    def _evaluate(self, metrics: dict[str, float]) -> bool:
        """Add an evaluation to the metrics; returns whether it is the best so far."""
        if self.evaluator is None:
            return False
        score, values, summary = self.evaluator(self.policy)
        metrics.update({f"eval/{name}": value for name, value in values.items()})
        self.console.message(f"evaluation at {self.num_timesteps:,} steps: {summary}")
        if not score > self.best_score:
            return False
        self.best_score = score
        return True

    def improve(self) -> dict[str, Tensor]:
        """Compute advantages, update the policy, and move on to the next rollout; returns scalars on the device."""
        collector, algorithm = self.collector, self.algorithm
        with self.stopwatch.phase("update"):
            experience, critic_state = algorithm.prepare(collector.experience)
            self.num_timesteps += collector.rollout.numel() * self.processes.count
            self.optimizer.learning_rate = self.learning_rate.before_update(self.num_timesteps)
            scalars = algorithm.update(experience, self.signal.stops_update)
            scalars["explained_variance"] = explained_variance(experience.rollout.value, experience.rollout.returns)
            scalars["std"] = self.policy.log_std.detach().exp().mean()
            self.n_updates += algorithm.last_epochs
            if self.policy.normalizer is not None:
                self.policy.normalizer.update(collector.rollout.observation, self.processes)
            collector.next_rollout(critic_state)
        return scalars

    def _metrics(self, scalars: Mapping[str, Tensor], elapsed: float) -> dict[str, float]:
        """Bring everything measured on the device to the host in one transfer, averaged over all processes."""
        collector = self.collector
        metrics = read_fractions(
            iteration_fractions(scalars, collector.metric_sums, collector.episodes, self.ppo.n_steps), self.processes
        )
        seconds = self.stopwatch.read()
        steps = self.ppo.n_steps * self.env.num_envs * self.processes.count
        metrics["perf/steps_per_second"] = steps / elapsed
        for name in ("simulation", "policy", "update"):
            metrics[f"perf/{name}_seconds"] = seconds.get(name, 0.0)
        metrics["train/learning_rate"] = self.learning_rate.value
        metrics["train/clip_range"] = self.algorithm.update_config.clip_range
        metrics["train/n_updates"] = self.n_updates
        if self.ppo.clip_range_vf is not None:
            metrics["train/clip_range_vf"] = self.ppo.clip_range_vf
        self._watch_failures(
            metrics.get("train/skipped_updates", 0.0) >= self.ppo.n_epochs * self.minibatches_per_epoch
        )
        self.learning_rate.after_update(metrics.get("train/approx_kl", float("nan")), self.num_timesteps)
        return metrics

    def _watch_failures(self, failed: bool) -> None:
        self.failed_updates = self.failed_updates + 1 if failed else 0
        if self.failed_updates >= MAX_FAILED_UPDATES:
            raise TrainingFailedError(
                f"the last {MAX_FAILED_UPDATES} updates had no finite gradient; the weights are those before them. "
                "Look for exploding rewards or observations, or lower the learning rate"
            )

    def _report(self, metrics: dict[str, float], elapsed: float) -> None:
        if self.logger is not None:
            self.logger.log(metrics, self.num_timesteps)
        self.console.update(
            Status(
                num_timesteps=self.num_timesteps,
                steps_per_second=metrics["perf/steps_per_second"],
                simulation_fraction=metrics["perf/simulation_seconds"] / elapsed,
                policy_fraction=metrics["perf/policy_seconds"] / elapsed,
                update_fraction=metrics["perf/update_seconds"] / elapsed,
                metrics=metrics,
                checkpoint=self.checkpoints.newest,
            )
        )

    def save(self, name: str) -> None:
        """Save the model as `<name>.zip`, with all that a resumed run needs to continue exactly here.

        Rollouts to replay are not saved, so with them a resumed run does not continue exactly.
        """
        self._write(name, self.processes.gather(self._process_state()))

    def _write(self, name: str, states: list[dict[str, Any]]) -> None:
        """Save the model; `states` are those of all processes, or none to let the environments start anew."""
        if self.processes.rank == 0:
            self._log_saved(self.checkpoints.save(name, self._model(states)))

    def _write_last(self, name: str, states: list[dict[str, Any]]) -> None:
        """The same for the last model of this training, which must not be lost; raises CheckpointError if it is."""
        if self.processes.rank == 0:
            self._log_saved(self.checkpoints.save_last(name, self._model(states)))

    def _log_saved(self, path: Path | None) -> None:
        if path is not None and self.logger is not None:
            self.logger.log_checkpoint(path)

    def _model(self, states: list[dict[str, Any]]) -> Sb3Model:
        ppo, env, rate = self.ppo, self.env, self.learning_rate.to_go_on_with
        optimizer = self.optimizer.state_dict()
        optimizer["param_groups"][0]["lr"] = rate
        return Sb3Model(
            policy=self.policy.config,
            observation_dim=env.observation_dim,
            action_low=tuple(self.policy.action_low.tolist()),
            action_high=tuple(self.policy.action_high.tolist()),
            parameters=self.policy.plain_state_dict(),
            optimizer=optimizer,
            hyperparameters=ppo.sb3_hyperparameters(env.num_envs, rate, self.seed),
            num_timesteps=self.num_timesteps,
            n_updates=self.n_updates,
            own_facts={"num_envs": env.num_envs, "processes": self.processes.count, **self.facts},
            own_state={
                "learning_rate": self.learning_rate.state_dict(),
                "best_score": self.best_score,
                "processes": states,
                **self.policy.normalizer_state_dict(),
            },
        )

    def _process_state(self) -> dict[str, Any]:
        """State of this process's environments and generators; empty in the middle of a rollout."""
        state = self.collector.state_dict()
        return {**state, "minibatch_generator": self.minibatch_generator.get_state()} if state else {}

    def start_from(self, model: Sb3Model) -> None:
        """Take over weights, action bounds, optimiser and step count of a saved model, and nothing else.

        Args:
            model: of the same network, with as many observations and actions.

        Raises:
            CheckpointError: the environments take none of the actions that the model may choose.
        """
        try:
            self.policy.bound_actions(model.action_low, model.action_high)
        except ValueError as error:
            raise CheckpointError(str(error)) from None
        self.policy.load_state_dict(model.parameters)
        self.policy.restore_normalizer(model.own_state or {})
        if model.optimizer and model.optimizer["state"]:
            self.optimizer.load_state_dict(model.optimizer)
        self.num_timesteps, self.n_updates = model.num_timesteps, model.n_updates
        self.learning_rate.begin = model.num_timesteps

    def restore(self, model: Sb3Model, *, environments: bool = True) -> bool:
        """Continue the run that saved a model.

        Args:
            model: of the same network, with as many observations and actions.
            environments: whether they and the generators shall be restored, too; not if they are to be others.

        Returns:
            Whether the environments continue exactly where they were; otherwise new episodes start.
        """
        self.start_from(model)
        own_facts, state = model.own_facts or {}, model.own_state
        if state is None or not {"learning_rate", "best_score", "processes"} <= state.keys():
            return False
        self.learning_rate.load_state_dict(state["learning_rate"])
        self.best_score = float(state["best_score"])
        same = (own_facts.get("num_envs"), own_facts.get("processes")) == (self.env.num_envs, self.processes.count)
        own = state["processes"][self.processes.rank] if environments and same and state["processes"] else {}
        if not own:
            return False
        if not self.collector.load_state_dict(own):
            return False
        self.minibatch_generator.set_state(own["minibatch_generator"])
        return True


def next_multiple(steps: int, interval: int | None) -> float:
    """The first multiple of `interval` above `steps`; infinity without an interval."""
    return math.inf if interval is None else (steps // interval + 1) * interval
