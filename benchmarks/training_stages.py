"""The biped in training, taken apart: what the simulator, the environment, the policy and the learner cost."""

import contextlib
import io
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from app.build import Parts
from app.experiment import Experiment
from benchmarks.adapters import OURS, RSL, SB3, RslVecEnv, make_learner, make_sb3, rsl_configuration
from benchmarks.measurement import Measurement, peak_memory, seconds
from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.simulators.interface import Simulator
from ppo.checkpoint.folder import CheckpointFolder
from ppo.checkpoint.sb3_zip import read_zip
from ppo.env import Step
from ppo.report.console import Console, Status
from ppo.runtime import Precision
from ppo.trainer import Budget, Trainer

WARMUPS = 3
"""Rounds that do not count: CUDA graphs are recorded in the third. They only train, and the peak of the memory is read
after them."""
COMMANDS = ("step", "read", "reset", "set_velocity", "set_force")
"""What an environment asks of its simulator while it runs."""

Calls = Sequence[tuple[str, tuple[Tensor, ...]]]
"""Commands to a simulator in their order, with copies of their arguments."""


@dataclass(frozen=True)
class Job:
    """What one process is to measure."""

    contender: str
    experiment: Experiment
    """Of one process with `num_envs` robots."""
    device: torch.device
    precision: Precision
    threads: int
    """Of PyTorch; Genesis uses one on a CPU."""
    iterations: int
    """Iterations per round."""
    model: Path | None
    """Zip to start ours from, so that the robots walk."""


class RecordingSimulator:
    """Passes everything on to a simulator, and on request notes the commands."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.calls: list[tuple[str, tuple[Tensor, ...]]] | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """The simulator's own attribute, or one that also notes the call."""
        attribute = getattr(self.simulator, name)
        calls = self.calls
        if calls is None or name not in COMMANDS:
            return attribute

        def command(*arguments: Tensor) -> Any:  # noqa: ANN401
            calls.append((name, tuple(argument.clone() for argument in arguments)))
            return attribute(*arguments)

        return command


class RecordingEnv(BipedEnv):
    """The task, which notes actions on request."""

    def __init__(self, simulator: Simulator, config: EnvConfig, *, seed: int) -> None:
        self.recorder = RecordingSimulator(simulator)
        self.actions: list[Tensor] | None = None
        super().__init__(cast("Simulator", self.recorder), config, seed=seed)

    def step(self, action: Tensor) -> Step:
        """One control step."""
        if self.actions is not None:
            self.actions.append(action.clone())
        return super().step(action)


class IterationClock(Console):
    """Takes the time from the start of training to its last update, and the trainer's own times of its phases."""

    def __init__(self) -> None:
        super().__init__(total_timesteps=1, stream=io.StringIO())
        self.begin = self.elapsed = self.collecting = 0.0

    def start(self, num_timesteps: int) -> None:
        """Training begins."""
        self.begin, self.collecting = time.perf_counter(), 0.0

    def update(self, status: Status) -> None:
        """An iteration has ended, logging included; the device has been waited for."""
        self.elapsed = time.perf_counter() - self.begin
        self.collecting += status.metrics["perf/simulation_seconds"] + status.metrics["perf/policy_seconds"]


class Training(Protocol):
    """One contender at work."""

    def measure(self, turn: int) -> Measurement:
        """Seconds per stage of one round."""
        ...


def replay(simulator: Simulator, calls: Calls, device: torch.device) -> dict[str, float]:
    """Give a simulator the same commands again; returns the seconds that each kind took."""
    total: dict[str, float] = defaultdict(float)
    for name, arguments in calls:
        total[name] += seconds(partial(getattr(simulator, name), *arguments), device)
    return total


def difference(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    """Largest difference between the tensors of two states, of numbers or flags."""
    return max(float((left[name].double() - right[name].double()).abs().max()) for name in left)


class OurTraining:
    """This trainer; afterwards the same control steps without the policy, and without the environment."""

    def __init__(self, env: RecordingEnv, job: Job, folder: Path) -> None:
        self.env, self.job, self.clock = env, job, IterationClock()
        experiment = job.experiment
        self.trainer = Trainer(
            make_learner(env, experiment.policy, experiment.ppo, job.precision),
            Budget(2**62, save_freq=2**62),
            checkpoints=CheckpointFolder(folder, "model", warn=print, saved=lambda path: None),
            console=self.clock,
        )
        if job.model is not None:
            self.trainer.learner.restore(read_zip(job.model))

    def measure(self, turn: int) -> Measurement:
        """Train, then repeat the actions in the environment, then its commands in the simulator.

        All three run from the same state of the same robots through the same motion.
        """
        env, recorder, simulator = self.env, self.env.recorder, self.env.recorder.simulator
        if turn < WARMUPS:
            self._train()
            return {"training": self.clock.elapsed}
        before = env.state_dict()
        env.actions, recorder.calls = [], []
        self._train()
        actions, calls = env.actions, recorder.calls
        env.actions, recorder.calls = None, None
        after = env.state_dict()

        env.load_state_dict(before)
        environment = seconds(lambda: [env.step(action) for action in actions], env.device)
        error = difference(after["simulator"], env.state_dict()["simulator"])
        simulator.load_state_dict(before["simulator"])
        commands = replay(simulator, calls, env.device)
        error = max(error, difference(after["simulator"], simulator.state_dict()))
        env.load_state_dict(after)
        return {
            "simulator": commands["step"],
            "simulator, read, reset": sum(commands.values()),
            "environment": environment,
            "rollout": self.clock.collecting,
            "training": self.clock.elapsed,
            "replay error": error,
            "base height": float(env.state.base_position[:, 2].mean()),
        }

    def _train(self) -> None:
        trainer = self.trainer
        steps = self.job.iterations * trainer.learner.steps_per_rollout
        trainer.budget = Budget(trainer.learner.num_timesteps + steps, save_freq=2**62)
        trainer.train()


class Sb3Training:
    """sb3-contrib's RecurrentPPO on the same environment."""

    def __init__(self, env: BipedEnv, job: Job, folder: Path) -> None:
        experiment = job.experiment
        self.device = env.device
        self.model = make_sb3(env, experiment.policy, experiment.ppo)
        self.steps = job.iterations * experiment.ppo.n_steps * env.num_envs

    def measure(self, turn: int) -> Measurement:
        """Train."""
        return {"training": seconds(lambda: self.model.learn(self.steps, reset_num_timesteps=False), self.device)}


class RslTraining:
    """rsl_rl's runner on the same environment, without a log folder."""

    def __init__(self, env: BipedEnv, job: Job, folder: Path) -> None:
        from rsl_rl.runners import OnPolicyRunner

        experiment = job.experiment
        self.device, self.iterations = env.device, job.iterations
        configuration = rsl_configuration(experiment.policy, experiment.ppo, env.num_envs, job.precision)
        with contextlib.redirect_stdout(io.StringIO()):
            self.runner = OnPolicyRunner(RslVecEnv(env), configuration, log_dir=None, device=str(env.device))

    def measure(self, turn: int) -> Measurement:
        """Train."""
        return {"training": seconds(lambda: self.runner.learn(self.iterations), self.device)}


TRAININGS: Mapping[str, Callable[[RecordingEnv, Job, Path], Training]] = {
    OURS: OurTraining,
    SB3: Sb3Training,
    RSL: RslTraining,
}


def memory(device: torch.device) -> dict[str, int | None]:
    """Peak memory of this process, bytes; on CUDA that of PyTorch, to which Genesis adds its own."""
    cuda = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {"resident": peak_memory(), "cuda": cuda}


def make_env(job: Job) -> RecordingEnv:
    """The robots of a job, in a process that is set up as the job says."""
    torch.set_num_threads(job.threads)
    # The precision is a setting of the process, too.
    Precision.resolve(job.precision.name, job.device)
    wanted = job.experiment
    simulator = Parts().simulator(wanted.simulator, wanted.robots, wanted.simulation, job.device)
    return RecordingEnv(simulator, wanted.env, seed=1)


def serve(connection: Connection, job: Job) -> None:
    """Build robots and contender in this process, and measure a round whenever the other end asks for one.

    The other end sends the number of the round, or None to end. It receives a dict first, and one for each round; an
    exception's text in its place.
    """
    try:
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            training = TRAININGS[job.contender](make_env(job), job, Path(folder))
            connection.send({"build seconds": time.perf_counter() - begin})
            while (turn := connection.recv()) is not None:
                connection.send(dict(training.measure(turn)) | {"memory": memory(job.device)})
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


def flatness(rates: Mapping[int, float], low: int, high: int) -> float | None:
    """Longest time per control step and robot over the shortest, among robot counts from `low` to `high`.

    1 is perfectly flat; None with fewer than two such counts.
    """
    chosen = [rate for count, rate in rates.items() if low <= count <= high]
    return max(chosen) / min(chosen) if len(chosen) > 1 and math.isfinite(sum(chosen)) else None
