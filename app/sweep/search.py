"""The search: which values are tried next, when a training is given up, and what the best ones are."""

import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from app.experiment import Experiment, to_plain
from app.next_command import command
from app.sweep.training_run import Ended, follow
from app.sweep.varied import Varied
from ppo.checkpoint.atomic import atomic_write
from ppo.program.interruption import deferred, requested

DATABASE = "study.db"
BEST = "best.yaml"
RETRY = "retry_of"
"""Attribute of a trial that does again what an interrupted one, of this number, did not finish."""
SHOWN = 10
"""Trials in the table at the end."""


@dataclass(frozen=True)
class Sweep:
    """A search and where it is kept."""

    folder: Path
    """Holds the study, the runs, what they printed, and the best configuration."""
    varied: tuple[Varied, ...]
    trials: int
    """To be made in all."""
    startup_trials: int
    """Trials that are trained to their end before others are compared with them."""
    program: tuple[str, ...]
    """Runs a training when flags are added to it."""
    read: Callable[[Sequence[str]], Experiment]
    """The experiment of a training when these flags are added to it."""

    def words(self, params: Mapping[str, Any]) -> list[str]:
        """The flags of a training with these values."""
        return [word for one in self.varied if one.flag in params for word in one.words(params[one.flag])]

    def run_folder(self, number: int) -> Path:
        """Folder of the run of a trial."""
        return self.folder / f"trial_{number}"


def run_sweep(sweep: Sweep, arguments: Sequence[str]) -> int:
    """Make the trials that are left, and say what the best ones are; returns the exit code.

    Args:
        sweep: what is searched.
        arguments: what the trials are made with, which must be the same when a sweep goes on.

    Raises:
        ValueError: the folder holds something else, or its study cannot be read or written.
        OSError: something cannot be written to the folder.
    """
    try:
        study = open_study(sweep, arguments)
        if made(study):
            print(f"going on in {sweep.folder} after {made(study)} of {sweep.trials} trials")
        with deferred():
            search(sweep, study)
        trials = study.get_trials()
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = " ".join(str(error.__cause__ or error).split())
        raise ValueError(f"the study in {sweep.folder} cannot be read or written: {cause}") from None
    if requested() is not None and made(study) < sweep.trials:
        print(f"interrupted after {made(study)} of {sweep.trials} trials; the same command goes on")
    best = ranking(trials)[:1]
    if best:
        Console().print(table(sweep, trials))
    if best and best[0].state is TrialState.COMPLETE:
        print(f"train with them: {command('train.py', options={'--config': sweep.folder / BEST})}")
        model = sweep.run_folder(best[0].number) / "model_best.zip"
        print(f"see it walk: {command('play.py', options={'--checkpoint': model})}")
    elif requested() is None:
        print(f"no trial has come to a good end; the files {sweep.folder}/trial_*.log say why", file=sys.stderr)
        return 1
    number = requested()
    return 128 + number if number else 0


def open_study(sweep: Sweep, arguments: Sequence[str]) -> optuna.Study:
    """The study in the folder of a sweep, a new one if there is none.

    Raises:
        ValueError: the folder holds something else.
    """
    database = sweep.folder / DATABASE
    if not database.exists() and any(sweep.folder.glob("trial_*")):
        raise ValueError(f"{sweep.folder} holds trials but no {DATABASE}; choose another folder")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="sweep",
        storage=URL.create("sqlite", database=str(database)).render_as_string(),
        direction="maximize",
        sampler=optuna.samplers.TPESampler(),
        pruner=optuna.pruners.MedianPruner(sweep.startup_trials),
        load_if_exists=True,
    )
    known = study.user_attrs.get("arguments", list(arguments))
    if known != list(arguments):
        raise ValueError(f"{sweep.folder} holds a sweep with {shlex.join(known)}; give the same, or another folder")
    study.set_user_attr("arguments", known)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        # Whoever made it was killed.
        retry(study, trial)
    return study


def retry(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> None:
    """Give up a trial that was interrupted, and let another try the same values."""
    study.tell(trial.number, state=TrialState.FAIL)
    study.enqueue_trial(dict(trial.params), user_attrs={RETRY: trial.number})


def made(study: optuna.Study) -> int:
    """Trials that came to an end of their own; an interrupted one and the one in its place count as one."""
    trials = study.get_trials(deepcopy=False)
    return sum(trial.state.is_finished() for trial in trials) - sum(RETRY in trial.user_attrs for trial in trials)


def search(sweep: Sweep, study: optuna.Study) -> None:
    """Make trials until there are enough or a signal comes; within `ppo.program.interruption.deferred`.

    Raises:
        OSError: the best configuration cannot be written.
    """
    while requested() is None and made(study) < sweep.trials:
        trial = study.ask({one.flag: one.distribution for one in sweep.varied})
        folder = sweep.run_folder(trial.number)
        flags = sweep.words(trial.params)
        values = zip(titles(sweep.varied), shown(sweep, trial.params), strict=True)
        print(f"trial {trial.number}: {', '.join(map(' '.join, values))}", flush=True)
        command = [*sweep.program, *flags, "--exp-name", folder.name, "--log-dir", str(sweep.folder)]
        report = reporter(trial)
        ended = follow(command, folder, report)
        report(ended.scores)
        if ended.code and not ended.stopped and requested() is not None:
            retry(study, trial)
            continue
        print(f"trial {trial.number}: {finish(study, trial, ended, folder)}", flush=True)
        if ended.code == 0 and ended.scores and study.best_trial.number == trial.number:
            write_best(sweep, study.best_trial)


def reporter(trial: optuna.Trial) -> Callable[[list[float]], bool]:
    """What reports new scores of a trial to the study, and says whether they are hopeless."""
    reported = 0

    def ask(scores: list[float]) -> bool:
        nonlocal reported
        for number in range(reported, len(scores)):
            trial.report(scores[number], number)
        reported = len(scores)
        return trial.should_prune()

    return ask


def finish(study: optuna.Study, trial: optuna.Trial, ended: Ended, folder: Path) -> str:
    """Tell the study how a training ended; returns the same in words."""
    count = f"{len(ended.scores)} examination{'' if len(ended.scores) == 1 else 's'}"
    if ended.code == 0 and ended.scores:
        study.tell(trial, max(ended.scores))
        return f"{max(ended.scores):.2f} points, the best of {count}"
    if ended.stopped:
        study.tell(trial, state=TrialState.PRUNED)
        return f"stopped with {max(ended.scores):.2f} points, as its {count} fell behind the other trials"
    study.tell(trial, state=TrialState.FAIL)
    log = folder.with_name(f"{folder.name}.log")
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    reason = f"exit code {ended.code}" if ended.code else "no examination"
    return f"failed, {reason}: {''.join(last)[:200]} (see {log})"


def write_best(sweep: Sweep, trial: FrozenTrial) -> None:
    """Write the configuration of a trial as a file that `train.py --config` takes.

    Raises:
        OSError: it cannot be written.
    """
    facts = {"trial": trial.number, "points": trial.value, "varied": dict(trial.params)}
    experiment = to_plain(sweep.read(sweep.words(trial.params)))
    with atomic_write(sweep.folder / BEST) as file:
        file.write(yaml.safe_dump({"experiment": experiment, "sweep": facts}, sort_keys=False).encode())


def ranking(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that have scores, the best first: those that were completed, then those that were stopped."""

    def key(trial: FrozenTrial) -> tuple[bool, float]:
        return trial.state is TrialState.COMPLETE, _points(trial)

    scored = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    return sorted(scored, key=key, reverse=True)


def table(sweep: Sweep, trials: Sequence[FrozenTrial]) -> Table:
    """The best trials and their values."""
    result = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for title in ("trial", "points", "examined", *titles(sweep.varied)):
        result.add_column(title, justify="right")
    for trial in ranking(trials)[:SHOWN]:
        examined = f"{len(trial.intermediate_values)}{'' if trial.state is TrialState.COMPLETE else ', stopped'}"
        result.add_row(str(trial.number), f"{_points(trial):.2f}", examined, *shown(sweep, trial.params))
    return result


def titles(varied: Sequence[Varied]) -> Iterator[str]:
    """Names of the flags, as short as they are unlike each other."""
    last = [one.flag.rpartition(".")[2] for one in varied]
    for one, title in zip(varied, last, strict=True):
        yield title if last.count(title) == 1 else one.flag


def shown(sweep: Sweep, params: Mapping[str, Any]) -> Iterator[str]:
    """The values of a trial for a person."""
    for one in sweep.varied:
        value = params.get(one.flag, "")
        yield f"{value:.4g}" if isinstance(value, float) else str(value)


def _points(trial: FrozenTrial) -> float:
    return max(trial.intermediate_values.values(), default=-math.inf)
