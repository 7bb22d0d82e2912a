"""What a training takes over from a model or from its own earlier part, and that all processes take over the same."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.experiment import Experiment, changed_flags, to_plain
from ppo.checkpoint.sb3_model import Sb3Model, bounds_conflict
from ppo.learner import Learner
from ppo.processes import Processes

ROBOT_FLAGS = ("--robot", "--env.", "--simulator", "--simulation.", "--seed", "--num-envs", "--processes")
"""What robots and random numbers depend on: a run that continues with other values gets new ones."""


def check_agreement(experiment: Experiment, model: Sb3Model | None, processes: Processes) -> None:
    """Check that all processes train the same model in the same way.

    Raises:
        ValueError: they do not, for instance because their machines have other files.
    """
    place = {"device": "", "load_model": None, "config": None, "log_dir": "", "verbose": False}
    ours = hashlib.sha256(json.dumps({**to_plain(experiment), **place}).encode())
    if model is not None:
        for parameter in model.parameters.values():
            ours.update(parameter.numpy().tobytes())
    steps = "a new model" if model is None else f"a model of {model.num_timesteps:,} steps"
    digests = processes.share((ours.hexdigest(), steps))
    for rank, (digest, description) in enumerate(digests):
        if digest != digests[0][0]:
            raise ValueError(
                f"the training processes disagree: rank 0 begins with {digests[0][1]}, rank {rank} with {description}, "
                "of other weights or with other flags; give every machine the same files and flags"
            )


def go_on(learner: Learner, experiment: Experiment, model: Sb3Model) -> Iterator[str]:
    """Let the learner start from a model or continue its run; says in a line each what happens.

    Raises:
        CheckpointError: the environments take none of the model's actions, or its actor sees what only the critic may.
    """
    if not experiment.continue_training:
        learner.start_from(model)
        yield f"starting from {experiment.load_model}: its weights, optimiser and {model.num_timesteps:,} steps"
    else:
        why = why_anew(learner, experiment, model.own_facts or {})
        if learner.restore(model, environments=not why):
            yield f"continuing at {model.num_timesteps:,} steps"
        else:
            yield f"continuing at {model.num_timesteps:,} steps; the robots start new episodes{why}"
        if experiment.ppo.replay > 1:
            yield "the rollouts to replay are collected anew, so the run differs from an uninterrupted one"
    conflict = bounds_conflict(model, learner.env.action_low.tolist(), learner.env.action_high.tolist())
    if conflict is not None:
        yield conflict


def why_anew(learner: Learner, experiment: Experiment, facts: Mapping[str, Any]) -> str:
    """Why the robots of a checkpoint with these facts cannot go on, to stand behind what follows; empty if they can."""
    device = learner.env.device.type
    if facts.get("device", device) != device:
        return f", because the run comes from {facts['device']}, whose random numbers {device} does not have"
    changed = changed_flags(facts.get("config", to_plain(experiment)), experiment)
    flags = " ".join(flag for flag in changed if flag.startswith(ROBOT_FLAGS))
    return f", because these have changed: {flags}" if flags else ""
