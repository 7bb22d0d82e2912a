"""What cannot be exported, and why: every refusal is a ValueError of one line."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from app.experiment import Experiment
from app.load import Checkpoint, check_fits
from app.robot_facts import difference
from biped.env_config import check_robot
from biped.robots.robot import Robot
from ppo.policy import RecurrentActorCritic

Array: TypeAlias = NDArray[np.float32]
ExportedStep: TypeAlias = Callable[[Array, Array, Array], tuple[Array, Array, Array]]
"""From observation `[1, D]` and state `[L, 1, H]` twice to action `[1, A]` and the new state."""
TRIALS = 64
"""Observations that a policy is tried with."""
SMALLEST_CHANGE = 1e-6
"""Of an action; a policy that never moves more has learnt nothing that a robot could use."""
TOLERANCE = 1e-5
"""Largest difference between the actions of the exported policy and of PyTorch, relative where they are above 1."""


def check_task(checkpoint: Checkpoint, experiment: Experiment, robot: Robot) -> None:
    """Check that checkpoint, task and robot belong together and that the contract can say what they are.

    Raises:
        ValueError: they do not, or it cannot.
    """
    path, facts = checkpoint.path, checkpoint.model.own_facts or {}
    check_robot(experiment.env, robot)
    check_fits(checkpoint.model, experiment.env, robot, str(path))
    changed = difference(facts.get("robot", {}), robot)
    if changed is not None:
        raise ValueError(f"{path} was trained with {changed}; restore the robot's file, or train with the new one")
    for name in ("motor_strength", "stiffness", "damping"):
        factor = getattr(experiment.env.randomization, name)
        if factor is not None and not factor[0] <= 1.0 <= factor[1]:
            raise ValueError(
                f"{path} was trained with {factor[0]:g} to {factor[1]:g} times the robot's gains "
                f"(--env.randomization.{name.replace('_', '-')}), so that the gains of its contract would be wrong; "
                "train with a range around 1"
            )


def observation_size(policy: RecurrentActorCritic) -> int:
    """`D`."""
    return int(policy.state_dict()[policy.first_layers[0][0]].shape[1])


def check_policy(path: Path, policy: RecurrentActorCritic) -> None:
    """Check that the policy answers with finite actions, and not always with the same one.

    Raises:
        ValueError: it does not.
    """
    broken = [name for name, value in policy.state_dict().items() if not bool(value.isfinite().all())]
    if broken:
        raise ValueError(f"{path}: {broken[0]} holds NaN or infinite numbers; export an earlier checkpoint")
    with torch.no_grad():
        observations = torch.randn(TRIALS, observation_size(policy), generator=torch.Generator().manual_seed(0))
        state = policy.initial_state(TRIALS).actor
        actions = policy.clip(policy.act(observations, state, torch.ones(TRIALS, dtype=torch.bool))[0])
    if not bool(actions.isfinite().all()):
        raise ValueError(f"{path}: the policy answers with NaN or infinite numbers; export an earlier checkpoint")
    if float((actions - actions[0]).abs().max()) < SMALLEST_CHANGE:
        raise ValueError(
            f"{path}: the policy gives the same action whatever it observes; train it longer, or export another one"
        )


def check_agreement(path: Path, original: ExportedStep, exported: ExportedStep, policy: RecurrentActorCritic) -> None:
    """Compare the exported policy with its original over a sequence in which each carries its own memory.

    Args:
        path: of the checkpoint.
        original: one step in PyTorch.
        exported: one step of what is to be written.
        policy: for its sizes.

    Raises:
        ValueError: their actions differ by more than `TOLERANCE`.
    """
    generator = np.random.default_rng(0)
    hidden, cell = (value.numpy() for value in policy.initial_state(1).actor)
    ours, theirs = (hidden, cell), (hidden, cell)
    differences = []
    for _ in range(TRIALS):
        observation = generator.standard_normal((1, observation_size(policy))).astype(np.float32)
        expected, *after = original(observation, *ours)
        action, *exported_after = exported(observation, *theirs)
        ours, theirs = (after[0], after[1]), (exported_after[0], exported_after[1])
        differences.append(np.abs(action - expected) / np.maximum(1.0, np.abs(expected)))
    # Where there is NaN, it is NaN, and that is within no tolerance.
    largest = float(np.max(differences))
    if not largest <= TOLERANCE:
        raise ValueError(f"{path}: the exported policy differs from the original by {largest:.2g}; nothing was written")
