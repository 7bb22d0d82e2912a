"""Where a run's metrics go: a numbered run folder with a TensorBoard event file, and Weights & Biases if asked for."""

import itertools
import math
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

RUN_NAME = "RecurrentPPO"


class WandbMissingError(ValueError):
    """Weights & Biases was asked for but its package is not installed."""


@dataclass(frozen=True)
class WandbConfig:
    """Where Weights & Biases files the run; the package reads mode, server and key from its own `WANDB_*` variables."""

    project: str = "biped-rl-sb3"
    """Project the run belongs to."""
    entity: str | None = None
    """User or team that owns the project; None is the account's default."""
    run_name: str | None = None
    """Name of the run; None lets Weights & Biases draw one."""


def next_run_folder(log_folder: Path, *, reuse: bool) -> Path:
    """The folder of the next run, `log_folder/RecurrentPPO_<k>`, numbered as Stable-Baselines3 numbers it.

    Creates nothing.

    Args:
        log_folder: Folder that holds the runs of one experiment; need not exist.
        reuse: Continue in the run with the highest number instead of starting the one after it.

    Returns:
        The path with `k` = 1 + the highest number present. With `reuse` the highest that is a folder; where there is
        none, `RecurrentPPO_1`.
    """
    numbered = {
        path: int(match[1])
        for path in (log_folder.iterdir() if log_folder.is_dir() else ())
        if (match := re.fullmatch(rf"{RUN_NAME}_([0-9]+)", path.name))
    }
    if reuse:
        folders = [path for path in numbered if path.is_dir()]
        return max(folders, key=lambda path: numbered[path], default=log_folder / f"{RUN_NAME}_1")
    return log_folder / f"{RUN_NAME}_{1 + max(numbered.values(), default=0)}"


class MetricsLogger:
    """Writes scalars to TensorBoard and, if asked for, to Weights & Biases.

    Training never stops for its log: a writer that fails is reported once through `warn` and left out from then on.

    Args:
        run_folder: Where the event file goes, and the local copy of Weights & Biases; created if missing.
        wandb: Settings of Weights & Biases; None leaves the package unimported.
        config: The run's configuration, shown by Weights & Biases.
        warn: Called with one line when a writer fails.

    Raises:
        WandbMissingError: `wandb` is given and the package is not installed.
    """

    def __init__(
        self,
        run_folder: Path,
        *,
        wandb: WandbConfig | None,
        config: Mapping[str, Any],
        warn: Callable[[str], None],
    ) -> None:
        if wandb is not None:
            require_wandb()
        self._warn = warn
        self._event_file: _EventFile | None = None
        self._wandb_run: _WandbRun | None = None
        with self._surviving_tensorboard():
            self._event_file = _EventFile(run_folder)
        if wandb is not None:
            with self._surviving_wandb():
                self._wandb_run = _WandbRun(run_folder, wandb, config)

    @property
    def wandb_url(self) -> str | None:
        """The run's page at Weights & Biases; None offline and without Weights & Biases."""
        return None if self._wandb_run is None else self._wandb_run.url

    def log(self, metrics: Mapping[str, float], num_timesteps: int) -> None:
        """Write scalars under their tags (`rollout/ep_rew_mean`); NaN means "nothing to report" and is left out.

        The values are on disk, in the operating system's hands, when this returns.

        Args:
            metrics: Tag to value.
            num_timesteps: Control steps taken in all environments together; the x axis.
        """
        scalars = {tag: float(value) for tag, value in metrics.items() if not math.isnan(value)}
        if not scalars:
            return
        if self._event_file is not None:
            with self._surviving_tensorboard():
                self._event_file.write(scalars, num_timesteps)
        if self._wandb_run is not None:
            with self._surviving_wandb():
                self._wandb_run.log(scalars, num_timesteps)

    def log_checkpoint(self, path: Path) -> None:
        """Upload a checkpoint as the next version of the run's model at Weights & Biases; without it, do nothing.

        Weights & Biases takes its own copy first, so the file may be replaced or deleted afterwards.
        """
        if self._wandb_run is not None:
            with self._surviving_wandb():
                self._wandb_run.log_checkpoint(path)

    def close(self) -> None:
        """Finish both logs; Weights & Biases waits here until everything is uploaded. A second call does nothing."""
        if self._event_file is not None:
            with self._surviving_tensorboard():
                self._event_file.close()
            self._event_file = None
        if self._wandb_run is not None:
            with self._surviving_wandb():
                self._wandb_run.close()
            self._wandb_run = None

    @contextmanager
    def _surviving_tensorboard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._event_file is not None:
                with suppress(OSError):
                    self._event_file.close()
                self._event_file = None
            self._warn(f"TensorBoard logging stops: {_one_line(error)}")

    @contextmanager
    def _surviving_wandb(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # network, login, server and service process each raise classes of their own
            self._wandb_run = None
            self._warn(f"Weights & Biases logging stops: {_one_line(error)}")


class _EventFile:
    """One TensorBoard event file of scalars.

    Written record by record on the caller's thread: TensorBoard's own `EventFileWriter` imports TensorFlow where that
    is installed, and its background thread reports a full disk as a traceback on the terminal.
    """

    _serial = itertools.count()

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names: seconds first, serial last.
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(self._serial)}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self._started = False
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        if not self._started:
            # Hides what an interrupted run wrote beyond the checkpoint this run continues from.
            self._write(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))
            self._started = True
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()


class _WandbRun:
    """One run at Weights & Biases; every method may raise whatever the package raises."""

    def __init__(self, run_folder: Path, wandb: WandbConfig, config: Mapping[str, Any]) -> None:
        from wandb import Settings, init

        self._run = init(
            project=wandb.project,
            entity=wandb.entity,
            name=wandb.run_name,
            config=dict(config),
            dir=str(run_folder),
            # `console="off"`: capturing the terminal would store every refresh of the live display.
            settings=Settings(console="off", silent=os.environ.get("WANDB_SILENT", "true").lower() in ("true", "1")),
        )
        self._run.define_metric("global_step")
        self._run.define_metric("*", step_metric="global_step")

    @property
    def url(self) -> str | None:
        # Asked offline, the package would answer with a warning on the terminal.
        url: str | None = None if self._run.offline else self._run.url
        return url

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        self._run.log({**scalars, "global_step": step})

    def log_checkpoint(self, path: Path) -> None:
        from wandb import Artifact

        artifact = Artifact(f"model-{self._run.id}", type="model")
        artifact.add_file(str(path))
        self._run.log_artifact(artifact, aliases=["latest", path.stem])

    def close(self) -> None:
        self._run.finish()


def require_wandb() -> None:
    """Import Weights & Biases; names are imported because a folder `wandb/` of old runs also passes as a package."""
    try:
        from wandb import Artifact, Settings, init  # noqa: F401
    except ImportError as error:
        raise WandbMissingError("--wandb needs the package wandb: pip install wandb") from error


def _one_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
