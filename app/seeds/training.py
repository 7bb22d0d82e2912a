"""Training over several seeds, from the command line to the table at its end."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from app.build import Parts
from app.next_command import command
from app.seeds.children import Child, run_side_by_side
from app.seeds.plan import SeedRun, plan, seed_name, share_of_machine
from app.seeds.screen import Board, results
from ppo.program.interruption import SIGNALS

COMPLETE = "complete"


def train_seeds(arguments: Sequence[str], given: Mapping[str, Any], parts: Parts) -> int:
    """Train with every seed in a program of its own; returns the exit code.

    Args:
        arguments: the command line.
        given: what `app.seeds.plan.asked` found in it.
        parts: what the trainings are built of, to check that they can begin.
    """
    runs = plan(arguments, given, parts)
    states = {run.seed: COMPLETE if run.is_complete else "not begun" for run in runs}
    open_runs = [run for run in runs if not run.is_complete]
    children = {label(run): Child(label(run), [sys.executable, *sys.orig_argv[1:], *run.words]) for run in open_runs}
    seeds = {label(run): run.seed for run in runs}
    number = None

    def ended(child: Child) -> None:
        states[seeds[child.name]] = state = state_of(child.code)
        board.end(child.name, state)

    with Board(list(children)) as board:
        for run in runs:
            if run.is_complete:
                board.message(f"{label(run)}: complete in {run.training.folder}")
        if open_runs:
            at_once, threads = share_of_machine(open_runs[0].training, len(open_runs))
            board.message(
                f"training {len(open_runs)} seeds, {at_once} at a time, processes of {threads} "
                f"thread{'' if threads == 1 else 's'} each"
            )
            environment = {"OMP_NUM_THREADS": str(threads)}
            number = run_side_by_side(list(children.values()), at_once, environment, board.say, ended)
    board.show(results(runs, states))
    board.message(next_step(arguments, given, runs, states))
    failed = [child for child in children.values() if states[seeds[child.name]].startswith("failed")]
    for child in failed:
        print(f"error: {child.name} failed: {child.last_line}", file=sys.stderr)
    if number is not None:
        return 128 + number
    return int(any(state != COMPLETE for state in states.values()))


def label(run: SeedRun) -> str:
    """What a run is called on the screen."""
    return f"seed {run.seed}"


def state_of(code: int | None) -> str:
    """How a training has ended, in words, given its exit code."""
    if code == 0:
        return COMPLETE
    # What a training ends with after a signal that it heeds.
    return "interrupted" if (code or 0) - 128 in SIGNALS else f"failed with exit code {code}"


def next_step(
    arguments: Sequence[str], given: Mapping[str, Any], runs: Sequence[SeedRun], states: Mapping[int, str]
) -> str:
    """What to type next: go on where a seed is not complete, else see them beside each other."""
    if any(state != COMPLETE for state in states.values()):
        words = [*arguments] if given["continue_training"] else [*arguments, "--continue-training"]
        return "continue with: " + command("train.py", *words)
    common = given["log_dir"] / given["exp_name"]
    # A run of that name, without seeds, would be taken for what is meant.
    names = [seed_name(str(common), run.seed) for run in runs] if common.exists() else [str(common)]
    return "see how they learned with: " + command("play.py", "--compare", *names)
