"""What each part of the walking recipe contributes: `python -m benchmarks.ablation [--json FILE]`.

Trains the `cpu` preset as it is, with single parts taken out, and with ideas put in (`benchmarks.ideas`), over several
seeds, and reports how many of the eight commands pass the examination that `train.py --eval-freq` makes. Trainings run
side by side, one process each, so only control steps are compared, not seconds.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from benchmarks.ideas import IDEAS
from benchmarks.measurement import machine, make_console, make_table, print_facts, write_json
from benchmarks.side_by_side import add_options, over_seeds, run_python

REWARD = "--env.rewards."
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "everything": (),
    "without foot alternation": (f"{REWARD}foot-alternation", "0"),
    "without sinusoidal motion": (f"{REWARD}sinusoidal-motion", "0"),
    "without torso stability": (f"{REWARD}torso-stability", "0"),
    "without balance (tilt, roll and pitch rate)": (f"{REWARD}tilt", "0", f"{REWARD}roll-pitch-rate", "0"),
    "without height termination": ("--env.terminations.minimum-height", "0"),
    "without the clock's rewards": (f"{REWARD}clock-contact", "0", f"{REWARD}swing-height", "0"),
    "without the mirror": ("--env.no-mirror-left-stance",),
    "without a clock, air time instead": (
        "--env.no-mirror-left-stance",
        "--env.observations.no-clock",
        *(f"{REWARD}clock-contact", "0", f"{REWARD}swing-height", "0", f"{REWARD}foot-air-time", "2"),
    ),
    "discount 0.97": ("--ppo.gamma", "0.97"),
    "discount 0.99, lambda 0.95": ("--ppo.gamma", "0.99", "--ppo.gae-lambda", "0.95"),
    "normalised observations": ("--ppo.normalize-observation",),
    "commands that grow": (),
    "velocity averaged over a stride": (),
}
TAGS = ("eval/commands_passed", "eval/points", "eval/survival", "eval/forward_velocity_error")
Curve = list[tuple[int, float]]
"""Control steps and value."""


def main() -> int:
    """Run all trainings and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=600_000, help="control steps of each training")
    parser.add_argument("--evaluations", type=int, default=3, help="examinations in each training")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--preset", default="cpu")
    add_options(parser)
    options = parser.parse_args()
    console = make_console()
    facts = machine(torch.device("cpu"))
    print_facts(console, "Machine", facts)

    def run(variant: str, seed: int, folder: Path) -> dict[str, Curve]:
        interval = options.timesteps // options.evaluations
        flags = ["--preset", options.preset, "--total-timesteps", str(options.timesteps), *VARIANTS[variant]]
        flags += ["--eval-freq", str(interval), "--seed", str(seed)]
        return train(["-m", "benchmarks.ideas", variant, *flags] if variant in IDEAS else ["train.py", *flags], folder)

    def report(variant: str, seed: int, curves: Mapping[str, Curve]) -> None:
        passed = ", ".join(f"{value:.0f} at {step:,}" for step, value in curves[TAGS[0]])
        console.print(f"{variant}, seed {seed}: commands passed {passed}", highlight=False)

    results = over_seeds(options.variants, options.seeds, options.jobs, run, report)
    console.print(table(results, len(options.seeds)))
    if options.json is not None:
        write_json(
            options.json, {"machine": facts, "options": json.loads(json.dumps(vars(options), default=str))} | results
        )
    return 0


def train(program: Sequence[str], folder: Path) -> dict[str, Curve]:
    """Run `program` with its flags in a process of its own; the curves of `TAGS`.

    Raises:
        RuntimeError: the training failed; its last lines are in the message.
    """
    run_python([*program, "--processes", "1", "--log-dir", str(folder), "--exp-name", "run"])
    accumulator = EventAccumulator(str(folder / "run" / "RecurrentPPO_1"))
    accumulator.Reload()
    known = accumulator.Tags()["scalars"]
    return {tag: [(one.step, one.value) for one in accumulator.Scalars(tag)] if tag in known else [] for tag in TAGS}


def table(results: Mapping[str, Sequence[Mapping[str, Curve]]], seeds: int) -> Table:
    """One row per variant: commands passed at each examination, mean and range over the seeds."""
    first = next(iter(results.values()))[0]
    columns = ["variant", *(f"{step:,} steps" for step, _ in first[TAGS[0]]), "survival at the end"]
    rows = []
    for variant, runs in results.items():
        passed = [[value for _, value in run[TAGS[0]]] for run in runs]
        cells = [
            f"{statistics.mean(values):.1f} ({min(values):.0f}-{max(values):.0f})"
            for values in zip(*passed, strict=True)
        ]
        survival = statistics.mean(run["eval/survival"][-1][1] for run in runs)
        rows.append([variant, *cells, f"{survival:.1%}"])
    return make_table(f"commands passed of 8, mean (range) of {seeds} seeds", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
