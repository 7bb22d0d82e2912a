"""Which checkpoint to play, the task it was trained in, and whether a model fits a task."""

import sys
from pathlib import Path
from typing import NamedTuple

from app.experiment import CHECKPOINT_PREFIX, Experiment, from_plain
from app.play_flags import PlayOptions
from app.run_configuration import stored_name
from biped.env_config import EnvConfig
from biped.robots.library import BIPED
from biped.robots.robot import Robot
from biped.task.observations import observation_fields
from configs.presets import PRESETS
from ppo.checkpoint.folder import newest_checkpoint
from ppo.checkpoint.run_folder import newest_run_folder, runs_by_age
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.checkpoint.sb3_zip import read_zip
from ppo.checkpoint.vec_normalize import warn_of_normalization

SHIPPED_POLICY = BIPED.asset.with_name("walk.zip")
"""A robust walk; docs/walking.md says how it was trained and how well it walks."""


class Checkpoint(NamedTuple):
    """A file and what it holds."""

    path: Path
    model: Sb3Model


def find_checkpoint(options: PlayOptions) -> Checkpoint | None:
    """The checkpoint that the options name, or None where an agent that needs none finds none.

    Where no run is named it is one of the newest run, whatever that is called; without a run of one's own, the policy
    that comes with the project.

    Raises:
        ValueError: the file or a run cannot be found or read.
    """
    if options.checkpoint is not None:
        chosen = Checkpoint(options.checkpoint, read_zip(options.checkpoint))
        warning = warn_of_normalization(chosen.path, chosen.model) if options.agent == "trained" else None
        if warning is not None:
            print(warning, file=sys.stderr)
        return chosen
    try:
        if options.exp_name is None:
            folder = next(iter(runs_by_age(options.log_dir)), None)
        else:
            folder = newest_run_folder(options.log_dir, options.exp_name, stored_name)
    except ValueError as error:
        raise ValueError(f"{error}; train first, or choose a run with --exp-name") from None
    if folder is None:
        if options.log_dir != PlayOptions.log_dir:
            raise ValueError(f"no run in {options.log_dir} holds a checkpoint; train first, or leave out --log-dir")
        if options.agent != "trained":
            return None
        print(f"no run of yours in {options.log_dir} yet; this is the policy that comes with the project")
        return Checkpoint(SHIPPED_POLICY, read_zip(SHIPPED_POLICY))
    try:
        return Checkpoint(*newest_checkpoint(folder, CHECKPOINT_PREFIX, lambda line: print(line, file=sys.stderr)))
    except CheckpointError as error:
        if options.agent != "trained" and options.exp_name is None:
            return None
        raise ValueError(f"{error}; train first, or name one with --checkpoint") from None


def find_experiment(options: PlayOptions, checkpoint: Checkpoint | None) -> Experiment:
    """The experiment whose task is played: that of the preset asked for, else of the checkpoint, else the default.

    A checkpoint that tells no task was not written by this trainer: it is played in that of the trainer that this one
    replaces.

    Raises:
        ValueError: the checkpoint's configuration cannot be read.
    """
    # A robot that is named is another one than that of whatever checkpoint there is.
    other_robot = options.robot is not None and options.agent != "trained"
    if options.preset is None and checkpoint is not None and not other_robot:
        own_facts = checkpoint.model.own_facts or {}
        try:
            return from_plain(own_facts["config"]) if "config" in own_facts else PRESETS["reference"]
        except ValueError as error:
            raise ValueError(f"{checkpoint.path}: {error}; choose a task with --preset") from None
    return PRESETS[options.preset or "default"]


def check_fits(model: Sb3Model, config: EnvConfig, robot: Robot, whose: str = "the model") -> None:
    """Check that a policy takes the task's observations and gives its actions.

    Args:
        model: the policy.
        config: the task.
        robot: whose task it is.
        whose: what the message calls the model, such as its path.

    Raises:
        ValueError: it does not.
    """
    sizes = model.observation_dim, len(model.action_low)
    wanted = sum(field.width for field in observation_fields(robot, config.observations)), robot.num_joints
    if sizes != wanted:
        raise ValueError(
            f"{whose} is of another robot or task: it takes {sizes[0]} observations and gives {sizes[1]} actions, this "
            f"task has {wanted[0]} and {wanted[1]}; choose the task that it was trained in with --preset, or its robot "
            "with --robot"
        )
