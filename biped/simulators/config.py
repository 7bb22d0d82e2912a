"""What both engines are told: time steps, solver settings, and bounds that they share."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from ppo.value_ranges import Range, check_ranges

LARGEST_VALUE = 1e4
"""A position, velocity, torque or force beyond this many SI units is no state of a walking robot: it has failed."""

GROUND_FRICTION = 0.01
"""Coefficient of the ground itself. Both engines use the larger one of two surfaces, so the robot's own decides."""

FINE_STEP = 0.002
"""s, longest physics step of `fine`. It is MuJoCo's own default, and a real servo's loop is that fast."""

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
    """Largest number of candidate contact points of one robot; a robot that exceeds it counts as failed. MuJoCo has
    no such limit."""
    iterations: Annotated[int, Range(1, 100_000)] = 20
    """Largest number of iterations of the constraint solver per physics step."""
    tolerance: Annotated[float, Range(1e-15, 1.0)] = 1e-5
    """Relative accuracy at which the constraint solver stops early."""
    friction_cone: Literal["pyramidal", "elliptic"] = "pyramidal"
    """Shape of friction in MuJoCo. A pyramid holds a sliding foot less in some directions than in others; the elliptic
    cone is Coulomb's, and half as fast again to solve. Pyramids are used in Genesis."""
    performance_mode: bool = False
    """Compile the kernels for one scene and robot count. Every other one then takes minutes to compile; no gain was
    measured on a CPU. Applies to the first simulation of a process. MuJoCo compiles nothing."""

    def __post_init__(self) -> None:
        check_ranges(self)


def fine(config: SimulationConfig) -> SimulationConfig:
    """The same robots in finer steps, with Coulomb's friction, solved to the end.

    A check of a policy in another engine should not share the coarseness that it was trained with.
    """
    return replace(
        config,
        substeps=max(config.substeps, math.ceil(config.control_dt / FINE_STEP - 1e-6)),
        friction_cone="elliptic",
        iterations=max(config.iterations, 100),
        tolerance=min(config.tolerance, 1e-8),
    )
