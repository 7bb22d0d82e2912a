"""The checkpoints that can be chosen from: those of every run, newest first, as they are now."""

from pathlib import Path

from app.load import SHIPPED_POLICY

SHIPPED = "(comes with the project)"
"""The name under which the project's own policy stands among the runs."""


class Checkpoints:
    """Runs and the checkpoints in them.

    Args:
        log_dir: folder that holds the runs.
        chosen: the file that is played first; its folder is a run as well, wherever it lies.
    """

    def __init__(self, log_dir: Path, chosen: Path | None) -> None:
        self._log_dir = log_dir
        self._chosen = chosen
        self._runs: dict[str, Path] = {}

    def runs(self) -> tuple[str, ...]:
        """Names of the runs that hold a checkpoint, the newest first; what cannot be read is left out."""
        folders: dict[str, Path] = {}
        try:
            for folder in self._log_dir.iterdir():
                if folder.is_dir():
                    folders[_printable(folder.name)] = folder
        except OSError:
            pass
        known = {folder.resolve() for folder in folders.values()} | {SHIPPED_POLICY.parent.resolve()}
        if self._chosen is not None and self._chosen.parent.resolve() not in known:
            folders[_printable(str(self._chosen.parent))] = self._chosen.parent
        newest = {name: files[0][0] for name, folder in folders.items() if (files := _files(folder))}
        self._runs = {name: folders[name] for name in sorted(newest, key=lambda name: -newest[name])}
        self._runs[SHIPPED] = SHIPPED_POLICY.parent
        return tuple(self._runs)

    def of_run(self, run: str) -> dict[str, Path]:
        """Names and files of the checkpoints of a run, the newest first; empty where there is no such run."""
        folder = self._runs.get(run)
        return {} if folder is None else {_printable(path.stem): path for _, path in _files(folder)}

    def newest(self, run: str) -> Path | None:
        """What was saved last in a run, the best model apart: it is a copy of an earlier one."""
        return next((path for name, path in self.of_run(run).items() if name != "model_best"), None)

    def run_of(self, path: Path) -> str | None:
        """Name of the run that a checkpoint belongs to; None if it belongs to none."""
        folder = path.parent.resolve()
        return next((run for run, other in self._runs.items() if other.resolve() == folder), None)


def _files(folder: Path) -> list[tuple[float, Path]]:
    """Times and paths of the zips in a folder, the newest first."""
    try:
        return sorted(((path.stat().st_mtime, path) for path in folder.glob("*.zip") if path.is_file()), reverse=True)
    except OSError:
        return []


def _printable(name: str) -> str:
    """A name as a browser can show it: names of files may hold what is no text."""
    return name if name.isprintable() else ascii(name)
