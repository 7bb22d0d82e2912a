"""What may be asked of the loop; from any thread."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Steer:
    """Follow this command."""

    command: tuple[float, float, float]
    """Forward and leftward velocity in m/s, yaw rate in rad/s."""


@dataclass(frozen=True)
class Nudge:
    """Change the command by this much, as a key does; it stays within `command_limits`."""

    change: tuple[float, float, float]
    """m/s, m/s and rad/s."""


@dataclass(frozen=True)
class Deflect:
    """Follow the sticks of a gamepad: this part, -1 to 1, of the limits."""

    deflection: tuple[float, float, float]
    """Forward, to the left, and for a turn to the left."""


@dataclass(frozen=True)
class Stop:
    """Follow a command of zero."""


@dataclass(frozen=True)
class Pause:
    """Stand still in time, or go on."""

    paused: bool | None = None
    """None turns what is into its opposite."""


@dataclass(frozen=True)
class Advance:
    """Make one control step while paused."""


@dataclass(frozen=True)
class Speed:
    """Let time pass more slowly."""

    factor: float
    """Seconds of the robot per second on the wall, above 0 and at most 1."""


@dataclass(frozen=True)
class Reset:
    """Begin a new episode."""


@dataclass(frozen=True)
class Push:
    """Change the velocity of the base in a random horizontal direction."""

    speed: float
    """m/s."""


@dataclass(frozen=True)
class Friction:
    """Change the ground."""

    coefficient: float


@dataclass(frozen=True)
class Play:
    """Let another checkpoint walk."""

    path: Path


Request = Steer | Nudge | Deflect | Stop | Pause | Advance | Speed | Reset | Push | Friction | Play
