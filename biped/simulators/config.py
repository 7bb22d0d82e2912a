"""What both engines are told: time steps, solver settings, and bounds that they share."""

from dataclasses import dataclass
from typing import Annotated

from ppo.value_ranges import Range, check_ranges

LARGEST_VALUE = 1e4
"""A position, velocity, torque or force beyond this many SI units is no state of a walking robot: it has failed."""

CAMERA_OFFSET = (0.9, -0.9, 0.25)
"""m, from the base to the camera, world axes."""


@dataclass(frozen=True)
class SimulationConfig:
    """Time steps and solver settings."""

    control_dt: Annotated[float, Range(1e-4, 1.0)] = 0.02
    """s, duration of one control step."""
    substeps: Annotated[int, Range(1, 1000)] = 2
    """Physics steps per control step. The servos' PD law is evaluated at each."""
    self_collision: bool = False
    """Let the links of one robot collide with each other."""
    max_collision_pairs: Annotated[int, Range(1, 100_000)] = 20
    """Largest number of candidate contact points of one robot; a robot that exceeds it counts as failed."""
    iterations: Annotated[int, Range(1, 100_000)] = 20
    """Largest number of iterations of the constraint solver per physics step."""
    tolerance: Annotated[float, Range(1e-15, 1.0)] = 1e-5
    """Relative accuracy at which the constraint solver stops early."""
    performance_mode: bool = False
    """Compile the kernels for one scene and robot count. Every other one then takes minutes to compile; no gain was
    measured on a CPU. Applies to the first simulation of a process."""

    def __post_init__(self) -> None:
        check_ranges(self)
