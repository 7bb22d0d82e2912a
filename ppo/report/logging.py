"""Where a run's metrics go: a numbered run folder with a TensorBoard event file, and Weights & Biases if asked for."""

import io
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo.checkpoint.atomic import atomic_write
from ppo.report.dashboard import Dashboard, summaries
from ppo.report.event_file import EventFile, read_scalars

RUN_NAME = "RecurrentPPO"
WANDB_ID_FILE = "wandb-run-id.txt"
"""File in the run folder: which run at Weights & Biases goes on when this one is continued."""


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


def read_log(log_folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of the run with the highest number, as `read_scalars` gives them; nothing where there is none.

    Args:
        log_folder: Folder that holds the runs of one experiment.

    Raises:
        OSError: they cannot be read.
    """
    folder = next_run_folder(log_folder, reuse=True)
    return read_scalars(folder) if folder.is_dir() else {}


class MetricsLogger:
    """Writes scalars, pictures and films to TensorBoard and, if asked for, to Weights & Biases.

    Training never stops for its log: a writer that fails is reported once through `warn` and left out from then on.

    Args:
        run_folder: Where the event file goes, and the local copy of Weights & Biases; created if missing.
        wandb: Settings of Weights & Biases; None leaves the package unimported.
        config: The run's configuration, shown by Weights & Biases.
        warn: Called with one line when a writer fails.
        continued_from: Control steps of the checkpoint that an earlier run in `run_folder` is continued from: what that
            run logged beyond is removed, and its run at Weights & Biases goes on. None starts new ones.

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
        continued_from: int | None = None,
    ) -> None:
        if wandb is not None:
            require_wandb()
        self._warn = warn
        self._first_step = continued_from or 0
        self._event_file: EventFile | None = None
        self._wandb_run: _WandbRun | None = None
        with self._surviving_tensorboard():
            self._event_file = EventFile(run_folder, continued_from)
        if wandb is not None:
            with self._surviving_wandb():
                self._wandb_run = _WandbRun(run_folder, wandb, config, continued=continued_from is not None)

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

    def log_film(self, tag: str, path: Path, gif: bytes, num_timesteps: int) -> None:
        """Show a film: its copy as a GIF in TensorBoard, the file itself at Weights & Biases."""
        if self._event_file is not None:
            with self._surviving_tensorboard():
                self._event_file.write_animation(tag, gif, num_timesteps)
        if self._wandb_run is not None:
            with self._surviving_wandb():
                self._wandb_run.log_film(tag, path, num_timesteps)

    def arrange(self, dashboard: Dashboard, config: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        """Show the run's flags beside its results and `document` as text, and arrange its scalars."""
        if self._event_file is not None:
            with self._surviving_tensorboard():
                for summary in summaries(dashboard, config, document):
                    self._event_file.write_summary(summary, self._first_step)
        if self._wandb_run is not None:
            with self._surviving_wandb():
                self._wandb_run.arrange(dashboard)

    def log_picture(self, tag: str, png: bytes, num_timesteps: int) -> None:
        """Show a PNG."""
        if self._event_file is not None:
            with self._surviving_tensorboard():
                self._event_file.write_picture(tag, png, num_timesteps)
        if self._wandb_run is not None:
            with self._surviving_wandb():
                self._wandb_run.log_picture(tag, png, num_timesteps)

    def log_checkpoint(self, path: Path) -> None:
        """Upload a checkpoint as the next version of the run's model at Weights & Biases; without it, do nothing.

        Weights & Biases takes its own copy first, so the file may be replaced or deleted afterwards.
        """
        if self._wandb_run is not None:
            with self._surviving_wandb():
                self._wandb_run.keep(path, "model")

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


class _WandbRun:
    """One run at Weights & Biases; every method may raise whatever the package raises."""

    def __init__(self, run_folder: Path, wandb: WandbConfig, config: Mapping[str, Any], *, continued: bool) -> None:
        # The package takes an empty variable for a bad value, not for none.
        for variable in [name for name, value in os.environ.items() if not value and name.startswith("WANDB_")]:
            del os.environ[variable]
        # Some versions listen to the variable only, and not to the setting.
        os.environ.setdefault("WANDB_SILENT", "true")
        from wandb import Settings, init

        run_id = os.environ.get("WANDB_RUN_ID") or (_stored_run_id(run_folder) if continued else None)
        self._run = init(
            project=wandb.project,
            entity=wandb.entity,
            name=wandb.run_name,
            id=run_id,
            # Where the run is not known, as with one that was never uploaded, a new one of that id begins.
            resume="allow" if continued and run_id is not None else None,
            config=dict(config),
            dir=str(run_folder),
            # `console="off"`: capturing the terminal would store every refresh of the live display.
            settings=Settings(console="off"),
        )
        with suppress(OSError), atomic_write(run_folder / WANDB_ID_FILE) as file:
            file.write(self._run.id.encode())
        self._run.define_metric("global_step")
        self._run.define_metric("*", step_metric="global_step")

    @property
    def url(self) -> str | None:
        # Asked offline, the package would answer with a warning on the terminal.
        url: str | None = None if self._run.offline else self._run.url
        return url

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        self._run.log({**scalars, "global_step": step})

    def log_film(self, tag: str, path: Path, step: int) -> None:
        from wandb import Video

        self._run.log({tag: Video(str(path), format="mp4"), "global_step": step})

    def arrange(self, dashboard: Dashboard) -> None:
        # Sections are made of what stands before the slash of a tag.
        for tag in dashboard.results:
            self._run.define_metric(tag, step_metric="global_step", summary="last,max")

    def log_picture(self, tag: str, png: bytes, step: int) -> None:
        from PIL import Image as Picture
        from wandb import Image

        self._run.log({tag: Image(Picture.open(io.BytesIO(png))), "global_step": step})

    def keep(self, path: Path, kind: str) -> None:
        from wandb import Artifact

        artifact = Artifact(f"{kind}-{self._run.id}", type=kind)
        artifact.add_file(str(path))
        self._run.log_artifact(artifact, aliases=["latest", path.stem])

    def close(self) -> None:
        self._run.finish()


def keep_report(run_folder: Path, wandb: WandbConfig, path: Path) -> str | None:
    """Keep a page about a run with that run at Weights & Biases, as an artifact; returns in one line why it cannot be.

    Args:
        run_folder: where the run was logged.
        wandb: its settings.
        path: of the page.
    """
    if _stored_run_id(run_folder) is None:
        return "the run's folder does not tell which one it was"
    try:
        require_wandb()
        run = _WandbRun(run_folder, wandb, {}, continued=True)
        run.keep(path, "report")
        run.close()
    except Exception as error:  # as in `MetricsLogger`
        return _one_line(error)
    return None


def _stored_run_id(run_folder: Path) -> str | None:
    """Which run at Weights & Biases the folder's run was; None where the folder does not tell."""
    try:
        run_id = (run_folder / WANDB_ID_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return run_id if re.fullmatch(r"[A-Za-z0-9_-]{1,128}", run_id) else None


def require_wandb() -> None:
    """Import Weights & Biases; names are imported because a folder `wandb/` of old runs also passes as a package."""
    try:
        from wandb import Artifact, Settings, init  # noqa: F401
    except ImportError as error:
        raise WandbMissingError("Weights & Biases needs the package wandb: pip install wandb") from error


def _one_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
