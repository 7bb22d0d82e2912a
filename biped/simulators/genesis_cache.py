"""The folders in which Genesis keeps what takes minutes to make: put right before it starts, and written early.

Genesis keeps geometry, its compiler Quadrants keeps kernels, both below `~/.cache`. Quadrants writes nothing before the
program ends, and guards its index with a lock file that a killed program leaves behind; from then on it compiles
everything anew, in silence.
"""

import os
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

CACHES = {"GS_CACHE_FILE_PATH": "genesis", "QD_OFFLINE_CACHE_FILE_PATH": "quadrants/qdcache"}
"""Variable of the environment that names a cache, and where it is below the user's caches without it."""
LOCK = Path("kernel_compilation_manager") / "qdcache.lock"
"""Below the cache of Quadrants."""
LOCKED_SECONDS = 10.0
"""s after which a lock is that of a program that was killed: one is held while an index is read or written."""


def settle_caches(warn: Callable[[str], None]) -> None:
    """Make sure that both caches can be written to and that none is locked for good.

    Args:
        warn: told one line where caches must be elsewhere.
    """
    for variable, below in CACHES.items():
        folder = Path(os.environ.get(variable) or _user_caches() / below)
        reason = _unwritable(folder)
        if reason is not None:
            folder = _temporary_caches() / below
            folder.mkdir(parents=True, exist_ok=True)
            os.environ[variable] = str(folder)
            warn(f"{reason}; what takes minutes to compile is kept in {folder}, as long as that lasts")
        _unlock(folder / LOCK)


def keep_kernels() -> None:
    """Write the kernels that are compiled by now to the disk, so that whatever ends this program does not cost them."""
    # An internal of Quadrants: a version without it writes them when the program ends.
    with suppress(ImportError, AttributeError, RuntimeError):
        import_module("quadrants.lang.impl").get_runtime().prog.dump_cache_data_to_disk()


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


def _unlock(lock: Path) -> None:
    """Remove a lock that nobody holds, after waiting for one that somebody may."""
    with suppress(OSError):
        while (age := time.time() - lock.stat().st_mtime) < LOCKED_SECONDS:
            time.sleep(min(0.2, LOCKED_SECONDS - age))
        lock.unlink()
