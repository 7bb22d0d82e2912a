"""From command-line words to a configuration, or to one line that says what is wrong with them."""

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn, TypeVar

import tyro

T = TypeVar("T")

USAGE_ERROR = 2
"""Exit code for bad input."""


def fail(message: str) -> NoReturn:
    """Print one line on stderr and exit with code 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


def print_any_name() -> None:
    """Let standard output take every file name: as the bytes that it is made of where it is not text."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # In other encodings than UTF-8 the handler for bytes would refuse the letters that they lack.
        utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")


def peek(arguments: Sequence[str], *flags: str) -> dict[str, str | None]:
    """Read a few flags ahead of the real parsing, because the defaults of the others depend on them.

    Args:
        arguments: the command line; `-` and `_` in flags are the same.
        flags: names such as `--preset`, or a long and a short name joined by `/`.

    Returns:
        The value of each flag under its long name without dashes; None where it is not given, "" where it has none.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for flag in flags:
        parser.add_argument(*flag.split("/"), nargs="?", const="", default=None)
    words = [re.sub("_", "-", word) if word.startswith("--") and "=" not in word else word for word in arguments]
    try:
        known, _ = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        fail(str(error))
    return vars(known)


def parse(schema: type[T], default: T, arguments: Sequence[str], *, program: str, description: str) -> T:
    """Build a configuration from a default and the command line; bad input ends the program with one line.

    Args:
        schema: dataclass of the configuration.
        default: values for the flags that are not given.
        arguments: the command line.
        program: name to show in the help text.
        description: what the help text says above the flags.
    """
    complaint = io.StringIO()
    try:
        if not {"-h", "--help"}.isdisjoint(arguments):
            return tyro.cli(schema, prog=program, description=description, default=default, args=arguments)
        with contextlib.redirect_stderr(complaint), _wide_terminal():
            return tyro.cli(schema, prog=program, description=description, default=default, args=arguments)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        fail(f"{_condense(complaint.getvalue())} (see {program} --help)")
    except ValueError as error:
        fail(str(error))


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """Keep the parser's messages from being wrapped, so that they can be read back."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "500"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _condense(box: str) -> str:
    """The message inside a box drawn by the parser, without the frame, the hints on types and the help text."""
    lines = [line.strip(" │") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    kept: list[str] = []
    for line in lines:
        if line.startswith(("Argument helptext", "For full helptext", "Got errors")):
            break
        if line and not set(line) <= {"─"}:
            kept.append(line)
    return re.sub(r"\s+", " ", " ".join(kept)) or "the command line cannot be read"
