"""Folders of training runs: a new run never writes into the folder of an older one."""

import glob
import re
from collections.abc import Callable
from pathlib import Path


def run_folders(log_dir: Path, name: str, name_in: Callable[[Path], str | None] = lambda folder: None) -> list[Path]:
    """Folders of the runs called `name`, oldest first: `<name>`, `<name>_2`, `<name>_3`, ...

    Args:
        log_dir: folder that holds the runs.
        name: of the runs.
        name_in: tells from a folder's content the name that its run was started with, None where it does not say. A
            run that was called `walk_2` from the start is none of those called `walk`.
    """
    numbered: list[tuple[int, Path]] = []
    for path in log_dir.glob(f"{glob.escape(name)}*"):
        match = re.fullmatch(re.escape(name) + r"(?:_(\d+))?", path.name)
        if match and path.is_dir() and (match.group(1) is None or name_in(path) in (None, name)):
            numbered.append((int(match.group(1) or 1), path))
    return [path for _, path in sorted(numbered)]


def make_run_folder(log_dir: Path, name: str) -> Path:
    """Create and return the folder of a new run; the name gets a number if it is taken by a folder with content.

    Raises:
        ValueError: the folder cannot be created.
    """
    number = 1
    while True:
        folder = log_dir / (name if number == 1 else f"{name}_{number}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not any(folder.iterdir()):
                _check_writable(folder)
                return folder
        except OSError as error:
            raise ValueError(
                f"cannot write to {folder} ({error.strerror}); choose another folder with --log-dir or --exp-name"
            ) from None
        number += 1


def newest_run_folder(log_dir: Path, name: str, name_in: Callable[[Path], str | None] = lambda folder: None) -> Path:
    """Folder of the newest run called `name` that holds a checkpoint; the arguments are those of `run_folders`.

    Raises:
        ValueError: there is none.
    """
    for folder in reversed(run_folders(log_dir, name, name_in)):
        if any(folder.glob("*.zip")):
            return folder
    raise ValueError(
        f"no run called {name} in {log_dir} holds a checkpoint; train first, or choose another with --exp-name"
    )


def _check_writable(folder: Path) -> None:
    probe = folder / ".write-probe"
    probe.touch()
    probe.unlink()
