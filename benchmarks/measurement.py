"""What the speed benchmarks share: the machine in words, interleaved repeats, tables and JSON."""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from app.command_line import about
from ppo.checkpoint.atomic import atomic_write
from ppo.program.one_line_parser import OneLineParser
from ppo.runtime import resolve_device

LIBRARIES = (
    "torch",
    "genesis-world",
    "rsl-rl-lib",
    "sb3-contrib",
    "stable-baselines3",
    "tensordict",
    "numpy",
    "onnxruntime",
)
INSTALL = "pip install -c constraints.txt -e '.[benchmarks]'"
MINIMUM_WIDTH = 130
"""Columns of a table that is written to a file instead of a terminal."""


class Spread(NamedTuple):
    """A quantity over repeats."""

    median: float
    low: float
    """Smallest."""
    high: float
    """Largest."""

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.low)}-{number(self.high)})"


def spread(values: Sequence[float]) -> Spread:
    """Median and range of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0.0:
        return "0"
    if abs(value) >= 100.0:
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) < 10.0 else 1}f}" if abs(value) >= 1.0 else f"{value:.3g}"


def machine(device: torch.device) -> dict[str, Any]:
    """The machine and the versions of what is measured, as plain values."""
    facts: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "torch_threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }
    for library in LIBRARIES:
        try:
            facts[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            facts[library] = None
    return facts


def cpu_name() -> str:
    """Model of the processor, with the numbers that tell its generation where the kernel gives them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    return f"{name}, family {fields.get('cpu family')} model {fields.get('model')}"


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long `work` takes, s."""
    synchronize(device)
    begin = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - begin


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, bytes; None where the kernel does not tell.

    `getrusage` will not do: its maximum is handed down from the process that started this one.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), None)


Measurement = Mapping[str, float]
"""Named numbers of one repeat, the same names in every repeat."""


def interleave(
    contenders: Mapping[str, Callable[[int], Measurement]],
    repeats: int,
    *,
    warmups: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, dict[str, list[float]]]:
    """Measure contenders in turn (A B C A B C ...), so that a machine that slows down slows all of them.

    Args:
        contenders: each is called with the number of the round, warm-ups included, and returns what it measured.
        repeats: rounds that count.
        warmups: rounds before them that do not.
        progress: told one line after each measurement.

    Returns:
        By contender and by the name of the number, one value per round.
    """
    results: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for turn in range(warmups + repeats):
        for name, measure in contenders.items():
            measured = measure(turn)
            label = "warm-up" if turn < warmups else f"round {turn - warmups + 1} of {repeats}"
            progress(f"{label}, {name}: " + ", ".join(f"{key} {number(value)}" for key, value in measured.items()))
            if turn >= warmups:
                for key, value in measured.items():
                    results[name].setdefault(key, []).append(value)
    return results


def make_parser(module: str, description: str | None, *, repeats: int | None, threads: bool = True) -> OneLineParser:
    """The flags that all speed benchmarks have; `repeats` is a default, None leaves that flag out."""
    parser = OneLineParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:<index> (default: cpu)")
    if threads:
        help_text = "of PyTorch (default: the usable cores)"
        parser.add_argument("--threads", type=int, default=usable_cores(), help=help_text)
    if repeats is not None:
        parser.add_argument("--repeats", type=int, default=repeats, help=f"rounds that count (default: {repeats})")
    parser.add_argument("--json", type=Path, help="write machine, settings and every number there")
    parser.add_argument("--quick", action="store_true", help="small settings, to see that it works")
    return parser


def parse(parser: OneLineParser, arguments: Sequence[str] | None, quick: Mapping[str, Any]) -> argparse.Namespace:
    """Read the command line; with --quick the values of `quick` are the defaults."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if "--quick" in words:
        parser.set_defaults(**quick)
    options = parser.parse_args(words)
    options.command = [*parser.prog.split(), *words]
    for name in ("threads", "repeats"):
        if getattr(options, name, 1) < 1:
            parser.error(f"--{name} must be at least 1, not {getattr(options, name)}")
    if options.json is not None and (options.json.is_dir() or not os.access(options.json.parent, os.W_OK)):
        parser.error(f"--json {options.json} cannot be written; choose a file in a folder that exists")
    try:
        with about(f"--device {options.device}"):
            options.device = resolve_device(options.device)
    except ValueError as error:
        parser.error(str(error))
    if "threads" in options:
        torch.set_num_threads(options.threads)
    return options


def make_console() -> Console:
    """Where tables go; wide enough for them when it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(MINIMUM_WIDTH, console.width))


def print_facts(console: Console, title: str, facts: Mapping[str, Any]) -> None:
    """One line of `name value` pairs."""
    pairs = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    console.print(f"[bold]{title}:[/bold] {pairs}", highlight=False)


def make_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table


def write_json(path: Path | None, document: Mapping[str, Any]) -> None:
    """Write the document, if a path is given; it must hold finite numbers only."""
    if path is None:
        return
    with atomic_write(path) as file:
        file.write(json.dumps(document, indent=2, allow_nan=False).encode() + b"\n")
