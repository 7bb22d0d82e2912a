"""The judge of a policy while it trains: the examination of `play.py --evaluate`, with fewer robots."""

import math

from app.build import Parts
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
from ppo.interruption import requested
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
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
    """Judges policies by the examination; the processes share the commands.

    A signal ends an examination in all processes after the same control step, without a verdict.

    Args:
        env: `ROBOTS` for each of this process's `examined_commands`; None where it has none.
        processes: this process among those that train together.
        seed: of what the robots meet in every examination.
        control_dt: s, of the robots of all processes.
    """

    def __init__(self, env: BipedEnv | None, processes: Processes, seed: int, control_dt: float) -> None:
        self._env = env
        self._processes = processes
        self._seed = seed
        self._steps = round(SECONDS / control_dt)
        self._step = 0

    def __call__(self, policy: RecurrentActorCritic) -> Verdict:
        """Examine the policy without exploration."""
        self._step = 0
        try:
            own = self._examine(policy)
        except ExaminationInterruptedError:
            return Verdict(-math.inf, {}, "interrupted")
        summaries = [summary for part in self._processes.gather(own) for summary in part]
        if self._processes.rank:
            return Verdict(-math.inf, {}, "")
        summaries.sort(key=lambda summary: COMMANDS.index(summary.command))
        criteria = WalkingCriteria()
        return Verdict(score(summaries, criteria), means(summaries, criteria), result_line(summaries, criteria))

    def _examine(self, policy: RecurrentActorCritic) -> list[GaitSummary]:
        env = self._env
        if env is None:
            for _ in range(self._steps):
                self._after_step()
            return []
        env.seed(self._seed)
        agent, commands = TrainedAgent(policy, env.num_envs), examined_commands(self._processes)
        return examine(agent, env, commands, seconds=SECONDS, warmup_s=WARMUP_S, after_step=self._after_step)

    def _after_step(self) -> None:
        self._step += 1
        if self._step % CHECK_STEPS == 0 and self._processes.any(requested() is not None):
            raise ExaminationInterruptedError


def examined_commands(processes: Processes) -> tuple[Command, ...]:
    """The commands that this process examines policies in."""
    return COMMANDS[processes.rank :: processes.count]


def build_examiner(experiment: Experiment, processes: Processes, parts: Parts) -> Evaluator | None:
    """What judges the policy while it trains; None without examinations."""
    if experiment.eval_freq is None:
        return None
    commands, env = examined_commands(processes), None
    seed = derive_seed(experiment.seed, "examination", processes.rank)
    if commands:
        simulator = parts.simulator("genesis", ROBOTS * len(commands), experiment.simulation, processes.device)
        env = parts.environment(simulator, examination_config(experiment.env, SECONDS), seed)
    return Examiner(env, processes, seed, experiment.simulation.control_dt)
