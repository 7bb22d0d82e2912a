"""The robot that is steered, the task it is in and the policy that moves it."""

import dataclasses
import sys
from pathlib import Path
from typing import NamedTuple

import torch

from app.load import Checkpoint, check_fits, find_experiment
from app.session import Session, build_controller, build_simulator, physics
from biped.env import BipedEnv
from biped.env_config import EnvConfig, check_robot
from biped.examination.examination import Controller, examination_config
from biped.simulators.interface import Simulator
from ppo.checkpoint.sb3_zip import read_zip
from ppo.checkpoint.vec_normalize import warn_of_normalization

LONGEST_S = 86400.0
"""s until an episode ends that nothing else has ended, unless the command line says otherwise."""


class Walker(NamedTuple):
    """One robot and what moves it."""

    session: Session
    """Which checkpoint and task it is made of."""
    simulator: Simulator
    env: BipedEnv
    """Its commands are held, and nobody pushes the robot but who steers it."""
    controller: Controller


def make_walker(session: Session) -> Walker:
    """The robot and the policy of a session, in the engine that its options name.

    Raises:
        ValueError: the engine is missing, or cannot do what is asked for.
    """
    engine = session.options.simulators[0]
    if session.parts.engines[engine].on_cpu_only:
        # One robot and a small network: more threads only wait for each other.
        torch.set_num_threads(1)
    simulator = build_simulator(session, engine, 1)
    env = session.parts.environment(simulator, task(session), session.options.seed)
    return Walker(session, simulator, env, build_controller(session, env))


def with_checkpoint(walker: Walker, path: Path) -> Walker:
    """The robot with the policy of another checkpoint.

    Where the task and the physics are the same it is the robot of `walker`, which walks on. Otherwise it is a new one;
    `walker` is left to the caller to close.

    Raises:
        ValueError: the checkpoint cannot be read, or is of another robot or task.
    """
    options = walker.session.options
    checkpoint = Checkpoint(path, read_zip(path))
    experiment = find_experiment(options, checkpoint)
    robot = walker.simulator.robot
    check_robot(experiment.env, robot)
    check_fits(checkpoint.model, experiment.env, robot, str(path))
    warning = warn_of_normalization(path, checkpoint.model)
    if warning is not None:
        print(warning, file=sys.stderr)
    options = dataclasses.replace(options, agent="trained")
    session = walker.session._replace(options=options, checkpoint=checkpoint, experiment=experiment)
    engine = options.simulators[0]
    if task(session) == task(walker.session) and physics(session, engine) == physics(walker.session, engine):
        return walker._replace(session=session, controller=build_controller(session, walker.env))
    return make_walker(session)


def task(session: Session) -> EnvConfig:
    """The task of the session's checkpoint, in one long episode and without pushes."""
    return examination_config(session.experiment.env, session.options.seconds or LONGEST_S)
