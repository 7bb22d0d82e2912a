"""Which trainings the seeds of an experiment are, new ones and those that go on."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from app.build import Parts
from app.command_line import asks_for_help, explain, fail, flags_given
from app.experiment import CHECKPOINT_PREFIX, Experiment
from app.preparation import Training, prepare
from app.process_group import cpu_cores
from app.run_configuration import stored_name
from app.train_flags import UNLIKE_DEFAULT, starting_point
from configs.presets import PRESETS
from ppo.checkpoint.folder import newest_checkpoint
from ppo.checkpoint.run_folder import newest_run_folder, run_folders
from ppo.processes import launched_by_torchrun


class SeedRun(NamedTuple):
    """The training with one seed."""

    seed: int
    name: str
    words: list[str]
    """What makes it of the command line for all seeds when it is added there."""
    training: Training
    """Without its model: those of all seeds would be in memory as long as they train."""
    is_complete: bool
    """It has been trained for as long as is asked for."""
    earlier: frozenset[Path]
    """Folders of that name that are another run's."""

    def folder(self) -> Path | None:
        """The folder of the run; None as long as it has none."""
        found = run_folders(self.training.experiment.log_dir, self.name, stored_name)
        own = [folder for folder in found if folder not in self.earlier]
        return self.training.folder or (own[-1] if own else None)


def asked(arguments: Sequence[str]) -> Mapping[str, Any] | None:
    """What the command line says of the seeds, their runs and folders; None where it asks for one training."""
    if asks_for_help(arguments):
        return None
    unlike = dataclasses.replace(UNLIKE_DEFAULT, seeds=2, seed=2, wandb_run_name="other")
    names = ("seeds", "seed", "preset", "exp_name", "log_dir", "continue_training", "wandb_run_name")
    given = flags_given(Experiment, (PRESETS["default"], unlike), arguments, *names, "config")
    # What is below 1 is refused where all flags are read.
    if given.get("seeds", 1) <= 1:
        return None
    default = starting_point(given)
    return {name: getattr(default, name) for name in names} | given


def plan(arguments: Sequence[str], given: Mapping[str, Any], parts: Parts) -> list[SeedRun]:
    """The runs of all seeds, each of which can begin; what is wrong with one ends the program with one line.

    Args:
        arguments: the command line.
        given: what `asked` found in it.
        parts: what the trainings are built of.
    """
    if launched_by_torchrun():
        fail("--seeds starts a program for each seed by itself; leave out torchrun, or train one seed with --seed")
    try:
        dataclasses.replace(Experiment(), seeds=given["seeds"])
    except ValueError as error:
        fail(explain(Experiment, error))
    names = {seed: seed_name(given["exp_name"], seed) for seed in range(given["seed"], given["seed"] + given["seeds"])}
    anew = {name: why_anew(given["log_dir"], name) for name in names.values() if given["continue_training"]}
    if anew and all(anew.values()):
        fail(f"--continue-training: {next(iter(anew.values()))}; train first, or choose a run with --exp-name")
    runs = []
    for seed, name in names.items():
        words = ["--seeds=1", f"--seed={seed}", f"--exp-name={name}"]
        if given["wandb_run_name"] is not None:
            words.append(f"--wandb-run-name={seed_name(given['wandb_run_name'], seed)}")
        if anew.get(name):
            words.append("--no-continue-training")
        training = prepare([*arguments, *words], parts)
        found = run_folders(training.experiment.log_dir, name, stored_name)
        earlier = frozenset(found) - {training.folder}
        runs.append(SeedRun(seed, name, words, training._replace(model=None), training.is_complete, earlier))
    return runs


def seed_name(name: str, seed: int) -> str:
    """What the run with a seed is called."""
    return f"{name}_seed{seed}"


def why_anew(log_dir: Path, name: str) -> str | None:
    """Why no run of this name can go on; None if one can."""
    try:
        newest_checkpoint(newest_run_folder(log_dir, name, stored_name), CHECKPOINT_PREFIX, lambda line: None)
    except ValueError as error:
        return str(error)
    return None


class Share(NamedTuple):
    """How trainings share the machine."""

    at_once: int
    """Trainings at the same time."""
    threads: int
    """Of each of their processes."""


def share_of_machine(training: Training, count: int) -> Share:
    """How `count` trainings share the machine: as many at once as it has cores for, on a GPU one after the other."""
    cores = cpu_cores()
    at_once = 1 if training.device.type == "cuda" else max(1, min(count, cores // training.process_count))
    threads = max(1, cores // (at_once * training.process_count))
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return Share(at_once, min(threads, int(wanted)) if wanted.isdecimal() and int(wanted) else threads)
