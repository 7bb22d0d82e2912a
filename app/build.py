"""From an experiment to the objects it describes. What a benchmark or a test wants otherwise is an argument."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch

from app.experiment import Experiment, to_plain
from app.robot_facts import robot_facts
from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.robots.library import BIPED
from biped.robots.robot import Robot
from biped.simulators.config import SimulationConfig, fine
from biped.simulators.genesis import GenesisSimulator, import_genesis
from biped.simulators.interface import Simulator
from biped.simulators.mujoco import MujocoSimulator, import_mujoco
from ppo.checkpoint.folder import CheckpointFolder
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.cuda.graphs import Graphs
from ppo.env import Recorder
from ppo.evaluation import Evaluator
from ppo.learner import Learner
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
from ppo.report.console import Console
from ppo.report.logging import MetricsLogger
from ppo.runtime import Precision
from ppo.trainer import Budget, Trainer


class MakeSimulator(Protocol):
    """Makes `num_envs` robots in one engine; raises ValueError where that cannot be done."""

    def __call__(
        self,
        robot: Robot,
        num_envs: int,
        config: SimulationConfig,
        device: torch.device,
        *,
        viewer: bool = False,
        camera: bool = False,
        verbose: bool = False,
    ) -> Simulator:
        """The robots, standing."""
        ...


class Engine(NamedTuple):
    """A physics engine."""

    make: MakeSimulator
    load: Callable[..., object]
    """Imports the engine, given whether there will be a `camera`, whether to be `verbose`, and what to `warn` with;
    raises ValueError where it is missing."""
    on_cpu_only: bool
    """It does not use a GPU."""
    compiles: bool
    """It compiles its kernels before the first step, which takes seconds to minutes."""


ENGINES: Mapping[str, Engine] = {
    "genesis": Engine(GenesisSimulator, lambda *, warn, **_: import_genesis(warn), on_cpu_only=False, compiles=True),
    "mujoco": Engine(
        MujocoSimulator,
        lambda *, camera, verbose, **_: import_mujoco(camera=camera, verbose=verbose),
        on_cpu_only=True,
        compiles=False,
    ),
}


def physics_of(engine: str, experiment: Experiment) -> SimulationConfig:
    """The physics of an experiment's robots in an engine.

    MuJoCo, where they were not trained in it, checks them in fine steps; Genesis has its own solver, which is not
    served by them.
    """
    checks = engine == "mujoco" and experiment.simulator != engine
    return fine(experiment.simulation) if checks else experiment.simulation


@dataclass(frozen=True)
class Parts:
    """The kinds of objects that a program is built of."""

    engines: Mapping[str, Engine] = field(default_factory=lambda: ENGINES)
    """By name."""
    env: type[BipedEnv] = BipedEnv
    robot: Robot = BIPED
    policy: type[RecurrentActorCritic] = RecurrentActorCritic

    def simulator(
        self,
        engine: str,
        num_envs: int,
        config: SimulationConfig,
        device: torch.device,
        *,
        viewer: bool = False,
        camera: bool = False,
        verbose: bool = False,
    ) -> Simulator:
        """`num_envs` robots in the engine of this name, on the CPU if it knows nothing else.

        Raises:
            ValueError: the engine is missing, or cannot do what is asked for.
        """
        chosen = self.engines[engine]
        place = torch.device("cpu") if chosen.on_cpu_only else device
        return chosen.make(self.robot, num_envs, config, place, viewer=viewer, camera=camera, verbose=verbose)

    def environment(self, simulator: Simulator, config: EnvConfig, seed: int) -> BipedEnv:
        """The task for the robots of a simulator."""
        return self.env(simulator, config, seed=seed)

    def new_policy(self, experiment: Experiment, env: BipedEnv) -> RecurrentActorCritic:
        """An untrained policy, which depends on the experiment's seed alone."""
        torch.manual_seed(experiment.seed)
        return self.policy(experiment.policy, env.observation_dim, env.action_dim).to(env.device)

    def trained_policy(self, model: Sb3Model, env: BipedEnv) -> RecurrentActorCritic:
        """The policy of a checkpoint, with the action bounds that it was made for.

        Raises:
            ValueError: the environment takes none of its actions.
        """
        policy = self.policy(model.policy, env.observation_dim, env.action_dim)
        policy.load_state_dict(model.parameters)
        policy.bound_actions(model.action_low, model.action_high)
        return policy.to(env.device)


def make_recorder(experiment: Experiment, device: torch.device, warn: Callable[[str], None]) -> Recorder | None:
    """What records the work of an experiment on this device, if anything does; `warn` is told where it cannot."""
    if not experiment.cuda_graphs or device.type != "cuda":
        return None
    remedy = "this training goes on, slower than with --no-cuda-graphs"
    return Graphs(lambda reason: warn(f"CUDA graphs do not work here ({reason}); {remedy}"))


def build_trainer(
    experiment: Experiment,
    env: BipedEnv,
    policy: RecurrentActorCritic,
    *,
    precision: Precision,
    processes: Processes,
    checkpoints: CheckpointFolder,
    console: Console,
    logger: MetricsLogger | None = None,
    evaluator: Evaluator | None = None,
    recorder: Recorder | None = None,
) -> Trainer:
    """The trainer of an experiment."""
    learner = Learner(
        env,
        policy,
        experiment.ppo,
        experiment.total_timesteps,
        precision=precision,
        processes=processes,
        seed=experiment.seed,
        facts={"config": to_plain(experiment), "robot": robot_facts(env.simulator.robot)},
        recorder=recorder,
    )
    budget = Budget(experiment.total_timesteps, experiment.save_freq, experiment.eval_freq)
    return Trainer(learner, budget, checkpoints=checkpoints, console=console, logger=logger, evaluator=evaluator)
