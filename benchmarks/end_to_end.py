"""The biped from the bare simulator to training: `python -m benchmarks.end_to_end [--preset NAME] [--json FILE]`.

The preset says in which engine.

For every number of robots each contender gets a process of its own; they build one after the other and then take turns.
"""

import dataclasses
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from app.command_line import about
from benchmarks.adapters import CONTENDERS, MODULES, OURS
from benchmarks.measurement import (
    INSTALL,
    Measurement,
    interleave,
    machine,
    make_console,
    make_parser,
    make_table,
    number,
    parse,
    print_facts,
    spread,
    write_json,
)
from benchmarks.training_stages import WARMUPS, Job, flatness, serve
from configs.presets import PRESETS
from ppo.runtime import Precision

STAGES = ("simulator", "simulator, read, reset", "environment", "rollout", "training")
"""Each contains the one before it."""
FLAT = (512, 4096)
"""Robot counts between which the time per control step and robot should not change."""
QUICK = {"num_envs": [16], "preset": "smoke", "iterations": 1, "repeats": 1}


class Worker:
    """A contender in a process of its own, because a process can hold one Genesis scene."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=serve, args=(other, job), daemon=True)
        self.process.start()
        other.close()
        self.steps = job.iterations * job.experiment.ppo.n_steps * job.experiment.robots
        self.peak: dict[str, int | None] = {}
        self.others: dict[str, list[float]] = {}
        self.build_seconds: float = self._receive()["build seconds"]

    def measure(self, turn: int) -> Measurement:
        """Control steps/s of every stage in one round."""
        self.connection.send(turn)
        measured = self._receive()
        memory = measured.pop("memory")
        if turn < WARMUPS:
            self.peak = memory
        rates = {name: self.steps / measured.pop(name) for name in STAGES if name in measured}
        for name, value in measured.items():
            self.others.setdefault(name, []).append(value)
        return rates

    def close(self) -> None:
        """End the process."""
        if self.process.is_alive():
            self.connection.send(None)
        self.process.join()

    def _receive(self) -> dict[str, Any]:
        try:
            answer = self.connection.recv()
        except EOFError:
            raise RuntimeError("a process ended before it answered; it may have run out of memory") from None
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return dict(answer)


def measure_count(jobs: Mapping[str, Job], repeats: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Everything about one number of robots, by contender, as plain values."""
    workers: dict[str, Worker] = {}
    try:
        for name, job in jobs.items():
            workers[name] = Worker(job)
            progress(f"{name}: built in {workers[name].build_seconds:.0f} s")
        contenders = {name: worker.measure for name, worker in workers.items()}
        rates = interleave(contenders, repeats, warmups=WARMUPS, progress=progress)
    finally:
        for worker in workers.values():
            worker.close()
    return {
        name: {
            "steps_per_second": rates[name],
            "build_seconds": worker.build_seconds,
            "peak_bytes": worker.peak,
            **{key.replace(" ", "_"): values for key, values in worker.others.items()},
        }
        for name, worker in workers.items()
    }


def fractions(measured: Mapping[str, Any]) -> dict[str, float]:
    """What our stages are to each other, of the medians.

    `environment_arithmetic` is the time that the environment spends outside the simulator, over the simulator's own.
    """
    rates = {name: spread(values).median for name, values in measured["steps_per_second"].items()}
    if STAGES[0] not in rates:
        return {}
    bare, whole = rates[STAGES[0]], rates[STAGES[1]]
    return {
        "environment_arithmetic": whole / rates["environment"] - 1.0,
        "read_and_reset": bare / whole - 1.0,
        "training_of_simulator": rates["training"] / bare,
    }


def table_rows(counts: Mapping[int, Mapping[str, Any]]) -> list[list[str]]:
    """One row per number of robots, contender and stage."""
    rows = []
    for count, contenders in counts.items():
        for name, measured in contenders.items():
            peak = measured["peak_bytes"]
            size = " + ".join(f"{value / 2**20:,.0f}" for value in peak.values() if value is not None)
            for stage in STAGES:
                if stage not in measured["steps_per_second"]:
                    continue
                rate = spread(measured["steps_per_second"][stage])
                last = stage == STAGES[-1]
                rows.append(
                    [
                        f"{count} robots, {name}: {stage}",
                        str(rate),
                        f"{1e6 / rate.median:.1f}",
                        f"{measured['build_seconds']:.0f}" if last else "",
                        size if last else "",
                    ]
                )
    return rows


def summary_rows(counts: Mapping[int, Mapping[str, Any]]) -> list[list[str]]:
    """One row per number of robots: how the stages relate, and the others' training to ours."""
    rows = []
    for count, contenders in counts.items():
        parts = fractions(contenders.get(OURS, {"steps_per_second": {}}))
        training = {
            name: spread(measured["steps_per_second"]["training"]).median for name, measured in contenders.items()
        }
        factors = [f"{number(training[OURS] / rate)}x {name}" for name, rate in training.items() if name != OURS]
        cells = [f"{parts[name]:.1%}" if name in parts else "" for name in SUMMARY]
        rows.append([f"{count} robots", *cells, ", ".join(factors) if OURS in training else ""])
    return rows


SUMMARY = {
    "environment_arithmetic": "environment arithmetic / simulator",
    "read_and_reset": "read, reset / step",
    "training_of_simulator": "training / simulator alone",
}


def flatness_by_stage(counts: Mapping[int, Mapping[str, Any]], contender: str) -> dict[str, float]:
    """`flatness` of each stage, where there are robot counts to compare."""
    result = {}
    for stage in STAGES:
        rates = {
            count: spread(contenders[contender]["steps_per_second"][stage]).median
            for count, contenders in counts.items()
            if stage in contenders[contender]["steps_per_second"]
        }
        value = flatness(rates, *FLAT)
        if value is not None:
            result[stage] = value
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every number of robots, and print what each stage costs."""
    parser = make_parser("benchmarks.end_to_end", __doc__, repeats=3)
    parser.add_argument("--num-envs", type=int, nargs="+", default=[512], help="numbers of robots (default: 512)")
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="of train.py (default: cpu)")
    parser.add_argument("--iterations", type=int, default=2, help="per round (default: 2)")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--precision", choices=("auto", "fp32", "tf32", "bf16"), default="auto")
    parser.add_argument("--model", type=Path, help="checkpoint that ours starts from, so that the robots walk")
    options = parse(parser, arguments, QUICK)
    experiment = PRESETS[options.preset]
    for name in options.contenders:
        if find_spec(MODULES[name]) is None:
            parser.error(f"--contenders {name} is not installed: {INSTALL}")
    if min(options.num_envs) < 1 or options.iterations < 1:
        parser.error("--num-envs and --iterations must be at least 1")
    if options.model is not None and not options.model.is_file():
        parser.error(f"--model {options.model} is not a file")
    try:
        with about(f"--precision {options.precision}"):
            precision = Precision.resolve(options.precision, options.device)
        for count in options.num_envs:
            with about(f"--num-envs {count}"):
                experiment.ppo.minibatch_envs(count)
    except ValueError as error:
        parser.error(str(error))
    console, facts = make_console(), machine(options.device)
    shown = {
        "preset": options.preset,
        "engine": experiment.simulator,
        "robots": " ".join(map(str, options.num_envs)),
        "control step (s)": experiment.simulation.control_dt,
        "physics steps per control step": experiment.simulation.substeps,
        "steps": experiment.ppo.n_steps,
        "epochs": experiment.ppo.n_epochs,
        "LSTM": f"{experiment.policy.n_lstm_layers}x{experiment.policy.lstm_hidden_size}",
        "precision": precision.name,
        "iterations per round": options.iterations,
        "repeats": options.repeats,
        "robots driven by": "an untrained policy" if options.model is None else options.model.name,
    }
    print_facts(console, "Machine", facts)
    print_facts(console, "Settings", shown)
    counts: dict[int, dict[str, Any]] = {}
    for count in options.num_envs:
        jobs = {
            name: Job(
                contender=name,
                experiment=dataclasses.replace(experiment, num_envs=count, processes=1),
                device=options.device,
                precision=precision,
                threads=options.threads,
                iterations=options.iterations,
                model=options.model,
            )
            for name in options.contenders
        }
        console.print(f"{count} robots", style="dim", highlight=False)
        counts[count] = measure_count(jobs, options.repeats, partial(console.print, style="dim", highlight=False))
    columns = ("", "control steps/s: median (range)", "us per step and robot", "build s", "peak MiB")
    console.print(make_table("What each stage leaves of the speed", columns, table_rows(counts)))
    console.print(make_table("Ours", ("", *SUMMARY.values(), "training, ours over theirs"), summary_rows(counts)))
    flat = {name: flatness_by_stage(counts, name) for name in options.contenders}
    for name, stages in flat.items():
        if stages:
            print_facts(
                console,
                f"{name}, longest over shortest time per step and robot, {FLAT[0]} to {FLAT[1]} robots",
                {stage: f"{value:.2f}" for stage, value in stages.items()},
            )
    document = {
        "command": options.command,
        "machine": facts,
        "settings": shown,
        "robots": {
            str(count): {name: {**measured, **fractions(measured)} for name, measured in contenders.items()}
            for count, contenders in counts.items()
        },
        "flatness": flat,
    }
    write_json(options.json, document)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
