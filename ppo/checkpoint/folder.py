"""Which checkpoints a run folder holds: saving without losing anything, finding the newest good one."""

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ppo.checkpoint.atomic import remove_abandoned
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.checkpoint.sb3_zip import read_num_timesteps, read_zip, write_zip

WHOLE = 2
"""Periodic checkpoints that stay whole, so that a damaged one costs little; older ones hold the policy alone."""
STEPS_PATTERN = re.compile(r"_(\d+)_steps\.zip$")


class CheckpointFolder:
    """The folder that a run saves its models in.

    Args:
        folder: the run folder; it must exist.
        prefix: of the names of periodic checkpoints, `<prefix>_<steps>_steps.zip`.
        keep: number of periodic checkpoints to keep; None keeps all. All but the last `WHOLE` are lightened.
        warn: called with one line when a model could not be saved.
        saved: called with the path of each model that was saved.
        refuges: where the last model of a run goes if its folder cannot take it; the first that can.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        *,
        keep: int | None = None,
        warn: Callable[[str], None],
        saved: Callable[[Path], None],
        refuges: Sequence[Path] = (),
    ) -> None:
        self.folder, self.prefix, self.keep, self.warn, self.saved = folder, prefix, keep, warn, saved
        self.refuges = refuges
        self.newest: Path | None = None

    def save(self, name: str, model: Sb3Model) -> Path | None:
        """Write `<name>.zip`. A full disk or a lost folder is reported; training goes on and older files stay."""
        path = self.folder / f"{name}.zip"
        try:
            self._write(path, model)
        except (OSError, CheckpointError) as error:
            self.warn(f"{path} could not be saved ({_reason(error)}); training goes on, older files are kept")
            return None
        return path

    def save_last(self, name: str, model: Sb3Model) -> Path:
        """Write `<name>.zip`, after which there will be no other; what the folder cannot take goes elsewhere.

        Raises:
            CheckpointError: the folder could not take it; the message says where the model is, or the newest one that
                was saved.
        """
        path = self.folder / f"{name}.zip"
        try:
            self._write(path, model)
        except (OSError, CheckpointError) as error:
            newest = "no model was saved" if self.newest is None else f"the newest model is {self.newest}"
            if isinstance(error, CheckpointError):
                raise CheckpointError(f"{error}; {newest}") from None
            problem = f"{path} could not be saved ({_reason(error)})"
            refuge = self._write_elsewhere(path.name, model)
            if refuge is not None:
                raise CheckpointError(f"{problem}; it is in {refuge} instead") from None
            raise CheckpointError(f"{problem}, nor anywhere else; {newest}") from None
        return path

    def _write_elsewhere(self, name: str, model: Sb3Model) -> Path | None:
        """Write a file that the folder cannot take to a new folder; returns its path, or None where that fails, too."""
        for place in self.refuges:
            with suppress(OSError):
                folder = Path(tempfile.mkdtemp(prefix=f"{self.folder.name}-", dir=place))
                try:
                    write_zip(folder / name, model)
                except OSError:
                    folder.rmdir()
                    raise
                return folder / name
        return None

    def _write(self, path: Path, model: Sb3Model) -> None:
        # Before writing, as they may be what fills the disk.
        remove_abandoned(self.folder)
        write_zip(path, model)
        self.newest = path
        self.saved(path)
        # Those beyond are files that could not be read when this run continued from an earlier one. Counted in, they
        # would push out what was just saved.
        up_to_now = periodic_checkpoints(self.folder, self.prefix)
        periodic = [periodic for steps, periodic in up_to_now if steps <= model.num_timesteps]
        if path in periodic:
            self._make_room(periodic)

    def _make_room(self, periodic: Sequence[Path]) -> None:
        """Remove all but the last `keep` periodic checkpoints, and lighten the newest one that need not be whole."""
        kept = len(periodic) if self.keep is None else self.keep
        for path in periodic[:-kept]:
            try:
                path.unlink()
            except OSError as error:
                self.warn(f"{path} could not be removed: {error.strerror}")
        for path in periodic[-kept:][-WHOLE - 1 : -WHOLE]:
            try:
                write_zip(path, read_zip(path).lightened())
            except (OSError, CheckpointError) as error:
                self.warn(f"{path} stays as large as it is: {_reason(error)}")


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def periodic_checkpoints(folder: Path, prefix: str) -> list[tuple[int, Path]]:
    """Step numbers and paths of the checkpoints named by step number, oldest first."""
    return sorted(
        (int(match.group(1)), path)
        for path in folder.glob(f"{prefix}_*_steps.zip")
        if (match := STEPS_PATTERN.search(path.name))
    )


def newest_checkpoint(folder: Path, prefix: str, warn: Callable[[str], None]) -> tuple[Path, Sb3Model]:
    """The readable model with the most control steps: periodic, interrupted or final, never `model_best.zip`.

    Files that cannot be read are passed over with a warning that names them.

    Raises:
        CheckpointError: the folder holds no readable model.
    """
    # At equal steps the later in this list wins: an interrupted model may lack the state of its environments.
    periodic = [path for _, path in periodic_checkpoints(folder, prefix)]
    candidates = [folder / "model_interrupted.zip", *periodic, folder / "model_final.zip"]
    ranked: list[tuple[int, int, Path]] = []
    for order, path in enumerate(candidates):
        if not path.exists():
            continue
        try:
            ranked.append((read_num_timesteps(path), order, path))
        except CheckpointError as error:
            warn(f"passed over: {error}")
    for _, _, path in sorted(ranked, reverse=True):
        try:
            return path, read_zip(path)
        except CheckpointError as error:
            warn(f"passed over: {error}")
    raise CheckpointError(f"{folder} holds no checkpoint that can be read")
