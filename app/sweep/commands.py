"""The command line of `biped-sweep`."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from app.command_line import fail
from app.experiment import Experiment
from app.next_command import ROOT
from app.train_flags import read_command_line
from ppo.program.one_line_parser import OneLineParser

INSTALL = "pip install -c constraints.txt -e '.[sweep]'"
DESCRIPTION = """Search for better values of flags of train.py. Each trial is a training of its own; bad ones are
stopped early, and the same command goes on where it was interrupted. Flags that are not listed here go to train.py."""


def main(arguments: Sequence[str], program: Sequence[str] | None = None) -> int:
    """Search as the command line says; returns the exit code.

    Args:
        arguments: the command line.
        program: runs a training when flags are added to it; `train.py` if not given.
    """
    options, base = _parser().parse_known_args(arguments)
    if find_spec("optuna") is None:
        fail(f"a sweep needs optuna, which is not installed: {INSTALL}")
    if options.trials < 1:
        fail(f"--trials must be at least 1, not {options.trials}")
    if options.startup_trials < 0:
        fail(f"--startup-trials must be at least 0, not {options.startup_trials}")

    def read(words: Sequence[str]) -> Experiment:
        return read_command_line([*base, *words])[0]

    check_base(read([]))
    # Only now, as it needs optuna.
    from app.sweep.search import Sweep, run_sweep
    from app.sweep.varied import Varied, read_varied

    def varied(text: str) -> Varied:
        try:
            return read_varied(text, read)
        except ValueError as error:
            fail(f"--vary {text}: {error}")

    flags = tuple(map(varied, options.vary))
    if len({one.flag for one in flags}) < len(flags):
        fail("--vary: a flag is given twice")
    program = program or (sys.executable, str(ROOT / "train.py"))
    sweep = Sweep(options.folder, flags, options.trials, options.startup_trials, (*program, *base), read)
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        with only_one(options.folder):
            return run_sweep(sweep, [*base, *(f"--vary={text}" for text in options.vary)])
    except ValueError as error:
        fail(f"--folder: {error}")
    except OSError as error:
        fail(f"{error.filename or options.folder}: {error.strerror or error}; choose another --folder, or make room")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="biped-sweep", description=DESCRIPTION, allow_abbrev=False)
    varied = "a flag of train.py and its values, FLAG=LOW..HIGH, FLAG=LOW..HIGH:log or FLAG=A,B,C; once for each flag"
    parser.add_argument("--vary", metavar="FLAG=VALUES", action="append", required=True, help=varied)
    folder = "holds the sweep and its runs (default: sweeps/biped)"
    parser.add_argument("--folder", metavar="DIR", type=Path, default=Path("sweeps/biped"), help=folder)
    trials = "trials in all (default: 20); with a larger number, a sweep that was finished goes on"
    parser.add_argument("--trials", metavar="N", type=int, default=20, help=trials)
    startup = "trials that go to their end before others are compared with them and stopped (default: 5)"
    parser.add_argument("--startup-trials", metavar="N", type=int, default=5, help=startup)
    return parser


def check_base(experiment: Experiment) -> None:
    """Check that trainings like this one have scores and a beginning of their own; a bad one ends the program."""
    if experiment.continue_training:
        fail("--continue-training: every trial is a new run; use --config for the values of an earlier one")
    if experiment.seeds > 1:
        fail("--seeds: every trial is one training; vary the seed with --vary seed=1,2,3")
    if experiment.eval_freq is None or experiment.eval_freq > experiment.total_timesteps:
        fail("--eval-freq: trials are compared by their examinations; give control steps, up to --total-timesteps")


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep others from going on with the sweep in a folder; where the system has no such locks, do nothing.

    Raises:
        ValueError: another process is at it.
        OSError: the folder cannot be written to.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"the sweep in {folder} is running already") from None
        yield
