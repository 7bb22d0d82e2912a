"""A loop with an engine that takes no time, and an audience that remembers what it was shown."""

import dataclasses
from pathlib import Path

import torch

from app.experiment import Experiment
from app.load import Checkpoint
from app.play_flags import PlayOptions
from app.session import Session
from app.steering.frames import Frame, Pose
from app.steering.loop import Loop, Status
from app.steering.walker import Walker, make_walker
from configs.presets import SMOKE
from ppo.checkpoint.sb3_zip import read_zip
from tests.app.fake_engines import parts

QUIET = dataclasses.replace(
    SMOKE,
    env=dataclasses.replace(
        SMOKE.env, randomization=dataclasses.replace(SMOKE.env.randomization, backlash=None, push_speed=1.0)
    ),
)
"""A task in which nothing moves the robot of the stand-in but its policy, pushes apart."""


class Viewer:
    """An audience of one."""

    def __init__(self) -> None:
        self.there = True
        self.met: list[Walker] = []
        self.frames: list[Frame] = []
        self.poses: list[Pose] = []
        self.statuses: list[Status] = []
        self.messages: list[str] = []

    def watching(self) -> bool:
        return self.there

    def meet(self, walker: Walker) -> None:
        self.met.append(walker)

    def note(self, frame: Frame) -> None:
        self.frames.append(frame)

    def show(self, pose: Pose, status: Status) -> None:
        self.poses.append(pose)
        self.statuses.append(status)

    def say(self, message: str) -> None:
        self.messages.append(message)


def make_session(experiment: Experiment = QUIET, path: Path | None = None, **options: object) -> Session:
    """With zero actions, or with the policy in `path`."""
    agent = "zero" if path is None else "trained"
    chosen = dataclasses.replace(PlayOptions(web=True, simulator="mujoco"), **{"agent": agent, **options})  # type: ignore[arg-type]
    checkpoint = None if path is None else Checkpoint(path, read_zip(path))
    return Session(chosen, checkpoint, experiment, torch.device("cpu"), parts())


def make_loop(experiment: Experiment = QUIET, path: Path | None = None) -> Loop:
    """Before its first turn."""
    return Loop(make_walker(make_session(experiment, path)), None)


def turns(loop: Loop, viewer: Viewer, count: int) -> None:
    for _ in range(count):
        loop.turn(viewer)
