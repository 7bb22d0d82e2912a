"""What a GPU makes of the presets for one: `python -m benchmarks.gpu`. Minutes, most of them compiling.

Trains `default` and `gpu` with 4096 and 16 384 robots for a few iterations each, one after the other in processes of
their own. For the first case it also tells where the host waits for the device, and how long the device works. A table
is printed, and every number goes to a file.
"""

import dataclasses
import multiprocessing
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from app.experiment import EngineName
from benchmarks.adapters import MODULES, OURS, RSL
from benchmarks.end_to_end import SUMMARY, measure_count, summary_rows, table_rows
from benchmarks.measurement import (
    machine,
    make_console,
    make_parser,
    make_table,
    number,
    parse,
    print_facts,
    seconds,
    write_json,
)
from benchmarks.training_stages import Job, OurTraining, make_env
from configs.presets import PRESETS
from ppo.runtime import Precision

CASES = (("default", 4096), ("default", 16_384), ("gpu", 4096), ("gpu", 16_384))
"""Presets and numbers of robots."""
QUICK_CASES = (("smoke", 16),)
QUICK = {"repeats": 1}
ROOT = Path(__file__).parents[1]


def count_waits(caught: Iterable[warnings.WarningMessage]) -> dict[str, int]:
    """How often PyTorch warned that the host waits for the device, by file and line."""
    # It also warns once that the mode itself is new.
    waits = (one for one in caught if "called a synchronizing CUDA operation" in str(one.message))
    return dict(Counter(f"{os.path.relpath(one.filename, ROOT)}:{one.lineno}" for one in waits))


def device_share(work: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Seconds that `work` takes, those in which the device works for it, and the number of its kernels and copies."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        whole = seconds(work, device)
    events = [event for event in profiler.key_averages() if event.device_type.name == "CUDA"]
    return {
        "seconds": whole,
        "device seconds": sum(event.self_device_time_total for event in events) / 1e6,
        "kernels and copies": sum(event.count for event in events),
    }


def look_inside(job: Job) -> dict[str, Any]:
    """The waits of an iteration, and the shares of the device in collecting and learning; slower than unwatched."""
    with tempfile.TemporaryDirectory() as folder:
        learner = OurTraining(make_env(job), job, Path(folder)).trainer.learner

        def collect() -> None:
            learner.collector.collect(lambda: False)

        def learn() -> None:
            learner.read_metrics(learner.improve())

        # The first iterations prepare and record what later ones find.
        for _ in range(4):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                if job.device.type == "cuda":
                    torch.cuda.set_sync_debug_mode("warn")
                collect()
                learn()
                if job.device.type == "cuda":
                    torch.cuda.set_sync_debug_mode("default")
        return {
            "waits": count_waits(caught),
            "collecting": device_share(collect, job.device),
            "learning": device_share(learn, job.device),
        }


def measure_case(job: Job, contenders: Sequence[str], repeats: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """`measure_count` of one case, or the reason why there are no numbers, such as too little memory."""
    try:
        jobs = {name: dataclasses.replace(job, contender=name) for name in contenders}
        return measure_count(jobs, repeats, tell)
    except RuntimeError as error:
        tell(f"failed: {error}")
        return {"failed": str(error)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all cases, and print what is to be sent to the project."""
    parser = make_parser("benchmarks.gpu", __doc__, repeats=2)
    parser.set_defaults(device="cuda", json=Path("gpu.json"))
    options = parse(parser, arguments, QUICK)
    console, facts = make_console(), machine(options.device)
    precision = Precision.resolve("auto", options.device)
    contenders = [OURS, *([RSL] if find_spec(MODULES[RSL]) is not None else [])]
    print_facts(console, "Machine", facts)
    # Where there is no GPU, the benchmark only shows that it works.
    engine: EngineName = "genesis" if options.device.type == "cuda" else "mujoco"
    tell = partial(console.print, style="dim", highlight=False, markup=False)
    results: dict[str, dict[str, Any]] = {}
    inside: Mapping[str, Any] = {}
    for preset, robots in QUICK_CASES if options.quick else CASES:
        tell(f"{preset}, {robots} robots")
        job = Job(
            contender=OURS,
            experiment=dataclasses.replace(PRESETS[preset], num_envs=robots, processes=1, simulator=engine),
            device=options.device,
            precision=precision,
            threads=options.threads,
            iterations=1,
            model=None,
        )
        if not results:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                inside = pool.submit(look_inside, job).result()
        case = measure_case(job, contenders, options.repeats, tell)
        results.setdefault(preset, {})[str(robots)] = case
    columns = ("", "control steps/s: median (range)", "us per step and robot", "build s", "peak MiB")
    for preset, counts in results.items():
        measured = {int(robots): case for robots, case in counts.items() if "failed" not in case}
        if not measured:
            continue
        console.print(make_table(f"Preset {preset}", columns, table_rows(measured)))
        console.print(make_table("Ours", ("", *SUMMARY.values(), "training over theirs"), summary_rows(measured)))
    for part in ("collecting", "learning"):
        shares = {name: number(value) for name, value in inside[part].items()}
        print_facts(console, f"An iteration, watched: {part}", shares)
    print_facts(console, "Waits of the host for the device in an iteration", inside["waits"] or {"": "none"})
    document = {"command": options.command, "machine": facts, "presets": results, **inside}
    write_json(options.json, document)
    print(f"every number is in {options.json}; please send it to us, in an issue of the project")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
