"""What a person sees while several trainings run, and the table at their end."""

import re
import sys
import threading
from collections.abc import Sequence
from typing import TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.comparison.run_log import read_run, trials_of_examinations
from app.seeds.plan import SeedRun
from ppo.report.console import EnduringStream, format_duration

PROGRESS = re.compile(r"[\d,]+/[\d,]+ steps \(|.* so far$")
"""What a training says of its progress."""


class Board:
    """Shows what several programs say: on a terminal a line each for their progress, below the messages that stay.

    Elsewhere everything is a line that begins with the name of the program.

    Args:
        names: of the programs.
        stream: where to write; standard output by default.
    """

    def __init__(self, names: Sequence[str], stream: TextIO | None = None) -> None:
        self._stream = EnduringStream(sys.stdout if stream is None else stream)
        self._states = dict.fromkeys(names, "waiting")
        self._lock = threading.Lock()
        self._live: Live | None = None

    def __enter__(self) -> "Board":
        if self._stream.isatty():
            console = Console(file=cast("TextIO", self._stream), force_terminal=True, highlight=False)
            self._live = Live(
                get_renderable=self._render,
                console=console,
                refresh_per_second=2,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, name: str, line: str) -> None:
        """Show a line that a program has said."""
        progress = PROGRESS.match(line) is not None
        if progress or self._states[name] == "waiting":
            self._states[name] = line
        if not (progress and self._live is not None):
            self._message(f"{name}: {line}")

    def end(self, name: str, state: str) -> None:
        """Show how a program has ended."""
        self._states[name] = state
        self._message(f"{name}: {state}")

    def message(self, line: str) -> None:
        """Show a line of this program's own."""
        self._message(line)

    def _message(self, line: str) -> None:
        with self._lock:
            if self._live is not None:
                self._live.console.print(line, markup=False, soft_wrap=True)
            else:
                self._stream.write(line + "\n")
                self._stream.flush()

    def _render(self) -> Group:
        return Group(
            *(Text(f"{name}  {state}", no_wrap=True, overflow="ellipsis") for name, state in self._states.items())
        )

    def show(self, table: Table) -> None:
        """Show a table that stays."""
        console = Console(file=cast("TextIO", self._stream), highlight=False)
        # Where nothing says how wide it is, nothing is to be cut off.
        console.width = console.width if console.is_terminal else max(console.width, 120)
        console.print(table)


def results(runs: Sequence[SeedRun], states: dict[int, str]) -> Table:
    """One row per seed: how it ended, trials passed in its last examination, steps, seconds and folder."""
    table = Table(title=f"{len(runs)} seeds", title_justify="left")
    table.add_column("seed", justify="right")
    table.add_column("state")
    for name in ("trials passed", "steps", "training time"):
        table.add_column(name, justify="right")
    table.add_column("folder", overflow="fold")
    for run in runs:
        folder = run.folder()
        cells = ["-", "-", "-"]
        if folder is not None:
            try:
                log = read_run(folder)
                of = trials_of_examinations(log.experiment)
                passed = "-" if log.passed is None else f"{log.passed:.0f}" + ("" if of is None else f" of {of}")
                cells = [passed, f"{log.steps:,}", format_duration(log.duration)]
            except ValueError:
                pass  # It ended before it had anything to tell.
        table.add_row(str(run.seed), states[run.seed], *cells, "-" if folder is None else str(folder))
    return table
