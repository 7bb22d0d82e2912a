"""What is told while an engine compiles its kernels, and how long that took the last time."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.progress import patience
from biped.simulators.genesis_cache import cache_folder
from ppo.checkpoint.atomic import atomic_write

FILE = "biped-compilation-seconds.json"
"""Lies beside what is compiled, so that both go together."""
SHORTEST_S = 1.0
"""s; what takes less is not worth remembering."""


@contextmanager
def compiling(kernels: str, say: Callable[[str], None], *, when: bool = True) -> Iterator[None]:
    """Tell that an engine compiles within, how long that took the last time, and how long it has taken.

    Args:
        kernels: engine, robot and device, such as `genesis, biped, cpu`.
        say: prints a line that stays.
        when: it does compile, and somebody is to be told.
    """
    if not when:
        yield
        return
    known = last_time(kernels)
    expected = "minutes on the first run, seconds afterwards" if known is None else f"{known:.0f} s last time"
    say(f"Compiling simulator kernels ({kernels}: {expected})")
    began = time.monotonic()
    with patience("Compiling simulator kernels"):
        yield
    took = time.monotonic() - began
    say(f"Compiling simulator kernels took {took:.0f} s")
    if took >= SHORTEST_S:
        remember(kernels, took)


def last_time(kernels: str) -> float | None:
    """S that compiling these took; None if nobody knows."""
    seconds = _read().get(kernels)
    return float(seconds) if isinstance(seconds, (int, float)) else None


def remember(kernels: str, seconds: float) -> None:
    """Keep how long compiling these took, if there is room for it."""
    known = {**_read(), kernels: round(seconds, 1)}
    with suppress(OSError), atomic_write(_path()) as file:
        file.write(json.dumps(known, indent=2).encode() + b"\n")


def _read() -> dict[str, object]:
    with suppress(OSError, ValueError):
        known = json.loads(_path().read_bytes())
        return known if isinstance(known, dict) else {}
    return {}


def _path() -> Path:
    return cache_folder("GS_CACHE_FILE_PATH") / FILE
