"""Trainings of several kinds over several seeds, at the same time, each in a process of its own."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[1]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add `--seeds`, `--jobs` and `--json`."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trainings at the same time")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")


def over_seeds(
    kinds: Sequence[str],
    seeds: Sequence[int],
    jobs: int,
    train: Callable[[str, int, Path], T],
    report: Callable[[str, int, T], None],
) -> dict[str, list[T]]:
    """Call `train` for every kind with every seed.

    Args:
        kinds: what to train.
        seeds: of each kind.
        jobs: calls at the same time.
        train: from a kind, a seed and a folder of its own, which need not exist and is removed afterwards, to a result.
        report: told of each result, in order.

    Returns:
        The results of each kind, in the order of the seeds.
    """
    runs = [(kind, seed) for seed in seeds for kind in kinds]
    results: dict[str, list[T]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        pending = [pool.submit(train, *run, Path(folder) / str(index)) for index, run in enumerate(runs)]
        for (kind, seed), future in zip(runs, pending, strict=True):
            result = future.result()
            results[kind].append(result)
            report(kind, seed, result)
    return results


def run_python(arguments: Sequence[str]) -> None:
    """Run Python with `arguments` on one thread, in the project's folder.

    Raises:
        RuntimeError: it failed; its last lines are in the message.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {(done.stdout + done.stderr)[-2000:]}")
