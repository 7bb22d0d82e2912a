"""The folders in which Genesis keeps what takes minutes to make, put right before it starts.

Genesis keeps geometry, its compiler Quadrants keeps kernels, both below `~/.cache`, and both make anew what is damaged
there. But Quadrants guards its index with a lock file: a killed program leaves it behind, and every later one then
compiles everything anew, in silence. And neither can do without a folder to write to.
"""

import json
import os
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

CACHES = {"GS_CACHE_FILE_PATH": "genesis", "QD_OFFLINE_CACHE_FILE_PATH": "quadrants/qdcache"}
"""Variable of the environment that names a cache, and where it is below the user's caches without it."""
KNOWN_QUADRANTS = "1.3"
"""Minor version of Quadrants whose files are looked at."""
KERNELS, INDEX, LOCK, TRACES = "kernel_compilation_manager", "qdcache.qdb", "qdcache.lock", "python_side_cache"
"""Folder of compiled kernels, its index and its lock, and the folder that tells which kernel a Python function is."""
LOCKED_SECONDS = 10.0
"""s after which a lock is that of a program that was killed: one is held while an index is read or written."""


def settle_caches(warn: Callable[[str], None]) -> None:
    """Make sure that both caches can be written to and that none is locked for good.

    Args:
        warn: told one line about each thing that makes this start or later ones slow.
    """
    for variable, below in CACHES.items():
        folder = cache_folder(variable)
        reason = _unwritable(folder)
        if reason is not None:
            folder = _temporary_caches() / below
            folder.mkdir(parents=True, exist_ok=True)
            os.environ[variable] = str(folder)
            warn(f"{reason}; what takes minutes to compile is kept in {folder}, as long as that lasts")
        if variable.startswith("QD_"):
            _mend_kernels(folder, warn)


def cache_folder(variable: str) -> Path:
    """The cache that this variable of the environment names, one of `CACHES`."""
    return Path(os.environ.get(variable) or _user_caches() / CACHES[variable])


def _user_caches() -> Path:
    with suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path("/nonexistent")


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be written to a folder that is made where it is missing; None if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    return None


def _temporary_caches() -> Path:
    """A folder of this user alone, the same at every start: what lies in it is run."""
    folder = Path(tempfile.gettempdir()) / f"biped-caches-{os.getuid() if hasattr(os, 'getuid') else 0}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        mine = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)
        if stat.S_ISDIR(found.st_mode) and mine and _unwritable(folder) is None:
            return folder
    return Path(tempfile.mkdtemp(prefix="biped-caches-"))


def _mend_kernels(folder: Path, warn: Callable[[str], None]) -> None:
    """Remove what Quadrants would wait for in vain, and what it would complain of in many lines."""
    _unlock(folder / KERNELS / LOCK)
    with suppress(metadata.PackageNotFoundError):
        if not metadata.version("quadrants").startswith(f"{KNOWN_QUADRANTS}."):
            return
    for trace in (folder / TRACES).glob("*.cache.txt"):
        if not _is_json(trace):
            trace.unlink(missing_ok=True)
    with suppress(OSError):
        index = (folder / KERNELS / INDEX).read_bytes()
        # It begins with its own length.
        if len(index) < 8 or int.from_bytes(index[:8], "little") != len(index):
            warn(f"{folder} is damaged, so the kernels of the simulator are compiled anew, which takes minutes")


def _is_json(path: Path) -> bool:
    with suppress(OSError, ValueError):
        json.loads(path.read_bytes())
        return True
    return False


def _unlock(lock: Path) -> None:
    """Remove a lock that nobody holds, after waiting for one that somebody may."""
    with suppress(OSError):
        patience = time.monotonic() + LOCKED_SECONDS
        while time.time() < lock.stat().st_mtime + LOCKED_SECONDS and time.monotonic() < patience:
            time.sleep(0.2)
        lock.unlink()
