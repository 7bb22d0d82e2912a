"""A robot that holds its default pose for two seconds: does it stand, and what does it look like?"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from app.build import Engine
from biped.robots.robot import Robot
from biped.simulators.config import SimulationConfig
from biped.simulators.state import State
from ppo.checkpoint.atomic import atomic_write

SECONDS = 2.0
TRAINING = SimulationConfig()
"""The physics that robots are trained with."""
TILTED = math.radians(30.0)
"""rad, beyond which it has fallen."""


class Standing(NamedTuple):
    """How a robot stood."""

    fell_after: float | None
    """s; None if it still stands."""
    height: float
    """m, of the base at the end."""
    tilt: float
    """rad, the largest."""
    end: State
    """Of one robot."""


def stand(engine: Engine, robot: Robot, physics: SimulationConfig = TRAINING) -> Standing:
    """Let a robot hold its default pose, with the physics of training or with another one.

    Raises:
        ValueError: the engine is missing.
    """
    simulator = engine.make(robot, 1, physics, torch.device("cpu"))
    try:
        target = torch.tensor([robot.default_joint_position])
        tilt, fell = 0.0, None
        state = simulator.read()
        for step in range(round(SECONDS / simulator.control_dt)):
            simulator.step(target)
            state = simulator.read()
            tilt = max(tilt, math.acos(max(-1.0, min(1.0, -float(state.projected_gravity[0, 2])))))
            lost = bool(state.failed[0]) or float(state.base_position[0, 2]) < robot.lowest_height or tilt > TILTED
            if lost and fell is None:
                fell = (step + 1) * simulator.control_dt
        return Standing(fell, float(state.base_position[0, 2]), tilt, state)
    finally:
        simulator.close()


def draw(engine: Engine, robot: Robot, state: State, file: Path) -> None:
    """Write a picture of a robot in a state as PNG.

    Raises:
        ValueError: nothing can be rendered here.
        OSError: the file cannot be written.
    """
    simulator = engine.make(robot, 1, TRAINING, torch.device("cpu"), camera=True)
    try:
        simulator.reset(
            torch.ones(1, dtype=torch.bool), state.base_position, state.base_quaternion, state.joint_position
        )
        picture = Image.fromarray(simulator.render())
    finally:
        simulator.close()
    with atomic_write(file) as target:
        picture.save(target, "PNG")
