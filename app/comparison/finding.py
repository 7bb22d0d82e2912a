"""Which runs are meant by what a user types."""

import glob
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from app.comparison.run_log import RunLog, read_run
from app.run_configuration import stored_name
from ppo.checkpoint.run_folder import CLAIM, list_runs, newest_run_folder


def find_runs(words: Sequence[str], log_dir: Path, warn: Callable[[str], None]) -> list[RunLog]:
    """The runs that words name, each once, in their order.

    Args:
        words: each the folder of a run, a folder that holds runs, or the name that `train.py --seeds` was given, where
            such a folder would lie; in `log_dir` as well.
        log_dir: folder that holds the runs.
        warn: called with one line for each run that has logged nothing, in a folder that holds others.

    Raises:
        ValueError: a word names no run, or one that cannot be read.
    """
    runs: dict[Path, RunLog] = {}
    for word in words:
        try:
            folders = folders_of(word, log_dir)
        except OSError as error:
            raise ValueError(f"{error.filename or word}: {error.strerror or error}") from None
        complaints = []
        for folder in folders:
            try:
                runs.setdefault(folder.resolve(), read_run(folder))
            except ValueError as error:
                complaints.append(str(error))
        if len(complaints) == len(folders):
            raise ValueError(complaints[0])
        for complaint in complaints:
            warn(f"passed over: {complaint}")
    return list(runs.values())


def folders_of(word: str, log_dir: Path) -> list[Path]:
    """Folders of the runs that a word names.

    Raises:
        ValueError: it names none.
    """
    empty = None
    for place in (Path(word), log_dir / word):
        if (place / CLAIM).is_file():
            return [place]
        if place.is_dir():
            empty = place
            held = sorted(folder for folder in place.iterdir() if (folder / CLAIM).is_file())
            if held:
                return held
        seeds = seed_folders(place)
        if seeds:
            return seeds
    if empty is not None:
        raise ValueError(f"{empty} holds no run: neither it nor a folder in it has a {CLAIM}")
    there = list_runs(log_dir)
    known = f"; there are, newest first: {there}" if there else ""
    raise ValueError(f"no run and no folder of runs is called {word}{known}")


def seed_folders(common: Path) -> list[Path]:
    """Folders of the newest runs that `train.py --seeds` made under a name, one per seed, by seed."""
    if not common.name:
        return []
    names: dict[int, str] = {}
    for folder in common.parent.glob(f"{glob.escape(common.name)}_seed*"):
        match = re.fullmatch(re.escape(common.name) + r"_seed(\d+)(_\d+)?", folder.name)
        if match and any(folder.glob("*.zip")):
            names[int(match[1])] = f"{common.name}_seed{match[1]}"
    return [newest_run_folder(common.parent, name, stored_name) for _, name in sorted(names.items())]
