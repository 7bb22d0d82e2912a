"""From the command line of a training to one that can begin, or to one line that says why it cannot."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from app.build import Parts
from app.command_line import about, explain, fail
from app.experiment import Experiment
from app.load import check_fits
from app.process_group import check_division, choose_device, resolve_processes, resolve_robots
from app.train_flags import read_command_line
from biped.env_config import check_robot
from biped.robots.robot import Robot
from biped.robots.robot_file import load_robot
from biped.task.observations import critic_only_columns, observation_fields
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.policy import check_privileged
from ppo.report.logging import require_wandb
from ppo.runtime import Precision


class Training(NamedTuple):
    """A training of which everything is known to go together; nothing has been written yet."""

    experiment: Experiment
    folder: Path | None
    """Of the run that is continued; None for a new one."""
    model: Sb3Model | None
    """What it goes on from, if anything."""
    parts: Parts
    device: torch.device
    precision: Precision
    process_count: int
    """Of this training, all nodes together."""

    @property
    def is_complete(self) -> bool:
        """Whether the model has been trained for as long as is asked for."""
        return self.model is not None and self.model.num_timesteps >= self.experiment.total_timesteps


def prepare(arguments: Sequence[str], parts: Parts) -> Training:
    """Read the command line and check that all of it goes together; what does not ends the program with one line."""
    experiment, folder, model = read_command_line(arguments)
    try:
        with about("--robot"):
            parts = dataclasses.replace(parts, robot=load_robot(experiment.robot))
        device = choose_device(experiment, parts.engines[experiment.simulator])
        with about(f"--precision {experiment.precision}"):
            precision = Precision.resolve(experiment.precision, device)
        count = resolve_processes(experiment, device)
        experiment = resolve_robots(experiment, parts.robot, device, count)
        check_division(experiment, count)
        check_robot(experiment.env, parts.robot)
        if critic_only_columns(observation_fields(parts.robot, experiment.env.observations)):
            check_privileged(experiment.policy)
        if model is not None:
            check_model(experiment, model, parts.robot)
        if experiment.wandb:
            with about("--wandb"):
                require_wandb()
    except ValueError as error:
        fail(explain(Experiment, error))
    return Training(experiment, folder, model, parts, device, precision, count)


def check_model(experiment: Experiment, model: Sb3Model, robot: Robot) -> None:
    """Check that a model can go on in an experiment.

    Raises:
        ValueError: it is of another robot or task, or has learned from other observations.
    """
    check_fits(model, experiment.env, robot)
    if experiment.ppo.normalize_observation and "normalizer" not in (model.own_state or {}):
        raise ValueError(
            "--ppo.normalize-observation: the model has learned from observations as they are; leave it out, or begin "
            "a new training"
        )
