"""What is watched and how, and the robots and the agent that it takes."""

import dataclasses
from typing import NamedTuple

import torch

from app.build import Parts, physics_of
from app.command_line import fail
from app.compiling import compiling
from app.experiment import Experiment
from app.load import Checkpoint
from app.play_flags import PlayOptions
from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.examination.examination import Controller
from biped.simulators.config import SimulationConfig
from biped.simulators.interface import Simulator
from configs.presets import DISTURBANCES
from ppo.agent import TrainedAgent
from ppo.checkpoint.sb3_model import bounds_conflict
from ppo.runtime import derive_seed


class Session(NamedTuple):
    """What is watched, and how."""

    options: PlayOptions
    checkpoint: Checkpoint | None
    """None for an agent that needs none."""
    experiment: Experiment
    """Whose task is played."""
    device: torch.device
    parts: Parts


def physics(session: Session, engine: str) -> SimulationConfig:
    """The physics that the robots have in the engine of that name."""
    wanted = {name: value for name, value in vars(session.options.simulation).items() if value is not None}
    return dataclasses.replace(physics_of(engine, session.experiment), **wanted)


def examined_task(session: Session) -> EnvConfig:
    """The task of an examination: the experiment's, with all that a preset prepares for if so asked."""
    config = session.experiment.env
    if not session.options.disturbed:
        return config
    return dataclasses.replace(
        config,
        randomization=DISTURBANCES[session.options.disturbed_as],
        observations=dataclasses.replace(config.observations, noise=True),
    )


def robots(session: Session, engine: str, num_envs: int) -> Simulator:
    """Robots in the engine of that name; what it refuses ends the program with one line."""
    try:
        return build_simulator(session, engine, num_envs)
    except ValueError as error:
        fail(str(error))


def build_simulator(session: Session, engine: str, num_envs: int, *, camera: bool | None = None) -> Simulator:
    """Robots in the engine of that name, with a `camera` or, if not said, with one where a video is asked for.

    Raises:
        ValueError: the engine is missing, or cannot do what is asked for.
    """
    options, parts = session.options, session.parts
    kernels = f"{engine}, {parts.robot.name}, {session.device.type}"
    with compiling(kernels, print, when=parts.engines[engine].compiles):
        return parts.simulator(
            engine,
            num_envs,
            physics(session, engine),
            session.device,
            viewer=options.viewer,
            camera=options.video is not None if camera is None else camera,
            verbose=options.verbose,
        )


def build_controller(session: Session, env: BipedEnv) -> Controller:
    """What chooses the actions.

    Raises:
        ValueError: the environment takes none of a policy's actions.
    """
    options, checkpoint = session.options, session.checkpoint
    generator = torch.Generator(device=env.device)
    generator.manual_seed(derive_seed(options.seed, "exploration"))
    shape = env.num_envs, env.action_dim
    if options.agent == "zero":
        return lambda observation, episode_start: torch.zeros(shape, device=env.device)
    if options.agent == "random":
        return lambda observation, episode_start: torch.randn(shape, generator=generator, device=env.device)
    assert checkpoint is not None
    conflict = bounds_conflict(checkpoint.model, env.action_low.tolist(), env.action_high.tolist())
    if conflict is not None:
        print(conflict, flush=True)
    policy = session.parts.trained_policy(checkpoint.model, env)
    return TrainedAgent(policy, env.num_envs, None if options.deterministic else generator)
