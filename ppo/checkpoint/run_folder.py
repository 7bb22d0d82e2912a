"""Folders of training runs: a new run never writes into the folder of an older one."""

import glob
import re
import shutil
from collections.abc import Callable
from pathlib import Path

CLAIM = "config.yaml"
"""What a process creates in an empty folder to make it its own; the run's configuration goes there."""
RUNS_TO_NAME = 5
"""Most runs that a message lists."""


def run_folders(log_dir: Path, name: str, name_in: Callable[[Path], str | None] = lambda folder: None) -> list[Path]:
    """Folders of the runs called `name`, oldest first: `<name>`, `<name>_2`, `<name>_3`, ...

    Args:
        log_dir: folder that holds the runs.
        name: of the runs.
        name_in: tells from a folder's content the name that its run was started with, None where it does not say. A
            run that was called `walk_2` from the start is none of those called `walk`.

    Raises:
        ValueError: `log_dir` cannot be read.
    """
    numbered: list[tuple[int, Path]] = []
    try:
        for path in log_dir.glob(f"{glob.escape(name)}*"):
            match = re.fullmatch(re.escape(name) + r"(?:_(\d+))?", path.name)
            if match and path.is_dir() and (match.group(1) is None or name_in(path) in (None, name)):
                numbered.append((int(match.group(1) or 1), path))
    except OSError as error:
        raise ValueError(f"{log_dir}: {error.strerror or error}") from None
    return [path for _, path in sorted(numbered)]


def make_run_folder(log_dir: Path, name: str) -> Path:
    """Create and return the folder of a new run; the name gets a number if it is taken by a folder with content.

    However many processes ask for the same name at once, each gets a folder of its own. It holds an empty `CLAIM`.

    Raises:
        ValueError: the folder cannot be created.
    """
    number = 1
    while True:
        folder = log_dir / (name if number == 1 else f"{name}_{number}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not any(folder.iterdir()):
                (folder / CLAIM).open("xb").close()
                return folder
        except OSError as error:
            claimed_by_another = isinstance(error, FileExistsError) and folder.is_dir()
            if not claimed_by_another:
                raise ValueError(f"cannot write to {folder} ({error.strerror or error})") from None
        number += 1


def discard_run_folder(folder: Path) -> None:
    """Remove the folder that `make_run_folder` has given to a run that cannot start after all; never raises."""
    shutil.rmtree(folder, ignore_errors=True)


def newest_run_folder(log_dir: Path, name: str, name_in: Callable[[Path], str | None] = lambda folder: None) -> Path:
    """Folder of the newest run called `name` that holds a checkpoint; the arguments are those of `run_folders`.

    Raises:
        ValueError: there is none; the message names the runs that there are.
    """
    for folder in reversed(run_folders(log_dir, name, name_in)):
        if any(folder.glob("*.zip")):
            return folder
    message = f"no run called {_printable(name)} in {log_dir} holds a checkpoint"
    others = list_runs(log_dir)
    if others is None:
        raise ValueError(message)
    raise ValueError(f"{message}; there are, newest first: {others}")


def runs_by_age(log_dir: Path) -> list[Path]:
    """Folders that hold a checkpoint, whatever they are called, the newest one first; none if that cannot be told."""
    newest: list[tuple[float, Path]] = []
    try:
        for folder in log_dir.iterdir():
            times = [path.stat().st_mtime for path in folder.glob("*.zip") if path.is_file()]
            if times:
                newest.append((max(times), folder))
    except OSError:
        return []
    return [folder for _, folder in sorted(newest, reverse=True)]


def list_runs(log_dir: Path) -> str | None:
    """The newest runs in the folder that hold a checkpoint, whatever they are called, in words; None without any."""
    names = [_printable(folder.name) for folder in runs_by_age(log_dir)]
    more = len(names) - RUNS_TO_NAME
    return ", ".join(names[:RUNS_TO_NAME]) + (f" and {more} more" if more > 0 else "") if names else None


def _printable(name: str) -> str:
    """The name of a folder, which may hold any character, as it can stand in one line."""
    return name if name.isprintable() else ascii(name)
