"""The judge of a policy while it trains: the examination of `play.py --evaluate`, with fewer robots."""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from app.build import Parts, physics_of
from app.experiment import Experiment
from biped.env import BipedEnv
from biped.examination.criteria import WalkingCriteria
from biped.examination.examination import (
    WARMUP_S,
    examination_config,
    examine,
    means,
    points,
    result_line,
)
from biped.examination.gait_meter import GaitSummary
from biped.examination.trials import Trial, title, trials_of
from biped.robots.robot import Robot
from ppo.agent import TrainedAgent
from ppo.env import Recorder
from ppo.evaluation import Evaluator, Verdict
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
from ppo.program.interruption import requested
from ppo.runtime import derive_seed

ROBOTS = 8
"""Robots per trial."""
SECONDS = 10.0
"""s that an examination lasts."""
CHECK_STEPS = 10
"""Control steps of an examination after which the processes ask each other whether a signal has come."""


class ExaminationInterruptedError(Exception):
    """A signal came to one of the processes."""


class Examiner:
    """Judges policies by the examination, in one engine or in several; the processes share the trials.

    A signal ends an examination in all processes after the same control step, without a verdict.

    Args:
        trials: of all processes.
        envs: by engine, `ROBOTS` for each of this process's `share`; None where it has none.
        processes: this process among those that train together.
        seed: of what the robots meet in every examination.
        control_dt: s, of the robots of all processes.
    """

    def __init__(
        self,
        trials: tuple[Trial, ...],
        envs: Mapping[str, BipedEnv | None],
        processes: Processes,
        seed: int,
        control_dt: float,
    ) -> None:
        self._trials = trials
        self._envs = envs
        self._processes = processes
        self._seed = seed
        self._control_dt = control_dt
        self._steps = round(SECONDS / control_dt)
        self._contacts: list[Tensor] = []
        self._step = 0

    def __call__(self, policy: RecurrentActorCritic) -> Verdict:
        """Examine the policy without exploration. Of several engines the one in which it does worst gives the score."""
        verdicts, pictures = {}, {}
        for engine, env in self._envs.items():
            self._step = 0
            try:
                own = self._examine(policy, env)
            except ExaminationInterruptedError:
                return Verdict(-math.inf, {}, "interrupted")
            summaries = [summary for part in self._processes.gather(own) for summary in part]
            verdicts[engine] = judge(sorted(summaries, key=lambda summary: self._trials.index(summary.trial)))
            if self._processes.rank == 0:
                pictures["gait" if len(verdicts) == 1 else f"{engine}/gait"] = self._draw_gait()
        if self._processes.rank:
            return Verdict(-math.inf, {}, "")
        first, *others = verdicts
        metrics = dict(verdicts[first].metrics)
        for engine in others:
            metrics |= {f"{engine}/{name}": value for name, value in verdicts[engine].metrics.items()}
        lines = [f"{engine}: {verdict.summary}" if others else verdict.summary for engine, verdict in verdicts.items()]
        return Verdict(min(verdict.score for verdict in verdicts.values()), metrics, "; ".join(lines), pictures)

    def _examine(self, policy: RecurrentActorCritic, env: BipedEnv | None) -> list[GaitSummary]:
        if env is None:
            for _ in range(self._steps):
                self._after_step()
            return []
        env.seed(self._seed)
        if policy.log_std.device.type != env.device.type:
            policy = deepcopy(policy).to(env.device)
        agent, trials = TrainedAgent(policy, env.num_envs), share(self._trials, self._processes)
        self._contacts = []

        def after_step() -> None:
            if self._processes.rank == 0:
                # Of the first robot in each trial.
                self._contacts.append(env.gait.contact[::ROBOTS].clone())
            self._after_step()

        return examine(agent, env, trials, seconds=SECONDS, warmup_s=WARMUP_S, after_step=after_step)

    def _draw_gait(self) -> bytes:
        """When the feet of a robot in each of this process's trials were on the ground, after the start, as a PNG."""
        # Only now, as matplotlib takes long to load.
        from app.report.gait_figure import SHOWN_S, gait_picture

        shown = slice(round(WARMUP_S / self._control_dt), round((WARMUP_S + SHOWN_S) / self._control_dt))
        contacts = torch.stack(self._contacts[shown], dim=1).cpu().numpy()
        titles = map(title, share(self._trials, self._processes))
        return gait_picture(list(zip(titles, contacts, strict=True)), self._control_dt)

    def _after_step(self) -> None:
        self._step += 1
        if self._step % CHECK_STEPS == 0 and self._processes.any(requested() is not None):
            raise ExaminationInterruptedError


def judge(summaries: list[GaitSummary]) -> Verdict:
    """What the examination in one engine found; nothing on other ranks than 0."""
    if not summaries:
        return Verdict(-math.inf, {}, "")
    criteria = WalkingCriteria()
    return Verdict(points(summaries, criteria), means(summaries, criteria), result_line(summaries, criteria))


def share(trials: tuple[Trial, ...], processes: Processes) -> tuple[Trial, ...]:
    """The trials that this process examines policies in."""
    return trials[processes.rank :: processes.count]


def examined_trials(robot: Robot) -> tuple[Trial, ...]:
    """The trials that a policy goes through while it trains."""
    # All of equal duration, so that what lasts longer only is nothing new.
    return tuple(dict.fromkeys(replace(trial, seconds=None) for trial in trials_of(robot)))


def build_examiner(
    experiment: Experiment, processes: Processes, parts: Parts, recorder: Recorder | None = None
) -> Evaluator | None:
    """What judges the policy while it trains; None without examinations. A `recorder` records what a GPU does there.

    Raises:
        ValueError: an engine is missing.
    """
    if experiment.eval_freq is None:
        return None
    trials = examined_trials(parts.robot)
    own = share(trials, processes)
    seed = derive_seed(experiment.seed, "examination", processes.rank)
    envs: dict[str, BipedEnv | None] = dict.fromkeys(experiment.eval_simulators)
    for engine in experiment.eval_simulators if own else ():
        physics = physics_of(engine, experiment)
        simulator = parts.simulator(engine, ROBOTS * len(own), physics, processes.device)
        env = parts.environment(simulator, examination_config(experiment.env, SECONDS), seed)
        if recorder is not None and env.device.type == "cuda":
            env.record(recorder)
        envs[engine] = env
    return Examiner(trials, envs, processes, seed, experiment.simulation.control_dt)
