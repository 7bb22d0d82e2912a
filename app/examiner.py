"""The judge of a policy while it trains: the examination of `play.py --evaluate`, with fewer robots."""

import math
from collections.abc import Mapping
from copy import deepcopy

from app.build import Parts, physics_of
from app.experiment import Experiment
from biped.env import BipedEnv
from biped.examination.criteria import WalkingCriteria
from biped.examination.examination import (
    COMMANDS,
    WARMUP_S,
    Command,
    examination_config,
    examine,
    means,
    result_line,
    score,
)
from biped.examination.gait_meter import GaitSummary
from ppo.agent import TrainedAgent
from ppo.evaluation import Evaluator, Verdict
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
from ppo.program.interruption import requested
from ppo.runtime import derive_seed

ROBOTS = 8
"""Robots per command."""
SECONDS = 10.0
"""s that an examination lasts."""
CHECK_STEPS = 10
"""Control steps of an examination after which the processes ask each other whether a signal has come."""


class ExaminationInterruptedError(Exception):
    """A signal came to one of the processes."""


class Examiner:
    """Judges policies by the examination, in one engine or in several; the processes share the commands.

    A signal ends an examination in all processes after the same control step, without a verdict.

    Args:
        envs: by engine, `ROBOTS` for each of this process's `examined_commands`; None where it has none.
        processes: this process among those that train together.
        seed: of what the robots meet in every examination.
        control_dt: s, of the robots of all processes.
    """

    def __init__(self, envs: Mapping[str, BipedEnv | None], processes: Processes, seed: int, control_dt: float) -> None:
        self._envs = envs
        self._processes = processes
        self._seed = seed
        self._steps = round(SECONDS / control_dt)
        self._step = 0

    def __call__(self, policy: RecurrentActorCritic) -> Verdict:
        """Examine the policy without exploration. Of several engines the one in which it does worst gives the score."""
        verdicts = {}
        for engine, env in self._envs.items():
            self._step = 0
            try:
                own = self._examine(policy, env)
            except ExaminationInterruptedError:
                return Verdict(-math.inf, {}, "interrupted")
            verdicts[engine] = judge([summary for part in self._processes.gather(own) for summary in part])
        if self._processes.rank:
            return Verdict(-math.inf, {}, "")
        first, *others = verdicts
        metrics = dict(verdicts[first].metrics)
        for engine in others:
            metrics |= {f"{engine}/{name}": value for name, value in verdicts[engine].metrics.items()}
        lines = [f"{engine}: {verdict.summary}" if others else verdict.summary for engine, verdict in verdicts.items()]
        return Verdict(min(verdict.score for verdict in verdicts.values()), metrics, "; ".join(lines))

    def _examine(self, policy: RecurrentActorCritic, env: BipedEnv | None) -> list[GaitSummary]:
        if env is None:
            for _ in range(self._steps):
                self._after_step()
            return []
        env.seed(self._seed)
        if policy.log_std.device.type != env.device.type:
            policy = deepcopy(policy).to(env.device)
        agent, commands = TrainedAgent(policy, env.num_envs), examined_commands(self._processes)
        return examine(agent, env, commands, seconds=SECONDS, warmup_s=WARMUP_S, after_step=self._after_step)

    def _after_step(self) -> None:
        self._step += 1
        if self._step % CHECK_STEPS == 0 and self._processes.any(requested() is not None):
            raise ExaminationInterruptedError


def judge(summaries: list[GaitSummary]) -> Verdict:
    """What the examination in one engine found; nothing on other ranks than 0."""
    if not summaries:
        return Verdict(-math.inf, {}, "")
    summaries = sorted(summaries, key=lambda summary: COMMANDS.index(summary.command))
    criteria = WalkingCriteria()
    return Verdict(score(summaries, criteria), means(summaries, criteria), result_line(summaries, criteria))


def examined_commands(processes: Processes) -> tuple[Command, ...]:
    """The commands that this process examines policies in."""
    return COMMANDS[processes.rank :: processes.count]


def build_examiner(experiment: Experiment, processes: Processes, parts: Parts) -> Evaluator | None:
    """What judges the policy while it trains; None without examinations.

    Raises:
        ValueError: an engine is missing.
    """
    if experiment.eval_freq is None:
        return None
    commands = examined_commands(processes)
    seed = derive_seed(experiment.seed, "examination", processes.rank)
    envs: dict[str, BipedEnv | None] = dict.fromkeys(experiment.eval_simulators)
    for engine in experiment.eval_simulators if commands else ():
        physics = physics_of(engine, experiment)
        simulator = parts.simulator(engine, ROBOTS * len(commands), physics, processes.device)
        envs[engine] = parts.environment(simulator, examination_config(experiment.env, SECONDS), seed)
    return Examiner(envs, processes, seed, experiment.simulation.control_dt)
