"""The films of a training: each is made by a process of its own, which training never waits for before its end."""

import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from app.command_line import USAGE_ERROR
from app.experiment import CHECKPOINT_PREFIX
from app.next_command import ROOT
from ppo.checkpoint.atomic import atomic_write
from ppo.checkpoint.folder import STEPS_PATTERN
from ppo.program.interruption import deferred, helper_environment, requested
from ppo.report.logging import MetricsLogger
from ppo.trainer import next_multiple

FOLDER = "videos"
"""Within the folder of the run."""
FILM_BYTES = 2_000_000
"""What a film takes on the disk, with its copy in the log, at most: about twice that of a robot that walks."""
LAST_FILM_SECONDS = 300.0
"""s that the end of a training waits for films."""
LOW_PRIORITY = 10
"""Niceness of a process that films while training goes on: on a core that it shares it gets a tenth of the time."""
ENDING_SECONDS = 2.0
"""s in which a process that is told to end does so; it dies otherwise."""
MESA = Path("/usr/share/glvnd/egl_vendor.d/50_mesa.json")
"""Where Linux says that Mesa is installed, which renders without a GPU."""
PROGRAM = (sys.executable, "-m", "app.filming")


class Take(NamedTuple):
    """A film in the making."""

    checkpoint: Path
    steps: int
    """Control steps that the checkpoint was trained for."""
    process: "subprocess.Popen[bytes]"
    errors: IO[bytes]
    """What the process complains of."""


class Films:
    """Films checkpoints as they are saved: the first one after each multiple of so many control steps.

    At most one film is in the making; one that is due meanwhile is left out. A film that fails is one line of warning.
    Nothing here raises because of a film. What a process has made is picked up when the next checkpoint is saved.

    Args:
        run_folder: whose `videos` the films go to.
        frequency: control steps between two films.
        first: control steps at which training begins.
        logger: shows the films as well.
        say: called with one line about each film, made or failed.
        on_gpu: training uses a GPU, which is left alone.
        program: words before the paths of checkpoint, MP4 and GIF that start the process.
        patience: s that the end of the training waits for films at most.
    """

    def __init__(
        self,
        run_folder: Path,
        frequency: int,
        first: int,
        *,
        logger: MetricsLogger,
        say: Callable[[str], None],
        on_gpu: bool,
        program: Sequence[str] = PROGRAM,
        patience: float = LAST_FILM_SECONDS,
    ) -> None:
        self._folder, self._frequency, self._logger, self._say = run_folder / FOLDER, frequency, logger, say
        self._environment, self._program, self._patience = film_environment(on_gpu), program, patience
        self._due = self._first_due = next_multiple(first, frequency)
        self._filmed = -1
        self._take: Take | None = None
        self._workshop: tempfile.TemporaryDirectory[str] | None = None

    def saved(self, path: Path) -> None:
        """Film this new checkpoint if a film is due, none is in the making, and it is named by its number of steps."""
        self._pick_up()
        match = STEPS_PATTERN.search(path.name)
        if match is None or int(match[1]) < self._due:
            return
        steps = int(match[1])
        self._due = next_multiple(steps, self._frequency)
        if self._take is None:
            self._start(path, steps, LOW_PRIORITY)

    def finish(self, path: Path | None, steps: int) -> int | None:
        """Film the last model of a training that is complete, unless no film was due in it, and wait for all films.

        Args:
            path: of the model; None if it could not be saved.
            steps: control steps that it was trained for.

        Returns:
            The number of a signal that came meanwhile and ended the waiting, else None.
        """
        with deferred():
            deadline = time.monotonic() + self._patience
            if steps >= self._first_due and path is not None:
                self._say(f"waiting for the film of the last model, up to {self._patience:.0f} s")
                self._wait(deadline)
                if self._filmed < steps >= self._first_due and requested() is None:
                    self._start(path, steps, 0)
                self._wait(deadline)
            if self._take is not None and requested() is None:
                self._say(f"film of {self._take.checkpoint} left out: it takes too long")
            return requested()

    def close(self) -> None:
        """End the process of a film in the making, and remove what it has written. A second call does nothing."""
        take, self._take = self._take, None
        if take is not None:
            take.process.terminate()
            try:
                take.process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                take.process.kill()
                take.process.wait()
            take.errors.close()
        if self._workshop is not None:
            self._workshop.cleanup()
            self._workshop = None

    def _start(self, path: Path, steps: int, niceness: int) -> None:
        try:
            if self._workshop is None:
                self._workshop = tempfile.TemporaryDirectory(prefix="film-", ignore_cleanup_errors=True)
            errors = tempfile.TemporaryFile()  # noqa: SIM115
            process = subprocess.Popen(
                [*self._program, str(path.resolve()), *map(str, self._files())],
                cwd=ROOT,
                env=self._environment | helper_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                # Ctrl-C is for the training, which decides what becomes of the film.
                start_new_session=True,
            )
            if hasattr(os, "setpriority"):
                with suppress(OSError):  # It has ended already.
                    os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + niceness)
        except OSError as error:
            self._say(f"film of {path} failed: {error.strerror or error}")
            return
        self._filmed, self._take = steps, Take(path, steps, process, errors)

    def _files(self) -> tuple[Path, Path]:
        """MP4 and GIF of the film in the making."""
        assert self._workshop is not None
        folder = Path(self._workshop.name)
        return folder / "film.mp4", folder / "film.gif"

    def _wait(self, deadline: float) -> None:
        while self._take is not None and time.monotonic() < deadline and requested() is None:
            time.sleep(0.05)
            self._pick_up()

    def _pick_up(self) -> None:
        """Take over a film that is made, or say why it is not."""
        take = self._take
        if take is None or take.process.poll() is None:
            return
        self._take = None
        with take.errors:
            take.errors.seek(0)
            lines = take.errors.read().decode(errors="replace").strip().splitlines()
        if take.process.returncode == 0:
            try:
                self._show(take)
            except (OSError, struct.error) as error:
                self._say(f"film of {take.checkpoint} failed: {error}")
            return
        # Of a traceback the last line says what happened.
        reason = lines[-1] if lines else f"its process ended with {take.process.returncode}"
        end = ""
        if take.process.returncode == USAGE_ERROR:
            self._due = self._first_due = float("inf")
            end = "; there will be no films"
        self._say(f"film of {take.checkpoint} failed: {reason}{end}")

    def _show(self, take: Take) -> None:
        film, animation = self._files()
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{CHECKPOINT_PREFIX}_{take.steps}_steps.mp4"
        with atomic_write(path) as file:
            file.write(film.read_bytes())
        self._logger.log_film("film", path, animation.read_bytes(), take.steps)
        self._say(f"filmed {path}")


def film_environment(on_gpu: bool, mesa: Path = MESA) -> dict[str, str]:
    """Variables of the environment in which a film leaves GPUs alone, and a display, and takes one core.

    Args:
        on_gpu: training uses a GPU. Where only its driver can render, nothing is rendered unless MUJOCO_GL says so.
        mesa: names Mesa's library, if it is there.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    if not environment.get("MUJOCO_GL"):
        if mesa.exists():
            environment |= {"__EGL_VENDOR_LIBRARY_FILENAMES": str(mesa), "LIBGL_ALWAYS_SOFTWARE": "1"}
        elif on_gpu:
            environment["MUJOCO_GL"] = "osmesa"
    return environment


def most_films(total_timesteps: int, frequency: int) -> int:
    """How many films a training makes at most."""
    return total_timesteps // frequency + 1 if total_timesteps >= frequency else 0
