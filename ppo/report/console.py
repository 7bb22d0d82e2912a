"""What a person sees while training runs: a live display on a terminal, plain lines in a log file."""

import atexit
import errno
import io
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TextIO, cast

from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

FALLS = "falls"
"""Tag under which the console itself derives the share of episodes that ended otherwise than by time-out."""

UPDATES_FOR_SPEED = 10
"""Updates that the time left is estimated from: few enough to follow a change, enough to smooth one slow update."""

LONG_WAIT = 3.0
"""s without an update after which the live display says how far the iteration has come."""

CELL_WIDTH = 24
"""Characters of one label and its value in the live display; three cells and their gaps fit 80 columns."""

CELL_GAP = 3
"""Characters between two cells."""


class DisplayedMetric(NamedTuple):
    """One metric that the console shows whenever its tag is present."""

    label: str
    """What it is called on the screen."""
    tag: str
    """Its tag in `Status.metrics`, or `FALLS`."""
    format: str
    """Format specification of the value, as in `format(value, ".2f")`."""


DISPLAYED_METRICS = (
    DisplayedMetric("reward", "rollout/ep_rew_mean", ".2f"),
    DisplayedMetric("episode length", "rollout/ep_len_mean", ".0f"),
    DisplayedMetric("falls", FALLS, ".0%"),
    DisplayedMetric("velocity error", "tracking/velocity_error", ".3f"),
    DisplayedMetric("learning rate", "train/learning_rate", ".2e"),
    DisplayedMetric("approx. KL", "train/approx_kl", ".4f"),
)


class Status(NamedTuple):
    """Where training stands after an update."""

    num_timesteps: int
    """Control steps taken so far in all environments together."""
    steps_per_second: float
    """Control steps per second, learner included."""
    simulation_fraction: float
    """Fraction of the time spent in the environment, 0 to 1."""
    policy_fraction: float
    """Fraction of the time spent in choosing actions, 0 to 1."""
    update_fraction: float
    """Fraction of the time spent in the optimiser, 0 to 1."""
    metrics: Mapping[str, float]
    """Scalars by tag, as they are logged; NaN where there is nothing to report."""
    checkpoint: Path | None = None
    """The newest checkpoint of this run."""


class Console:
    """Shows progress, and prints messages that stay.

    On a terminal a live display redraws itself below the messages; elsewhere an update is one plain line without
    control characters, and so is what is waited for where updates take longer than `plain_interval`. A reader that goes
    away (`train.py | head`, a closed terminal) silences the console and does not end the training.

    Args:
        total_timesteps: Control steps at which training ends.
        stream: Where to write; standard output by default.
        interactive: Whether to draw the live display; by default, whether `stream` is a terminal that can.
        plain_interval: Seconds between two plain lines; the first and the last update are always written.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        *,
        total_timesteps: int,
        stream: TextIO | None = None,
        interactive: bool | None = None,
        plain_interval: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = EnduringStream(sys.stdout if stream is None else stream)
        self._interactive = self._stream.isatty() if interactive is None else interactive
        self._total_timesteps = total_timesteps
        self._plain_interval = plain_interval
        self._clock = clock
        self._live: Live | None = None
        self._started_at = clock()
        self._history: deque[tuple[float, int]] = deque(maxlen=UPDATES_FOR_SPEED + 1)
        self._status: Status | None = None
        self._printed: Status | None = None
        self._printed_at = -math.inf
        self._phase = ""
        self._closed = threading.Event()

    def start(self, num_timesteps: int) -> None:
        """Begin to show progress, from `num_timesteps` control steps already taken."""
        self._started_at = self._clock()
        self._history.append((self._started_at, num_timesteps))
        if self._interactive:
            screen = RichConsole(file=cast("TextIO", self._stream), force_terminal=True, highlight=False)
            # Anything else that prints to the terminal goes above the display instead of through it.
            self._live = Live(
                get_renderable=self._render,
                console=screen,
                refresh_per_second=1,
                redirect_stdout=_is_terminal(sys.stdout),
                redirect_stderr=_is_terminal(sys.stderr),
            )
            self._live.start()
            # The display hides the cursor, and must give it back also when training ends by an exception.
            atexit.register(self.close)
        else:
            # A single minibatch may take longer than anybody waits without a sign of life.
            threading.Thread(target=self._keep_printing, daemon=True).start()

    def progress(self, phase: str) -> None:
        """Note what is being done, and how far it has come."""
        self._phase = phase

    def update(self, status: Status) -> None:
        """Show the state after an update."""
        now = self._clock()
        if self._status is None:
            # Until now the processes have waited for each other's first step, which says nothing of the speed.
            started_at, first = self._history[0]
            self._history[0] = max(started_at, now - (status.num_timesteps - first) / status.steps_per_second), first
        self._history.append((now, status.num_timesteps))
        self._status = status
        self._phase = ""
        if not self._interactive and now - self._printed_at >= self._plain_interval:
            self._print_line(status)

    def message(self, text: str) -> None:
        """Print a line that stays, above the live display where there is one."""
        if self._live is not None:
            self._live.console.print(text, markup=False, soft_wrap=True)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Show the last update and leave it standing. A second call does nothing."""
        self._closed.set()
        if self._live is not None:
            self._live.stop()
            self._live = None
            atexit.unregister(self.close)
        elif not self._interactive and self._status is not None and self._status is not self._printed:
            self._print_line(self._status)

    def _keep_printing(self) -> None:
        while not self._closed.wait(max(0.1, self._plain_interval / 4.0)):
            self._print_progress()

    def _print_progress(self) -> None:
        """A plain line about the iteration that is being waited for, where nothing has been printed for long."""
        now, began = self._clock(), self._history[-1][0]
        if self._phase and now - max(began, self._printed_at) >= self._plain_interval:
            self._printed_at = now
            self._stream.write(f"{self._phase}, {format_duration(now - began)} so far\n")
            self._stream.flush()

    def _time_left(self) -> float | None:
        """Seconds to the end at the speed of the latest updates; None before the first."""
        (earlier, steps_then), (latest, steps_now) = self._history[0], self._history[-1]
        if steps_now <= steps_then:
            return None
        seconds_per_step = (latest - earlier) / (steps_now - steps_then)
        left_at_latest = (self._total_timesteps - steps_now) * seconds_per_step
        return max(0.0, left_at_latest - (self._clock() - latest))

    def _print_line(self, status: Status) -> None:
        self._printed = status
        self._printed_at = self._clock()
        fraction = status.num_timesteps / self._total_timesteps
        parts = [
            f"{status.num_timesteps:,}/{self._total_timesteps:,} steps ({fraction:.1%})",
            f"{status.steps_per_second:,.0f} steps/s",
            f"left {format_duration(self._time_left())}",
            f"simulation {status.simulation_fraction:.0%}",
            f"policy {status.policy_fraction:.0%}",
            f"update {status.update_fraction:.0%}",
            *(f"{label} {value}" for label, value in displayed_values(status.metrics)),
        ]
        self._stream.write("  ".join(parts) + "\n")
        self._stream.flush()

    def _render(self) -> RenderableType:
        """The live display; called from its refreshing thread, so it reads `_status` once."""
        status = self._status
        num_timesteps = self._history[-1][1]
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_row(
            ProgressBar(total=self._total_timesteps, completed=num_timesteps),
            f"{num_timesteps / self._total_timesteps:.1%}",
            f"{num_timesteps:,} / {self._total_timesteps:,} steps",
        )
        elapsed = format_duration(self._clock() - self._started_at)
        long = self._clock() - self._history[-1][0] >= LONG_WAIT
        waited_for = [Text(self._phase, style="dim")] if self._phase and long else []
        if status is None:
            return Group(bar, Text(f"elapsed {elapsed}, waiting for the first update"), *waited_for)
        values = [
            ("speed", f"{status.steps_per_second:,.0f} steps/s"),
            ("elapsed", elapsed),
            ("left", format_duration(self._time_left())),
            ("simulation", f"{status.simulation_fraction:.0%}"),
            ("policy", f"{status.policy_fraction:.0%}"),
            ("update", f"{status.update_fraction:.0%}"),
            *displayed_values(status.metrics),
        ]
        view: list[RenderableType] = [
            bar,
            _cells(values, self._live.console.width if self._live is not None else 80),
            *waited_for,
        ]
        if status.checkpoint is None:
            return Group(*view)
        checkpoint = Text("checkpoint ", style="dim", no_wrap=True, overflow="ellipsis")
        return Group(*view, checkpoint.append(status.checkpoint.name, style="not dim"))


def fall_share(metrics: Mapping[str, float]) -> float | None:
    """Share of the ended episodes that ended otherwise than by time-out; None if no episode ended.

    It is the sum of the shares under `episode/`, one per cause, without `episode/time_out`.
    """
    causes = {tag: value for tag, value in metrics.items() if tag.startswith("episode/")}
    share = sum(value for tag, value in causes.items() if tag != "episode/time_out")
    return share if causes and not math.isnan(share) else None


def displayed_values(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Label and formatted value of each displayed metric that has one."""
    values = []
    for label, tag, value_format in DISPLAYED_METRICS:
        value = fall_share(metrics) if tag == FALLS else metrics.get(tag)
        if value is not None and not math.isnan(value):
            values.append((label, format(value, value_format)))
    return values


def format_duration(seconds: float | None) -> str:
    """`h:mm:ss` of a duration in seconds; a question mark if it is unknown."""
    if seconds is None:
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


def _cells(values: Sequence[tuple[str, str]], width: int) -> Table:
    """Labels and values, three to a row where `width` characters allow it."""
    columns = max(1, min(3, (width + CELL_GAP) // (CELL_WIDTH + CELL_GAP)))
    grid = Table.grid(padding=(0, CELL_GAP, 0, 0))
    cells = [
        Text.assemble((label, "dim"), " " * max(1, CELL_WIDTH - len(label) - len(value)), value)
        for label, value in values
    ]
    for row in range(0, len(cells), columns):
        grid.add_row(*cells[row : row + columns])
    return grid


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal that can move its cursor; Python's standard streams may be None or closed."""
    return stream is not None and not stream.closed and stream.isatty() and os.environ.get("TERM") != "dumb"


class EnduringStream(io.TextIOBase):
    """A text stream to which writing never fails: what cannot be written is dropped."""

    def __init__(self, stream: TextIO | None) -> None:
        self._target = stream or open(os.devnull, "w")  # noqa: SIM115

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of what it writes to."""
        return self._target.encoding or "utf-8"

    def isatty(self) -> bool:
        """Whether it is a terminal that can move its cursor."""
        return _is_terminal(self._target)

    def fileno(self) -> int:
        """Of what it writes to."""
        return self._target.fileno()

    def write(self, text: str) -> int:
        """Write, or drop what cannot be written."""
        try:
            self._target.write(text)
        except UnicodeEncodeError:
            self.write(text.encode(self.encoding, "replace").decode(self.encoding))
        except (OSError, ValueError) as error:
            self._drop(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what cannot be flushed."""
        try:
            self._target.flush()
        except (OSError, ValueError) as error:
            self._drop(error)

    def _drop(self, error: OSError | ValueError) -> None:
        """Where the reader is gone for good, point the descriptor elsewhere: Python flushes once more when it exits."""
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.EIO):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._target.fileno())
                os.close(nowhere)
