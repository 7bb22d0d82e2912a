"""The keys that steer a robot, the same ones on a page and in a terminal."""

from typing import Literal, NamedTuple

from app.steering.requests import Nudge, Pause, Push, Request, Reset, Stop

PUSH_SPEED = 0.5
"""m/s, unless somebody chooses another one."""


class Key(NamedTuple):
    """One key and what it asks for."""

    letter: Literal["W", "S", "A", "D", "Q", "E", "X", "P", "F", "R"]
    words: str
    """What it is for."""
    request: Request


KEYS = (
    Key("W", "faster forward", Nudge((0.1, 0.0, 0.0))),
    Key("S", "faster backward", Nudge((-0.1, 0.0, 0.0))),
    Key("A", "faster leftward", Nudge((0.0, 0.05, 0.0))),
    Key("D", "faster rightward", Nudge((0.0, -0.05, 0.0))),
    Key("Q", "turn left", Nudge((0.0, 0.0, 0.1))),
    Key("E", "turn right", Nudge((0.0, 0.0, -0.1))),
    Key("X", "stop", Stop()),
    Key("P", "pause or go on", Pause()),
    Key("F", "push", Push(PUSH_SPEED)),
    Key("R", "start anew", Reset()),
)
