"""Numbers that are not numbers, numbers that explode, and an environment that raises."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.fault_harness import PPO, PREFIX, Result, make_trainer, resumes, survey, weights_are_finite
from benchmarks.recall_env import RecallEnv
from ppo.checkpoint.folder import CheckpointFolder
from ppo.env import Step
from ppo.learner import Learner, TrainingFailedError

NUM_ENVS = 64
LEARNING = replace(PPO, n_epochs=4)
UPDATES = 60
"""Updates of a training; without a fault they suffice to remember."""
BROKEN_STEPS = range(10 * PPO.n_steps, 20 * PPO.n_steps)
"""Control steps in which the fault lasts, where it passes."""
NAN, HUGE = math.nan, 1e30


class BreakingEnv(RecallEnv):
    """The recall task, with something broken in some control steps."""

    def __init__(self, break_step: Callable[[Step], Step], broken_steps: range, seed: int) -> None:
        super().__init__(NUM_ENVS, seed=seed)
        self.break_step, self.broken_steps, self.count = break_step, broken_steps, 0

    def step(self, action: Tensor) -> Step:
        """One step of the task, broken if it is its turn."""
        step = super().step(action)
        broken = self.count in self.broken_steps
        self.count += 1
        return self.break_step(step) if broken else step


def spoiled(field: str, value: float, *, robots: int = NUM_ENVS) -> Callable[[Step], Step]:
    """Write `value` into a field of the first few robots."""

    def spoil(step: Step) -> Step:
        tensor = getattr(step, field).clone()
        tensor[:robots] = value
        return step._replace(**{field: tensor})

    return spoil


def number_fault(
    name: str,
    folder: Path,
    repetitions: int,
    break_step: Callable[[Step], Step],
    *,
    broken_steps: range = BROKEN_STEPS,
    break_learner: Callable[[Learner], None] = lambda learner: None,
) -> Result:
    """Train on broken numbers; weights must stay finite, and training must recover or stop with its message."""
    lost = unreadable = resumed = finite = 0
    returns: list[float] = []
    stopped: set[str] = set()
    for seed in range(repetitions):
        run = folder / str(seed)
        run.mkdir(parents=True)
        saved: list[Path] = []
        checkpoints = CheckpointFolder(run, PREFIX, warn=lambda line: None, saved=saved.append)
        env = BreakingEnv(break_step, broken_steps, seed)
        steps = NUM_ENVS * LEARNING.n_steps
        trainer = make_trainer(env, checkpoints, UPDATES * steps, save_freq=10 * steps, ppo=LEARNING, seed=seed)
        break_learner(trainer.learner)
        try:
            trainer.train()
            total, count = trainer.learner.collector.episodes.sums()
            returns.append(float(total[0] / count))
        except TrainingFailedError as error:
            stopped.add(str(error).partition(";")[0])
        found = survey(run)
        finite += weights_are_finite(trainer.learner)
        lost += len(saved) - len(found.steps)
        unreadable += found.unreadable
        resumed += resumes(run, partial(RecallEnv, NUM_ENVS), LEARNING)
    outcome = [f"weights finite in {finite} of {repetitions}"]
    if returns:
        outcome.append(f"recovered, return {min(returns):.2f} or better in {len(returns)}")
    outcome += [f'stopped: "{message}"' for message in sorted(stopped)]
    return Result(name, repetitions, lost, unreadable, resumed, "; ".join(outcome))


def spoil_gradients(learner: Learner) -> None:
    """Make every gradient of the first parameter NaN while the environment's fault lasts."""
    env = learner.env
    assert isinstance(env, BreakingEnv)
    parameter = next(learner.policy.parameters())
    parameter.register_hook(
        lambda gradient: torch.full_like(gradient, NAN) if env.count in env.broken_steps else gradient
    )


def raising_env(folder: Path, repetitions: int) -> Result:
    """An environment that raises in the middle of a rollout."""
    lost = unreadable = resumed = raised = saved_whole = 0

    def explode(step: Step) -> Step:
        raise RuntimeError("the simulator has failed")

    for seed in range(repetitions):
        run = folder / str(seed)
        run.mkdir(parents=True)
        saved: list[Path] = []
        checkpoints = CheckpointFolder(run, PREFIX, warn=lambda line: None, saved=saved.append)
        at = 10 * PPO.n_steps + seed % PPO.n_steps
        env = BreakingEnv(explode, range(at, at + 1), seed)
        trainer = make_trainer(env, checkpoints, UPDATES * NUM_ENVS * PPO.n_steps, seed=seed)
        try:
            trainer.train()
        except RuntimeError as error:
            raised += "simulator has failed" in str(error)
        found = survey(run)
        saved_whole += max(found.steps) == at // PPO.n_steps * PPO.n_steps * NUM_ENVS
        lost += len(saved) - len(found.steps)
        unreadable += found.unreadable
        resumed += resumes(run, partial(RecallEnv, NUM_ENVS))
    return Result(
        "environment raises in step",
        repetitions,
        lost,
        unreadable,
        resumed,
        f"the exception reached the caller in {raised}; every update before it was saved in {saved_whole}",
    )


def number_faults(folder: Path, repetitions: int) -> Iterator[Result]:
    """All faults of numbers, then the environment that raises."""
    always = range(10**9)
    faults: list[tuple[str, Callable[[Step], Step], range]] = [
        ("observation of one robot NaN, always", spoiled("observation", NAN, robots=1), always),
        ("all observations NaN for 10 updates", spoiled("observation", NAN), BROKEN_STEPS),
        ("all observations infinite for 10 updates", spoiled("observation", math.inf), BROKEN_STEPS),
        ("all observations 1e30 for 10 updates", spoiled("observation", HUGE), BROKEN_STEPS),
        ("final observations NaN for 10 updates", spoiled("final_observation", NAN), BROKEN_STEPS),
        ("all rewards NaN for 10 updates", spoiled("reward", NAN), BROKEN_STEPS),
        ("all rewards 1e30 for 10 updates", spoiled("reward", HUGE), BROKEN_STEPS),
        ("all rewards -1e30 for 10 updates", spoiled("reward", -HUGE), BROKEN_STEPS),
        ("reward of one robot 1e15 for 10 updates", spoiled("reward", 1e15, robots=1), BROKEN_STEPS),
        ("all rewards 1e38 for ever", spoiled("reward", 1e38), always),
    ]
    for number, (name, break_step, broken_steps) in enumerate(faults):
        run = folder / f"fault-{number}"
        yield number_fault(name, run, repetitions, break_step, broken_steps=broken_steps)
    yield number_fault(
        "gradient NaN for 10 updates",
        folder / "gradient",
        repetitions,
        lambda step: step,
        break_learner=spoil_gradients,
    )
    yield raising_env(folder / "raising", 4 * repetitions)
