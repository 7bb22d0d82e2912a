"""Reading a zip from somebody else: every size is known, and bounded by the file's own size, before it is read."""

import io
import struct
import zipfile
from typing import BinaryIO

MAX_DIRECTORY_BYTES = 2 * 2**20
"""Largest list of members. A checkpoint has six, a torch file one per tensor, and each takes about 100 bytes."""

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


class StoredZip:
    """A zip whose members are stored without compression, as Stable-Baselines3 and torch write them.

    Without compression no member is larger than the file, and because their sizes may not add up to more than the
    file either, members that overlap cannot multiply it: what is read is never larger than what was sent.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the directory of an open zip, which must stay open as long as members are read.

        Raises:
            ValueError: it is not such a zip; the message tells why.
            OSError: the file cannot be read.
        """
        if file.read(4) != b"PK\x03\x04":
            raise ValueError("it is not a zip file")
        size = file.seek(0, io.SEEK_END)
        # Where the end of the directory is not the end of the file, programs differ in which directory they find.
        file.seek(max(size - 22, 0))
        end = file.read(22)
        if not end.startswith(b"PK\x05\x06") or not end.endswith(b"\0\0"):
            raise ValueError("the zip is cut short or has something behind its end")
        reader = _LimitedReader(file, MAX_DIRECTORY_BYTES)
        try:
            self._zip = zipfile.ZipFile(reader)
        except _ZIP_ERRORS as error:
            raise ValueError("the zip is cut short or damaged") from error
        reader.limit = size
        self.sizes: dict[str, int] = {}
        """Size of each member in bytes, in the order of the directory."""
        lower_names: set[str] = set()
        for member in self._zip.infolist():
            # Torch finds names without regard to case.
            if member.filename.lower() in lower_names:
                raise ValueError(f"the zip lists {member.filename!a:.60} twice")
            lower_names.add(member.filename.lower())
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                raise ValueError(f"the zip member {member.filename!a:.60} is compressed or encrypted")
            if member.file_size != member.compress_size:
                raise ValueError(f"the zip member {member.filename!a:.60} has two different sizes")
            self.sizes[member.filename] = member.file_size
        if sum(self.sizes.values()) > size:
            raise ValueError("the members of the zip add up to more than the file")

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return the member `name`.

        Raises:
            ValueError: it is missing, damaged or larger than `limit` bytes.
            OSError: the file cannot be read.
        """
        if name not in self.sizes:
            raise ValueError(f"the member {name!a:.60} is missing")
        if limit is not None and self.sizes[name] > limit:
            raise ValueError(f"the member {name!a:.60} is larger than {limit} bytes")
        try:
            return self._zip.read(name)
        except _ZIP_ERRORS as error:
            raise ValueError(f"the member {name!a:.60} is cut short or damaged") from error


class _LimitedReader:
    """A file that gives at most `limit` bytes at once: zipfile reads the whole directory with one call."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self.limit = limit
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self.limit + 1) if size >= 0 else self.limit + 1)
        if len(data) > self.limit:
            raise ValueError(f"more than {self.limit} bytes at once")
        return data
