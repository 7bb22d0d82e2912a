"""Commands that a program tells people to type next: they work where the program was called, for every name."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""Folder of `train.py` and `play.py`."""


def command(program: str, *flags: str, options: Mapping[str, object] | None = None) -> str:
    """What to type in the present working folder to run `program`, such as `python train.py --continue-training`.

    Args:
        program: `train.py` or `play.py`.
        flags: words that stand alone, such as `--continue-training`.
        options: values by flag, such as `{"--exp-name": "walk"}`.
    """
    words = [_python(), _path(program), *flags]
    for flag, value in (options or {}).items():
        # Behind a space, a value that starts with a dash would be read as a flag.
        words += [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]
    return shlex.join(words)


def _path(program: str) -> str:
    """Path of `program`, relative where the running one was called so."""
    called = Path(sys.argv[0] or ".")
    beside = called.parent / program
    return str(beside if called.suffix == ".py" and beside.is_file() else ROOT / program)


def _python() -> str:
    """The running interpreter in as few letters as will do."""
    if not sys.executable:
        return "python"
    for name in ("python", "python3"):
        found = shutil.which(name)
        # Not resolved: the interpreter of a virtual environment is a link to one that lacks its packages.
        if found is not None and os.path.abspath(found) == os.path.abspath(sys.executable):
            return name
    below = os.path.relpath(sys.executable)
    return sys.executable if below.startswith(os.pardir) else below
