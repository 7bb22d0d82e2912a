"""What a program prints must not be what ends it with a traceback: readers go away, terminals lack letters."""

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator

CLOSED_PIPE = 141
"""Exit code of a program that nobody listens to any more, as shells have it."""


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Run a program: where the reader of its output is gone, as behind `| head -1`, it ends without a word."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files that are no text go out as the bytes that they are made of. In other encodings than UTF-8 the
        # handler for bytes would refuse the letters that they lack.
        utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")
    try:
        try:
            yield
        finally:
            if isinstance(sys.stdout, io.TextIOWrapper):  # it is None where the program was started without one
                sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        # What is left in the buffer would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(CLOSED_PIPE) from None


def _reader_is_gone() -> bool:
    """Whether standard output is what broke, and not a pipe or a connection to something else."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))
