"""The loop: collect a rollout, improve the policy on it, log, save; until the steps are done or a signal comes."""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo.checkpoint.checks import checked
from ppo.checkpoint.folder import CheckpointFolder
from ppo.checkpoint.sb3_model import CheckpointError
from ppo.evaluation import Evaluator
from ppo.learner import Learner, TrainingFailedError
from ppo.program.agreed_signal import AgreedSignal
from ppo.program.interruption import deferred
from ppo.report.console import Console, Status
from ppo.report.logging import MetricsLogger
from ppo.rollout import Interrupted


@dataclass(frozen=True)
class Budget:
    """How long to train and when to save."""

    total_timesteps: int
    """Control steps over all environments at which training ends."""
    save_freq: int | None
    """Control steps between two checkpoints; None: every `save_seconds`."""
    eval_freq: int | None = None
    """Control steps between two evaluations; None for none."""
    save_seconds: float = 120.0
    """s between two checkpoints where no `save_freq` is given."""


class Trainer:
    """Lets a learner learn, and tells and keeps what comes of it.

    Args:
        learner: what learns.
        budget: how long to train and when to save.
        checkpoints: where models go.
        console: what the user sees.
        logger: TensorBoard and Weights & Biases; None on processes that do not write.
        evaluator: what judges the policy every `budget.eval_freq` steps; the best one is kept as `model_best.zip`.
    """

    def __init__(
        self,
        learner: Learner,
        budget: Budget,
        *,
        checkpoints: CheckpointFolder,
        console: Console,
        logger: MetricsLogger | None = None,
        evaluator: Evaluator | None = None,
    ) -> None:
        self.learner, self.budget = learner, budget
        self.checkpoints, self.console, self.logger = checkpoints, console, logger
        self.evaluator = evaluator
        self.signal = AgreedSignal(learner.processes, learner.env.device)
        self.best_is_earlier = False
        """Whether the last evaluation was worse than that of `model_best.zip`."""

    def train(self) -> int | None:
        """Train until the budget is spent or a signal comes; the signal's number, or None, is returned.

        SIGINT, SIGTERM and SIGHUP let the current control step or pass through the network finish and save
        `model_interrupted.zip`. A second one and any other exception save it without the environments, once something
        has been learned. A run that is continued and learns nothing keeps the models that it has.

        Raises:
            TrainingFailedError: training cannot go on, or its last model could not be saved in its folder.
            CheckpointError: no model of this training could be saved; nothing has been trained.
        """
        learner = self.learner
        first, first_update = learner.num_timesteps, learner.n_updates
        continued = any(self.checkpoints.folder.glob("*.zip"))
        try:
            checked(learner.model([]))
        except ValueError as error:
            raise CheckpointError(f"no model of this training could be saved: {error}") from None
        with deferred(self.signal.receive):
            try:
                self._train()
                interrupted = self.signal.agreed() and learner.num_timesteps < self.budget.total_timesteps
                states = learner.processes.gather(learner.process_state())
            except BaseException:
                self.signal.end()
                if learner.n_updates > first_update:
                    # The other processes may be gone or elsewhere, so nothing is asked of them here.
                    try:
                        self._write_last("model_interrupted", [])
                    except CheckpointError as error:
                        self.console.message(str(error))
                raise
            # No signal ends the process before the model is on the disk.
            self.signal.end()
            if interrupted and continued and learner.num_timesteps == first:
                return self.signal.number
            try:
                self._write_last("model_interrupted" if interrupted else "model_final", states)
            except CheckpointError as error:
                raise TrainingFailedError(str(error)) from None
        return self.signal.number

    def _train(self) -> None:
        learner, budget = self.learner, self.budget
        started, first = time.perf_counter(), learner.num_timesteps
        next_save, saved_at = next_multiple(first, budget.save_freq), started
        next_evaluation = next_multiple(first, budget.eval_freq)
        self.console.start(first)
        while learner.num_timesteps < budget.total_timesteps and not self.signal.agreed():
            begin = time.perf_counter()
            stops = self.signal.stops if learner.asks_often else lambda: False
            learner.collector.collect(self._asked("collecting: control step", learner.ppo.n_steps, stops))
            if self.signal.agreed():
                break
            learning = self._asked("learning: step", learner.questions_per_improvement, self.signal.stops)
            try:
                scalars = learner.improve(learning)
            except Interrupted:
                break
            metrics = learner.read_metrics(scalars)
            # Only now has a GPU done what it was told to do.
            elapsed = time.perf_counter() - begin
            metrics["perf/steps_per_second"] = learner.steps_per_rollout / elapsed
            metrics["time/fps"] = int((learner.num_timesteps - first) / (time.perf_counter() - started))
            best = None
            if learner.num_timesteps >= next_evaluation:
                best = self._evaluate(metrics)
                next_evaluation = next_multiple(learner.num_timesteps, budget.eval_freq)
            self._report(metrics, elapsed)
            if best is not None:
                before, learner.best_score = learner.best_score, best
                if not self._write("model_best", []):
                    learner.best_score = before
            due = learner.num_timesteps >= next_save
            if budget.save_freq is None:
                # The processes save together, whatever their clocks say.
                due = learner.processes.any(time.perf_counter() - saved_at >= budget.save_seconds)
            if due:
                self.save(f"{self.checkpoints.prefix}_{learner.num_timesteps}_steps")
                next_save, saved_at = next_multiple(learner.num_timesteps, budget.save_freq), time.perf_counter()

    def _asked(self, phase: str, parts: int, stops: Callable[[], bool]) -> Callable[[], bool]:
        """`stops`, which is asked before each of the `parts` of a phase, and tells the console so."""
        asked = itertools.count(1)

        def ask() -> bool:
            self.console.progress(f"{phase} {next(asked)} of {parts}")
            return stops()

        return ask

    def _evaluate(self, metrics: dict[str, float]) -> float | None:
        """Add an evaluation to the metrics; returns its score if it is the best so far."""
        learner = self.learner
        if self.evaluator is None:
            return None
        self.console.progress("examining")
        score, values, summary, pictures = self.evaluator(learner.policy)
        metrics.update({f"eval/{name}": value for name, value in values.items()})
        self.console.message(f"evaluation at {learner.num_timesteps:,} steps: {summary}")
        if self.logger is not None:
            for name, picture in pictures.items():
                self.logger.log_picture(f"eval/{name}", picture, learner.num_timesteps)
        # One that was interrupted has no values.
        self.best_is_earlier = bool(values) and score < learner.best_score
        return score if score > learner.best_score else None

    def _report(self, metrics: dict[str, float], elapsed: float) -> None:
        num_timesteps = self.learner.num_timesteps
        if self.logger is not None:
            self.logger.log(metrics, num_timesteps)
        if self.signal.number is not None:
            # An update that was cut short says nothing of the speed.
            return
        self.console.update(
            Status(
                num_timesteps=num_timesteps,
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
        self._write(name, self.learner.processes.gather(self.learner.process_state()))

    def _write(self, name: str, states: list[dict[str, Any]]) -> bool:
        """Save the model; `states` are those of all processes, or none to let the environments start anew.

        Returns:
            Whether it is saved, as far as this process knows.
        """
        if self.learner.processes.rank != 0:
            return True
        path = self.checkpoints.save(name, self.learner.model(states))
        self._log_saved(path)
        return path is not None

    def _write_last(self, name: str, states: list[dict[str, Any]]) -> None:
        """The same for the last model of this training, which must not be lost; raises CheckpointError if it is."""
        if self.learner.processes.rank == 0:
            self._log_saved(self.checkpoints.save_last(name, self.learner.model(states)))

    def _log_saved(self, path: Path | None) -> None:
        if path is not None and self.logger is not None:
            self.logger.log_checkpoint(path)


def next_multiple(steps: int, interval: int | None) -> float:
    """The first multiple of `interval` above `steps`; infinity without an interval."""
    return math.inf if interval is None else (steps // interval + 1) * interval
