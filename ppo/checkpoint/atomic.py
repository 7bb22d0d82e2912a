"""Writing a file so that a reader sees the whole old one or the whole new one, never a part."""

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY_NAME = re.compile(r"\.[0-9a-f]{16}\.tmp")
ABANDONED_SECONDS = 3600.0
"""A temporary file not written to for so long is nobody's any more: its process was killed."""


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes the name `path` only when the block ends without an error.

    The bytes go to a hidden temporary file in the same folder, reach the disk (`fsync`) and are then renamed over
    `path`. Where the block or the writing fails, the temporary file is removed and `path` stays as it was. A link
    stays one: the file that it leads to is replaced. A device or a pipe is written through.

    Args:
        path: the file to create or replace; its folder must exist.

    Yields:
        The open file to write to, readable and seekable unless `path` is a device or a pipe.

    Raises:
        OSError: the folder is missing or read-only, the disk is full, or `path` is a folder; its `filename` is `path`.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as device:
            yield device
        return
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        # Mode "x" creates with the user's umask; `tempfile` would make every checkpoint private to its owner.
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            # The hidden name would tell nobody anything, and a full disk comes without a name.
            error.filename = str(path)
        raise
    _sync_folder(path.parent)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of killed processes, and none that another process may still be writing.

    Never raises: what cannot be removed stays, hidden and harmless.
    """
    latest = time.time() - ABANDONED_SECONDS
    with suppress(OSError):
        for path in folder.glob(".*.tmp"):
            if TEMPORARY_NAME.fullmatch(path.name) and path.stat().st_mtime < latest:
                path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, on systems where a folder can be synchronised."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    # The file is there and whole. Some network file systems refuse this, and a folder may be writable, not readable.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
