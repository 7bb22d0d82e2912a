"""What happens between host and device, counted by kind, operator and the line of the project that asked for it."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HARNESS = str(Path(__file__).parent)
PLACES = tuple(str(ROOT / folder) for folder in ("ppo", "biped", "app", "tests"))
TO_HOST, PAGEABLE, WAIT, LAUNCH = "to host", "to device, pageable", "wait", "launch"
PACKING, RESERVE = "cuDNN packs the weights anew", "cuDNN keeps what only a backward pass needs"
QUIET = (LAUNCH, "to device, pinned", "event")
"""Kinds for which the host does not wait: launches, copies from pinned memory, and events that are over."""


class Happening(NamedTuple):
    """One kind of thing at one place."""

    kind: str
    place: str
    """File and line of the project; "backward" for autograd's own thread."""
    name: str
    """The operator."""


class Counts(Counter[Happening]):
    """How often each thing happened."""

    def of(self, *kinds: str) -> int:
        """How often things of these kinds happened."""
        return sum(number for happening, number in self.items() if happening.kind in kinds)

    def crossings(self) -> "Counts":
        """Those for which the host waits, or that cost a GPU what need not be."""
        return Counts({key: number for key, number in self.items() if key.kind not in QUIET})

    def table(self) -> str:
        """One line for each thing, what happened most first."""
        rows = [f"{number:6} {kind:28} {place:40} {name}" for (kind, place, name), number in self.most_common()]
        return "\n".join([f"{'times':>6} {'what':28} {'where':40} operator", *rows])


_running: list[Counts] = []
_silenced = False


@contextlib.contextmanager
def counted() -> Iterator[Counts]:
    """Count what happens within."""
    counts = Counts()
    _running.append(counts)
    try:
        yield counts
    finally:
        _running.remove(counts)


@contextlib.contextmanager
def as_one() -> Iterator[None]:
    """What happens within is not counted: whoever calls it counts it as one."""
    global _silenced
    before, _silenced = _silenced, True
    try:
        yield
    finally:
        _silenced = before


def note(kind: str, name: str) -> None:
    """Count one thing, at the innermost line of the project that led to it."""
    if _running and not _silenced:
        happening = Happening(kind, _place(sys._getframe(1)), name)
        for counts in _running:
            counts[happening] += 1


def _place(frame: FrameType | None) -> str:
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PLACES) and not path.startswith(HARNESS):
            return f"{Path(path).relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "backward"
