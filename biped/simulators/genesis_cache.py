"""The folders in which Genesis keeps what takes minutes to make: put right before it starts, and written early.

Genesis keeps geometry, its compiler Quadrants keeps kernels, both below `~/.cache`. Of Quadrants one must know:

- It writes nothing before the program ends.
- It guards its index with a lock file. A killed program leaves it behind, and every later one then compiles everything
  anew, in silence.
- A kernel that is in its index but not whole on the disk ends the program with a segmentation fault.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path

CACHES = {"GS_CACHE_FILE_PATH": "genesis", "QD_OFFLINE_CACHE_FILE_PATH": "quadrants/qdcache"}
"""Variable of the environment that names a cache, and where it is below the user's caches without it."""
KNOWN_QUADRANTS = "1.3"
"""Minor version of Quadrants whose files are looked into."""
KERNELS, INDEX, LOCK, TRACES = "kernel_compilation_manager", "qdcache.qdb", "qdcache.lock", "python_side_cache"
"""Folder of compiled kernels, its index and its lock, and the folder that tells which kernel a Python function is."""
INDEXED = re.compile(rb"T[0-9a-f]{64}")
"""Name of a kernel in the index."""
HEADER, DIGEST = struct.Struct("<8sQQ"), 64
"""A kernel's file: magic and two lengths, the two parts, and the hexadecimal SHA-256 of both together."""
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
        if variable.startswith("QD_"):
            _mend_kernels(folder, warn)


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


def _mend_kernels(folder: Path, warn: Callable[[str], None]) -> None:
    """Remove what Quadrants would wait for in vain or stumble over."""
    with suppress(metadata.PackageNotFoundError):
        if not metadata.version("quadrants").startswith(f"{KNOWN_QUADRANTS}."):
            return
    for trace in (folder / TRACES).glob("*.cache.txt"):
        if not _is_json(trace):
            trace.unlink(missing_ok=True)
    # What looks broken may be on its way to the disk, so it is looked at twice.
    for _ in range(2):
        _unlock(folder / KERNELS / LOCK)
        if kernels_whole(folder / KERNELS):
            return
    for part in (KERNELS, TRACES):
        shutil.rmtree(folder / part, ignore_errors=True)
    warn(f"{folder} was damaged, so all kernels of the simulator are compiled anew, which takes minutes")


def kernels_whole(folder: Path) -> bool:
    """Whether the index of compiled kernels, where there is one, and all kernels in it are as they were written."""
    try:
        index = (folder / INDEX).read_bytes()
    except FileNotFoundError:
        return True
    if len(index) < 8 or int.from_bytes(index[:8], "little") != len(index):
        return False
    return all(_kernel_whole(folder / f"{name.decode()}.qdc") for name in set(INDEXED.findall(index)))


def _kernel_whole(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if len(content) < HEADER.size:
        return False
    magic, first, second = HEADER.unpack_from(content)
    end = HEADER.size + first + second
    digest = hashlib.sha256(content[HEADER.size : end]).hexdigest().encode()
    return magic.startswith(b"QDC") and len(content) == end + DIGEST and content[end:] == digest


def _is_json(path: Path) -> bool:
    with suppress(OSError, ValueError):
        json.loads(path.read_bytes())
        return True
    return False


def _unlock(lock: Path) -> None:
    """Remove a lock that nobody holds, after waiting for one that somebody may."""
    with suppress(OSError):
        while (age := time.time() - lock.stat().st_mtime) < LOCKED_SECONDS:
            time.sleep(min(0.2, LOCKED_SECONDS - age))
        lock.unlink()
