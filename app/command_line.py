"""From command-line words to a configuration, or to one line that says what is wrong with them."""

import contextlib
import dataclasses
import functools
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_type_hints

import tyro

from ppo.value_ranges import ConfigurationError

T = TypeVar("T")

USAGE_ERROR = 2
"""Exit code for bad input."""
HELP = frozenset(("-h", "--help"))


def fail(message: str) -> NoReturn:
    """Print one line on stderr and exit with code 2."""
    # What a user types may hold anything, and one line is to stay one line on every terminal.
    plain = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in message)
    print(f"error: {plain}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


def flags_given(schema: type[T], defaults: tuple[T, T], arguments: Sequence[str], *names: str) -> dict[str, Any]:
    """Read a few flags ahead of the others, because the defaults of those depend on them.

    The same parser reads them as reads the whole command line, so every spelling means the same. Whatever else is
    wrong with the command line, `parse` will find.

    Args:
        schema: dataclass of the configuration.
        defaults: two values that differ in each of the fields: what comes out the same from both was given.
        arguments: the command line.
        names: of the fields, such as `seed` or `env.gait.period`.

    Returns:
        Values of the fields that the command line gives.
    """
    if _asks_for_completion(arguments):
        return {}
    arguments = [word for word in arguments if word not in HELP]
    first, second = (_read_flags(schema, default, arguments, names) for default in defaults)
    return {name: value for name, value, other in zip(names, first, second, strict=True) if value == other}


def _read_flags(schema: type[T], default: T, arguments: Sequence[str], names: Sequence[str]) -> list[Any]:
    fields = []
    for number, name in enumerate(names):
        path = name.split(".")
        owner = functools.reduce(getattr, path[:-1], default)
        hint = get_type_hints(schema if owner is default else type(owner), include_extras=True)[path[-1]]
        if len(path) > 1:
            hint = Annotated[hint, tyro.conf.arg(name=name)]
        fields.append((name if len(path) == 1 else f"nested_{number}", hint, getattr(owner, path[-1])))
    few = dataclasses.make_dataclass(
        "Few", [(name, hint, dataclasses.field(default=value)) for name, hint, value in fields]
    )
    with _one_line_errors(schema):
        values: Any = tyro.cli(few, args=arguments, return_unknown_args=True)[0]
    return [getattr(values, name) for name, _, _ in fields]


def parse(schema: type[T], default: T, arguments: Sequence[str], *, program: str, description: str) -> T:
    """Build a configuration from a default and the command line; bad input ends the program with one line.

    Args:
        schema: dataclass of the configuration.
        default: values for the flags that are not given.
        arguments: the command line.
        program: name to show in the help text.
        description: what the help text says above the flags.
    """
    if asks_for_help(arguments):
        try:
            return tyro.cli(schema, prog=program, description=description, default=default, args=arguments)
        except (AssertionError, FileNotFoundError, IsADirectoryError, PermissionError) as error:
            fail(str(error))
    with _one_line_errors(schema, f" (see {program} --help)"):
        return tyro.cli(schema, prog=program, description=description, default=default, args=arguments)


def can_be_written(path: Path) -> bool:
    """A file called `path` can be created or replaced, or a device of that name be written to, as far as can be told.

    Nothing is created.
    """
    try:
        if path.is_dir():
            return False
        if path.exists() and not path.is_file():
            return os.access(path, os.W_OK)
        return path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)
    except OSError:  # a name that is too long
        return False


@contextlib.contextmanager
def about(flag: str) -> Iterator[None]:
    """Let what is wrong with the value of a flag begin with the flag.

    Raises:
        ValueError: what is raised within.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None


def explain(schema: type, error: Exception) -> str:
    """What is wrong with a configuration of this type, in the words of its command line."""
    if isinstance(error, ConfigurationError):
        path = _path(schema, error.owner)
        if path is not None:
            return f"--{'.'.join((*path, error.field)).replace('_', '-')} {error.problem}"
    return str(error)


def _path(schema: type, owner: type) -> tuple[str, ...] | None:
    """Names of the fields that lead from a dataclass to one in it; None where it has none such."""
    if schema is owner:
        return ()
    for field in dataclasses.fields(schema):
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            rest = _path(field.type, owner)
            if rest is not None:
                return field.name, *rest
    return None


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether the parser prints something and ends, whatever the other words are."""
    return _asks_for_completion(arguments) or not HELP.isdisjoint(arguments)


def _asks_for_completion(arguments: Sequence[str]) -> bool:
    """Whether the parser writes a script that lets a shell complete the flags."""
    return bool(arguments) and arguments[0].replace("_", "-").startswith("--tyro-")


@contextlib.contextmanager
def _one_line_errors(schema: type, hint: str = "") -> Iterator[None]:
    """Let one line take the place of the box that the parser draws around what it complains about."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint), _wide_terminal():
            yield
    except SystemExit as error:
        if error.code in (0, None):
            raise
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ConfigurationError):
            cause = cause.__context__
        fail(explain(schema, cause) if cause is not None else f"{_condense(complaint.getvalue())}{hint}")
    except ValueError as error:
        fail(explain(schema, error))


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """Keep the parser's messages from being wrapped, so that they can be read back."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "1000000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _condense(box: str) -> str:
    """The message inside a box drawn by the parser, without the frame, the hints on types and the help text."""
    # On a terminal the box is coloured.
    box = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip(" │|") for line in box.splitlines() if not line.startswith(("╭", "╰", "+"))]
    kept: list[str] = []
    for line in lines:
        if line.startswith(("Argument helptext", "For full helptext", "Got errors")):
            break
        if line and not set(line) <= {"─", "-"}:
            kept.append(line)
    return re.sub(r"\s+", " ", " ".join(kept)) or "the command line cannot be read"
