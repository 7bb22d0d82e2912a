"""Pictures of robots in motion, one or several side by side."""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biped.env import BipedEnv
from biped.examination.gait_meter import heading_velocity
from biped.examination.overlay import Motion, draw
from biped.simulators.state import rotate

MEAN_S = 0.5
"""s over which the velocity that is shown is a mean: within a step it goes up and down, too fast to be read."""


class Pictures:
    """Pictures of the first robots of an environment, one after each control step.

    Args:
        env: Its simulator was made with a camera.
        robots: How many to show, side by side.
        overlay: Draw what each is told and does into the picture.
    """

    def __init__(self, env: BipedEnv, robots: int = 1, *, overlay: bool = True) -> None:
        self._env, self._robots, self._overlay = env, robots, overlay
        self._velocities: deque[Tensor] = deque(maxlen=max(1, round(MEAN_S / env.control_dt)))

    def take(self) -> NDArray[np.uint8]:
        """The picture `[H, W, 3]` after the control step that has just been made."""
        frames = [self._env.simulator.render(robot) for robot in range(self._robots)]
        if self._overlay:
            titles = [f"robot {robot}" if self._robots > 1 else "" for robot in range(self._robots)]
            motions = self.motions()
            frames = [draw(*each) for each in zip(frames, motions, titles, strict=True)]
        return side_by_side(frames)

    def motions(self) -> list[Motion]:
        """What each robot that is shown is told and does, to be asked once after each control step."""
        env, shown = self._env, slice(self._robots)
        self._velocities.append(base_velocity(env)[shown].cpu())
        velocities = torch.stack(tuple(self._velocities))
        motions = []
        for robot, steps in enumerate(env.episode_steps[shown].tolist()):
            # Of this episode alone; one that has just begun still shows how the one before it ended.
            velocity = velocities[-max(1, steps) :, robot].mean(dim=0)
            command, contact = env.command[robot], env.gait.contact[robot]
            motions.append(Motion(tuple(command.tolist()), tuple(velocity.tolist()), tuple(contact.tolist())))
        return motions


def base_velocity(env: BipedEnv) -> Tensor:
    """`[N, 3]` as in a command: m/s where the base faces and to its left, rad/s about the vertical."""
    state = env.state
    turning = rotate(state.base_quaternion, state.base_angular_velocity)[:, 2:]
    return torch.cat((heading_velocity(state), turning), dim=1)


def side_by_side(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures `[H, W, 3]` of one size as tiles of one, row by row in a square or nearly; a gap at its end is black."""
    columns = math.ceil(math.sqrt(len(frames)))
    rows = math.ceil(len(frames) / columns)
    height, width, colours = frames[0].shape
    tiles = np.zeros((rows, columns, height, width, colours), dtype=np.uint8)
    for number, frame in enumerate(frames):
        tiles[number // columns, number % columns] = frame
    return tiles.swapaxes(1, 2).reshape(rows * height, columns * width, colours)
