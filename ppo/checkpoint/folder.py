"""Which checkpoints a run folder holds: saving without losing anything, finding the newest good one."""

import re
from collections.abc import Callable
from pathlib import Path

from ppo.checkpoint.atomic import remove_abandoned
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.checkpoint.sb3_zip import read_num_timesteps, read_zip, write_zip

STEPS_PATTERN = re.compile(r"_(\d+)_steps\.zip$")


class CheckpointFolder:
    """The folder that a run saves its models in.

    Args:
        folder: the run folder; it must exist.
        prefix: of the names of periodic checkpoints, `<prefix>_<steps>_steps.zip`.
        keep: number of periodic checkpoints to keep; None keeps all.
        warn: called with one line when a model could not be saved.
        saved: called with the path of each model that was saved.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        *,
        keep: int | None = None,
        warn: Callable[[str], None],
        saved: Callable[[Path], None],
    ) -> None:
        self.folder, self.prefix, self.keep, self.warn, self.saved = folder, prefix, keep, warn, saved
        self.newest: Path | None = None

    def save(self, name: str, model: Sb3Model) -> Path | None:
        """Write `<name>.zip`. A full disk or a lost folder is reported; training goes on and older files stay."""
        path = self.folder / f"{name}.zip"
        # Before writing, as they may be what fills the disk.
        remove_abandoned(self.folder)
        try:
            write_zip(path, model)
        except (OSError, CheckpointError) as error:
            reason = getattr(error, "strerror", None) or error
            self.warn(f"{path} could not be saved ({reason}); training goes on, older files are kept")
            return None
        self.newest = path
        self.saved(path)
        self._prune(model.num_timesteps)
        return path

    def _prune(self, num_timesteps: int) -> None:
        """Remove all but the last `keep` periodic checkpoints up to `num_timesteps`.

        Those beyond are files that could not be read when this run continued from an earlier one. Counted in, they
        would push out what was just saved.
        """
        if self.keep is None:
            return
        periodic = periodic_checkpoints(self.folder, self.prefix)
        for path in [path for steps, path in periodic if steps <= num_timesteps][: -self.keep]:
            try:
                path.unlink()
            except OSError as error:
                self.warn(f"{path} could not be removed: {error.strerror}")


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
    raise CheckpointError(f"{folder} holds no checkpoint that can be read; train first, or name one with --load-model")
