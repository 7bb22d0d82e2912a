"""A robot that walks before a camera for a while, whether it falls or not; and the film of a training's checkpoint."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from app.build import Parts
from app.command_line import USAGE_ERROR
from app.experiment import EngineName
from app.load import Checkpoint, find_experiment
from app.play_flags import PlayOptions
from app.session import Session, build_controller, build_simulator, examined_task
from biped.examination.examination import examination_config, follow
from biped.examination.pictures import Pictures
from biped.examination.trials import STRAIGHT, Command, Schedule, Trial
from biped.examination.video import VideoWriter
from biped.robots.robot_file import load_robot
from ppo.checkpoint.sb3_zip import read_zip

SECONDS = 5.0
"""Of the film of a checkpoint."""
SHRUNK = 2
"""Times that its GIF is smaller, across and down."""
ENGINE: EngineName = "mujoco"
"""It needs no GPU and compiles nothing."""


def pictures(
    session: Session, engine: str, command: Command, seconds: float, *, overlay: bool
) -> Iterator[NDArray[np.uint8]]:
    """One robot at a fixed command, which begins anew whenever it falls.

    Yields:
        A picture `[H, W, 3]` per control step.

    Raises:
        ValueError: the engine cannot make pictures here.
    """
    simulator = build_simulator(session, engine, 1, camera=True)
    config = examination_config(examined_task(session), seconds, pushes=session.options.disturbed)
    env = session.parts.environment(simulator, config, session.options.seed)
    try:
        schedule = Schedule((Trial((command,)),), 1, round(seconds / env.control_dt), env.device)
        film = Pictures(env, overlay=overlay)
        for _ in follow(build_controller(session, env), env, schedule):
            yield film.take()
    finally:
        env.close()


def main(arguments: Sequence[str]) -> int:
    """Film a checkpoint, given its path and those of the MP4 and of the GIF to write; returns the exit code.

    What goes wrong is one line on stderr; where nothing can be rendered at all, the exit code is `USAGE_ERROR`.
    """
    path, film, animation = map(Path, arguments)
    try:
        options = PlayOptions(checkpoint=path, simulator=ENGINE, device="cpu")
        checkpoint = Checkpoint(path, read_zip(path))
        experiment = find_experiment(options, checkpoint)
        parts = Parts(robot=load_robot(experiment.robot))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        parts.engines[ENGINE].load(camera=True, verbose=False)
        shoot(Session(options, checkpoint, experiment, torch.device("cpu"), parts), film, animation)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    except OSError as error:
        print(f"{error.filename or film}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def shoot(session: Session, film: Path, animation: Path) -> None:
    """Write the film of a checkpoint, and a small copy as a GIF.

    Raises:
        ValueError: nothing can be rendered here.
        OSError: a file cannot be written.
    """
    rate = round(1.0 / session.experiment.simulation.control_dt)
    with VideoWriter(film, rate) as large, VideoWriter(animation, rate) as small:
        for frame in pictures(session, ENGINE, STRAIGHT, SECONDS, overlay=True):
            large.add(frame)
            small.add(np.array(Image.fromarray(frame).reduce(SHRUNK)))
