"""One process against several with the same robots in all: `python -m benchmarks.scaling [--json FILE]`.

Runs `train.py` itself and reads the speed from the times in its own TensorBoard files.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from app.build import ENGINES
from benchmarks.measurement import (
    Measurement,
    interleave,
    machine,
    make_console,
    make_parser,
    make_table,
    parse,
    print_facts,
    spread,
    usable_cores,
    write_json,
)
from configs.presets import PRESETS

ROOT = Path(__file__).parents[1]
WARMUPS = 2
"""Iterations of each run that do not count: first calls, and the robots' first falls."""
TAG = "time/fps"
"""Any tag that is written once per iteration."""
QUICK = {"num_envs": 16, "preset": "smoke", "iterations": 2, "repeats": 1, "processes": [1, 2]}


class TrainingError(RuntimeError):
    """A training ended otherwise than it should."""


def iteration_rates(folder: Path) -> list[float]:
    """Control steps/s of every iteration but the first, from the wall times at which a run logged.

    Everything between two iterations counts: collecting, improving, logging.

    Args:
        folder: holds one run's event file, at any depth.
    """
    (path,) = folder.rglob("events.out.tfevents.*")
    accumulator = EventAccumulator(str(path))
    accumulator.Reload()
    events = accumulator.Scalars(TAG)
    return [(after.step - before.step) / (after.wall_time - before.wall_time) for before, after in pairwise(events)]


def train(command: Sequence[str], turn: int) -> Measurement:
    """Train once and return the control steps/s after the warm-up.

    Raises:
        TrainingError: the training failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = [*command, "--log-dir", folder, "--seed", str(turn + 1)]
        result = subprocess.run(words, capture_output=True, text=True, check=False)
        if result.returncode:
            last = result.stderr.strip().splitlines()[-1:] or ["no message"]
            raise TrainingError(f"{' '.join(words)} ended with exit code {result.returncode}: {last[0]}")
        # All iterations have as many steps, so the harmonic mean is steps over time.
        rates = iteration_rates(Path(folder))[WARMUPS - 1 :]
    return {"steps_per_second": len(rates) / sum(1.0 / rate for rate in rates)}


def training_command(
    preset: str, simulator: str, num_envs: int, processes: int, iterations: int, device: str
) -> list[str]:
    """The command line of one training, without its folder and seed."""
    steps = (WARMUPS + iterations) * num_envs * PRESETS[preset].ppo.n_steps
    flags = {
        "preset": preset,
        "simulator": simulator,
        "num-envs": num_envs,
        "processes": processes,
        "device": device,
        "total-timesteps": steps,
        "save-freq": 10 * steps,
        "eval-freq": 10 * steps,
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    return [sys.executable, str(ROOT / "train.py"), *words]


def compare(
    commands: Mapping[int, Sequence[str]], repeats: int, progress: Callable[[str], None]
) -> dict[int, dict[str, Any]]:
    """Rate, speed-up over the fewest processes and efficiency, by number of processes, as plain values."""
    contenders = {f"{count} processes": partial(train, command) for count, command in commands.items()}
    results = interleave(contenders, repeats, warmups=0, progress=progress)
    rates = {count: results[f"{count} processes"]["steps_per_second"] for count in commands}
    fewest = min(rates)
    base = spread(rates[fewest]).median
    return {
        count: {
            "steps_per_second": values,
            "speed_up": spread(values).median / base,
            "efficiency": spread(values).median / base * fewest / count,
        }
        for count, values in rates.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Train with every number of processes in turn, and print speed-up and efficiency."""
    parser = make_parser("benchmarks.scaling", __doc__, repeats=3, threads=False)
    parser.add_argument(
        "--processes", type=int, nargs="+", default=sorted({1, usable_cores()}), help="(default: 1 and one per core)"
    )
    parser.add_argument("--num-envs", type=int, default=512, help="robots over all processes (default: 512)")
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="of train.py (default: cpu)")
    parser.add_argument("--simulator", choices=ENGINES, help="(default: that of the preset)")
    parser.add_argument("--iterations", type=int, default=8, help="of each training that count (default: 8)")
    options = parse(parser, arguments, QUICK)
    if options.iterations < 1:
        parser.error(f"--iterations must be at least 1, not {options.iterations}")
    for count in options.processes:
        if count < 1 or options.num_envs < 1 or options.num_envs % count:
            parser.error(f"--num-envs {options.num_envs} cannot be shared by {count} processes")
    simulator = options.simulator or PRESETS[options.preset].simulator
    console, facts = make_console(), machine(options.device)
    shown = {
        "preset": options.preset,
        "engine": simulator,
        "robots": options.num_envs,
        "iterations": options.iterations,
        "warm-up iterations": WARMUPS,
        "repeats": options.repeats,
    }
    print_facts(console, "Machine", facts)
    print_facts(console, "Settings", shown)
    commands = {
        count: training_command(
            options.preset, simulator, options.num_envs, count, options.iterations, str(options.device)
        )
        for count in sorted(set(options.processes))
    }
    try:
        results = compare(commands, options.repeats, partial(console.print, style="dim", highlight=False))
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    rows = [
        [
            str(count),
            str(spread(result["steps_per_second"])),
            f"{result['speed_up']:.2f}",
            f"{result['efficiency']:.0%}",
        ]
        for count, result in results.items()
    ]
    columns = ("processes", "control steps/s: median (range)", "speed-up", "efficiency")
    console.print(make_table(f"Training {options.num_envs} robots", columns, rows))
    document = {
        "command": options.command,
        "machine": facts,
        "settings": shown,
        "processes": {str(count): result for count, result in results.items()},
    }
    write_json(options.json, document)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
