"""What becomes of the checkpoints when something breaks: `python -m benchmarks.reliability [--json FILE]`.

Each row of the table is a fault, injected into real trainings on a small environment of plain tensors.
"""

import argparse
import json
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.fault_disk import damage_newest, disk_faults
from benchmarks.fault_harness import Result
from benchmarks.fault_numbers import number_faults
from benchmarks.fault_processes import kill_at_random_moments, terminate_during_last_save, terminate_while_saving
from ppo.checkpoint.atomic import atomic_write

COLUMNS = ("fault", "repetitions", "lost", "unreadable", "resumed", "outcome")


def run_all(folder: Path, *, kills: int, repetitions: int, seed: int) -> Iterator[Result]:
    """Inject every fault; yields a row after each.

    Args:
        folder: an empty one for the runs.
        kills: how often the training is killed.
        repetitions: of every other fault; those of numbers, which need longer trainings, take a third of it.
        seed: of the random moments and places.
    """
    generator = random.Random(seed)
    yield kill_at_random_moments(folder / "kill", kills, generator)
    yield terminate_while_saving(folder / "once", repetitions, generator, signals=1)
    yield terminate_while_saving(folder / "twice", repetitions, generator, signals=2)
    yield terminate_during_last_save(folder / "last", repetitions)
    yield from disk_faults(folder / "disks", repetitions, generator)
    yield damage_newest(folder / "damage", 4 * repetitions, generator)
    yield from number_faults(folder / "numbers", max(1, repetitions // 3))


def healthy(result: Result) -> bool:
    """Whether nothing was lost and every training went on."""
    return (result.lost, result.unreadable, result.resumed) == (0, 0, result.repetitions)


def table_row(result: Result) -> str:
    """The result as a row of a Markdown table."""
    return "| " + " | ".join(str(value) for value in asdict(result).values()) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything; the exit code is 1 if a checkpoint was lost or a training did not go on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how often a training is killed (default: 100)")
    parser.add_argument("--repetitions", type=int, default=10, help="of every other fault (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and places (default: 0)")
    parser.add_argument("--json", type=Path, help="write the table there as well")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    begin = time.perf_counter()
    results: list[Result] = []
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    with tempfile.TemporaryDirectory() as folder:
        for result in run_all(Path(folder), kills=options.kills, repetitions=options.repetitions, seed=options.seed):
            print(table_row(result), flush=True)
            results.append(result)
    broken = [result.fault for result in results if not healthy(result)]
    seconds = time.perf_counter() - begin
    print(f"\n{len(results)} faults in {seconds:.0f} s; {', '.join(broken) or 'none'} cost a checkpoint or a training")
    if options.json is not None:
        document = {
            "command": ["python", "-m", "benchmarks.reliability", *(arguments or sys.argv[1:])],
            "machine": platform.platform(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "seconds": round(seconds),
            "results": [asdict(result) for result in results],
        }
        with atomic_write(options.json) as file:
            file.write(json.dumps(document, indent=2).encode())
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
