"""The command line of training: the experiment, and the run or the model that it goes on from."""

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.command_line import asks_for_help, explain, fail, flags_given, parse
from app.configuration_file import read_configuration
from app.experiment import CHECKPOINT_PREFIX, Experiment, from_plain, to_plain
from app.run_configuration import stored_name
from configs.presets import PRESETS
from ppo import processes as process_group
from ppo.checkpoint.folder import newest_checkpoint
from ppo.checkpoint.run_folder import newest_run_folder
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.checkpoint.sb3_zip import read_zip

DESCRIPTION = "Train a two-legged robot to walk with recurrent PPO. Flags may be written with - or _."


def read_command_line(arguments: Sequence[str]) -> tuple[Experiment, Path | None, Sb3Model | None]:
    """The experiment, and the run folder and the model to continue from, if any."""
    given = flags_given(
        Experiment,
        (PRESETS["default"], UNLIKE_DEFAULT),
        arguments,
        *("preset", "continue_training", "load_model", "config", "exp_name", "log_dir"),
        *("adaptive_lr", "ppo.lr.schedule", "processes"),
    )
    default, folder, model = starting_point(given), None, None
    if given.get("continue_training") and not asks_for_help(arguments):
        if given.get("load_model") is not None:
            fail("--continue-training goes on from a run's own newest model, --load-model from another; leave out one")
        if given.get("config") is not None:
            fail("--continue-training goes on with the configuration that the run had; leave out --config")
        default, folder, model = find_run(given, default)
    elif given.get("load_model") is not None:
        try:
            model = read_zip(given["load_model"])
        except CheckpointError as error:
            fail(f"--load-model: {error}")
    if model is not None:
        default = dataclasses.replace(default, policy=model.policy)
    default = dataclasses.replace(default, adaptive_lr=default.ppo.lr.schedule == "adaptive")
    if given.get("adaptive_lr") is False and default.adaptive_lr:
        # Before parsing, because the adaptive schedule limits the learning rate that may be asked for.
        default = default.with_schedule("constant")
    experiment = parse(Experiment, default, arguments, program="train.py", description=DESCRIPTION)
    check_reading(experiment, default, given)
    if process_group.launched_by_torchrun() and given.get("processes", "auto") != "auto":
        count = int(os.environ["WORLD_SIZE"])
        if given["processes"] != count:
            fail(f"--processes {given['processes']}: torchrun has started {count}; leave the flag out")
    if model is not None:
        check_network(experiment, model)
    if folder is not None:
        # The folder may be called otherwise, by a number or by hand, and the run keeps its name.
        experiment = dataclasses.replace(experiment, exp_name=default.exp_name)
    if experiment.robot.endswith((".yaml", ".yml")):
        # The run is continued and played from other folders, too.
        experiment = dataclasses.replace(experiment, robot=str(Path(experiment.robot).resolve()))
    return with_shorthand(experiment, given), folder, model


UNLIKE_DEFAULT = dataclasses.replace(
    PRESETS["default"].with_schedule("adaptive"),
    preset="smoke",
    continue_training=True,
    load_model=Path("other"),
    config=Path("other"),
    exp_name="other",
    log_dir=Path("other"),
    processes="auto",
)
"""Differs from the default in all that must be known before the other flags are read."""


def starting_point(given: Mapping[str, Any]) -> Experiment:
    """What the other flags start from: a file's values, or a preset's."""
    if given.get("config") is None:
        return PRESETS[given.get("preset", "default")]
    try:
        experiment = read_configuration(given["config"])
    except ValueError as error:
        fail(f"--config: {error}")
    if given.get("preset", experiment.preset) != experiment.preset:
        fail(
            f"--preset {given['preset']}: the values come from {given['config']}, which starts from the preset "
            f"{experiment.preset}; leave the flag out, or write `preset: {given['preset']}` there"
        )
    return experiment


def find_run(given: Mapping[str, Any], preset: Experiment) -> tuple[Experiment, Path, Sb3Model]:
    """What `--continue-training` goes on with: the run's configuration, folder and newest model."""
    name, log_dir = given.get("exp_name", preset.exp_name), given.get("log_dir", preset.log_dir)
    try:
        folder = newest_run_folder(log_dir, name, stored_name)
        _, model = newest_checkpoint(folder, CHECKPOINT_PREFIX, lambda line: print(line, file=sys.stderr))
        if model.own_facts and "config" in model.own_facts:
            try:
                stored = from_plain(model.own_facts["config"])
            except ValueError as error:
                fail(f"--continue-training: {folder}: {error}; start a new run from its model with --load-model")
            if given.get("preset", stored.preset) != stored.preset:
                fail(
                    f"--preset {given['preset']}: the run in {folder} was started with --preset {stored.preset}; leave "
                    "the flag out, or start a new run with --load-model"
                )
        else:
            stored = dataclasses.replace(preset, exp_name=name)
    except CheckpointError as error:
        fail(f"--continue-training: {error}; train first, or start from a checkpoint with --load-model")
    except ValueError as error:
        fail(f"--continue-training: {error}; train first, or choose a run with --exp-name")
    return dataclasses.replace(stored, log_dir=log_dir, continue_training=True), folder, model


def check_reading(experiment: Experiment, default: Experiment, given: Mapping[str, Any]) -> None:
    """Check that the flags which were read ahead were read as the parser read them in the end."""
    for name in ("preset", "continue_training", "load_model", "config", "exp_name", "log_dir"):
        if getattr(experiment, name) != given.get(name, getattr(default, name)):
            flag = f"--{name.replace('_', '-')}"
            fail(f"{flag} cannot be told apart from the value of another flag; write {flag}=VALUE and put it first")


def check_network(experiment: Experiment, model: Sb3Model) -> None:
    """Check that no flag asks for another network than the model's."""
    for field in dataclasses.fields(model.policy):
        wanted, present = (to_plain(getattr(policy, field.name)) for policy in (experiment.policy, model.policy))
        if wanted != present:
            shown = [" ".join(map(str, value)) if isinstance(value, list) else value for value in (wanted, present)]
            fail(
                f"--policy.{field.name.replace('_', '-')} {shown[0]}: the network comes with the model, which has "
                f"{shown[1] or 'none'}; leave the flag out"
            )


def with_shorthand(experiment: Experiment, given: Mapping[str, Any]) -> Experiment:
    """Carry `--adaptive-lr` and `--no-adaptive-lr` into the schedule of the learning rate."""
    asked, schedule = given.get("adaptive_lr"), given.get("ppo.lr.schedule")
    if asked is not None and schedule is not None and asked != (schedule == "adaptive"):
        fail(f"--{'' if asked else 'no-'}adaptive-lr contradicts --ppo.lr.schedule {schedule}; leave out one of them")
    try:
        return experiment.with_schedule("adaptive" if asked else experiment.ppo.lr.schedule)
    except ValueError as error:
        fail(explain(Experiment, error))
