"""Watch a biped walk: on a screen, as a video, or in numbers."""

from ppo import launch

if __name__ == "__main__":
    # Before PyTorch is loaded.
    launch.prepare()

import dataclasses
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from rich.console import Console

from biped.env import BipedEnv, EnvConfig
from biped.examination.evaluation import (
    COMMANDS,
    Controller,
    Results,
    comparison,
    describe,
    evaluate,
    evaluation_config,
    table,
    to_json,
)
from biped.examination.metrics import DISTURBED_CRITERIA, GaitSummary, WalkingCriteria
from biped.examination.playback import Episode, play_episodes, summarize, tell
from biped.examination.video import VideoWriter
from biped.robots.robot import BIPED
from biped.simulators.genesis import Simulation
from biped.simulators.mujoco import MujocoSimulation, import_mujoco
from biped.task.observations import observation_fields, observation_slices
from configs.command_line import fail, parse, peek
from configs.play_options import WARMUP_S, PlayOptions, has_display
from ppo.agent import TrainedAgent
from ppo.checkpoint.atomic import atomic_write
from ppo.checkpoint.folder import newest_checkpoint
from ppo.checkpoint.run_folder import newest_run_folder
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.checkpoint.sb3_zip import read_zip
from ppo.cpu import kernels
from ppo.interruption import deferred, requested, use_compiled
from ppo.policy import RecurrentActorCritic
from ppo.runtime import resolve_device

if TYPE_CHECKING:
    from configs.experiment import Experiment

DESCRIPTION = "Watch and measure a two-legged robot that was trained with train.py. Flags may be written with - or _."
SHIPPED_POLICY = BIPED.asset.with_name("walk.zip")
"""A robust walk; docs/walking.md says how it was trained and how well it walks."""


class Checkpoint(NamedTuple):
    """A file and what it holds."""

    path: Path
    model: Sb3Model


def main(arguments: Sequence[str]) -> int:
    """Play as the command line says; returns the exit code."""
    try:
        options = read_command_line(arguments)
        try:
            device = resolve_device(options.device)
            checkpoint = find_checkpoint(options)
            experiment = find_experiment(options, checkpoint)
            if checkpoint is not None and options.agent == "trained":
                check_sizes(checkpoint, experiment.env)
            if "mujoco" in options.simulators:
                # Here, so that nobody waits for Genesis in vain.
                import_mujoco(camera=options.video is not None, verbose=options.verbose)
        except ValueError as error:
            fail(str(error))
        print(announce(options, checkpoint))
        use_compiled(kernels.library())
        if options.simulator != "mujoco":
            print("Compiling simulator kernels (minutes on the first run, seconds afterwards)", flush=True)
        return run(options, checkpoint, experiment, device)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + (requested() or signal.SIGINT)


def read_command_line(arguments: Sequence[str]) -> PlayOptions:
    """The options that the command line gives; bad ones end the program with one line."""
    words = list(arguments)
    if words and not words[0].startswith("-"):
        words.insert(0, "--checkpoint")
    early = peek(words, "--video", "--evaluate", "--simulator")
    filmed = early["video"] is not None or early["evaluate"] is not None
    default = PlayOptions(viewer=has_display() and not filmed and early["simulator"] in (None, "genesis"))
    options = parse(PlayOptions, default, words, program="play.py", description=DESCRIPTION)
    try:
        options.check()
    except ValueError as error:
        fail(str(error))
    return options


def find_checkpoint(options: PlayOptions) -> Checkpoint | None:
    """The checkpoint that the options name, or None where an agent that needs none finds none.

    Who has not trained yet and asks for nothing in particular sees the policy that comes with the project.

    Raises:
        ValueError: the file or a run cannot be found or read.
    """
    if options.checkpoint is not None:
        return Checkpoint(options.checkpoint, read_zip(options.checkpoint))
    try:
        folder = newest_run_folder(options.log_dir, options.exp_name)
        # Imported here because it takes seconds, and bad input shall be answered at once.
        from configs.experiment import CHECKPOINT_PREFIX

        return Checkpoint(*newest_checkpoint(folder, CHECKPOINT_PREFIX, lambda line: print(line, file=sys.stderr)))
    except CheckpointError:
        message = f"{folder} holds no checkpoint that can be read; train first, or name one with --checkpoint"
    except ValueError as error:
        message = str(error)
        if options.exp_name == PlayOptions.exp_name:
            print(f"no run of yours in {options.log_dir} yet; this is the policy that comes with the project")
            return Checkpoint(SHIPPED_POLICY, read_zip(SHIPPED_POLICY))
    if options.agent == "trained":
        raise ValueError(message)
    return None


def find_experiment(options: PlayOptions, checkpoint: Checkpoint | None) -> "Experiment":
    """The experiment whose task is played: that of the preset asked for, else of the checkpoint, else the default.

    Raises:
        ValueError: the checkpoint's configuration cannot be read.
    """
    from configs.experiment import from_plain
    from configs.presets import PRESETS

    if options.preset is None and checkpoint is not None:
        native = checkpoint.model.native or {}
        try:
            return from_plain(native["config"]) if "config" in native else PRESETS["default"]
        except ValueError as error:
            raise ValueError(f"{checkpoint.path}: {error}; choose a task with --preset") from None
    return PRESETS[options.preset or "default"]


def check_sizes(checkpoint: Checkpoint, config: EnvConfig) -> None:
    """Check that the policy takes the task's observations and gives its actions.

    Raises:
        ValueError: it does not.
    """
    model = checkpoint.model
    sizes = model.observation_dim, len(model.action_low)
    slices = observation_slices(observation_fields(BIPED, config.observations))
    wanted = max(part.stop for part in slices.values()), BIPED.num_joints
    if sizes != wanted:
        raise ValueError(
            f"{checkpoint.path}: the policy takes {sizes[0]} observations and gives {sizes[1]} actions, the task has "
            f"{wanted[0]} and {wanted[1]}; choose the task that it was trained in with --preset"
        )


def announce(options: PlayOptions, checkpoint: Checkpoint | None) -> str:
    """One line that says who acts."""
    if checkpoint is None or options.agent != "trained":
        return f"{options.agent} actions"
    return f"{checkpoint.path}, trained for {checkpoint.model.num_timesteps:,} control steps"


def run(options: PlayOptions, checkpoint: Checkpoint | None, experiment: "Experiment", device: torch.device) -> int:
    """Build robots and agent, and watch them; returns the exit code."""
    try:
        if options.evaluate:
            results = {
                simulator: run_evaluation(options, simulator, checkpoint, experiment, device)
                for simulator in options.simulators
            }
            show_evaluation(options, checkpoint, results)
        else:
            run_episodes(options, checkpoint, experiment, device)
    except OSError as error:
        target = error.filename or options.video or options.json or "output"
        print(f"error: {target}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def disturbed(config: EnvConfig) -> EnvConfig:
    """The task with the noise, the pushes and the differences between robots that the robust preset prepares for."""
    from configs.presets import DISTURBANCES

    return dataclasses.replace(
        config,
        randomization=DISTURBANCES,
        observations=dataclasses.replace(config.observations, noise=True),
    )


def run_evaluation(
    options: PlayOptions,
    simulator: str,
    checkpoint: Checkpoint | None,
    experiment: "Experiment",
    device: torch.device,
) -> list[GaitSummary]:
    """Evaluate in one simulator. The seed, and so every property that is drawn for a robot, is the same in each."""
    commands = COMMANDS if options.command is None else (options.command,)
    num_envs = (options.num_envs or 64) * len(commands)
    simulation = make_simulation(options, simulator, num_envs, experiment, device)
    config = disturbed(experiment.env) if options.disturbed else experiment.env
    config = evaluation_config(config, options.duration, pushes=options.disturbed)
    env = BipedEnv(simulation, config, seed=options.seed)
    try:
        controller = make_controller(options, checkpoint, env)
        print(f"evaluating {num_envs} robots for {options.duration:g} s in {simulator}", flush=True)
        return evaluate(controller, env, commands, seconds=options.duration, warmup_s=WARMUP_S)
    finally:
        env.close()


def run_episodes(
    options: PlayOptions, checkpoint: Checkpoint | None, experiment: "Experiment", device: torch.device
) -> None:
    """Play in the one simulator that was chosen."""
    simulation = make_simulation(options, options.simulator, options.num_envs or 1, experiment, device)
    config = dataclasses.replace(experiment.env, episode_length_s=options.duration, randomize_episode_start=False)
    env = BipedEnv(simulation, config, seed=options.seed)
    try:
        controller = make_controller(options, checkpoint, env)
        with deferred():
            show_episodes(options, controller, env, simulation)
    finally:
        env.close()


def make_simulation(
    options: PlayOptions, simulator: str, num_envs: int, experiment: "Experiment", device: torch.device
) -> Simulation | MujocoSimulation:
    """Robots in the simulator of that name; what it refuses ends the program with one line."""
    engine = MujocoSimulation if simulator == "mujoco" else Simulation
    try:
        return engine(
            BIPED,
            num_envs,
            experiment.simulation,
            torch.device("cpu") if simulator == "mujoco" else device,
            viewer=options.viewer,
            camera=options.video is not None,
            verbose=options.verbose,
        )
    except ValueError as error:
        fail(str(error))


def make_controller(options: PlayOptions, checkpoint: Checkpoint | None, env: BipedEnv) -> Controller:
    """What chooses the actions."""
    generator = torch.Generator(device=env.device)
    generator.manual_seed(options.seed)
    shape = env.num_envs, env.action_dim
    if options.agent == "zero":
        return lambda observation, episode_start: torch.zeros(shape, device=env.device)
    if options.agent == "random":
        return lambda observation, episode_start: torch.randn(shape, generator=generator, device=env.device)
    assert checkpoint is not None
    policy = RecurrentActorCritic(checkpoint.model.policy, env.observation_dim, env.action_dim)
    policy.load_state_dict(checkpoint.model.parameters)
    return TrainedAgent(policy.to(env.device), env.num_envs, None if options.deterministic else generator)


def show_evaluation(options: PlayOptions, checkpoint: Checkpoint | None, results: Results) -> None:
    """Print a table per simulator and what falls short, compare the simulators, and write the JSON file."""
    criteria = DISTURBED_CRITERIA if options.disturbed else WalkingCriteria()
    # Narrower, the columns of all commands would not fit.
    console = Console(width=max(Console().width, 100))
    for simulator, summaries in results.items():
        print(
            f"{summaries[0].robots} {'disturbed ' if options.disturbed else ''}robots per command for "
            f"{options.duration:g} s in {simulator}; "
            f"the first {WARMUP_S:g} s count for survival and course only"
        )
        console.print(table(summaries, criteria))
        for summary in summaries:
            for shortfall in criteria.shortfalls(summary):
                print(f"{describe(summary.command)}: {shortfall}")
        passed = sum(map(criteria.passes, summaries))
        verdict = "PASS" if passed == len(summaries) else "FAIL"
        print(f"{verdict}: {passed} of {len(summaries)} commands meet the criteria")
    if len(results) > 1:
        print("the same robots, side by side")
        console.print(comparison(results, criteria))
    if options.json is not None:
        facts = {
            "checkpoint": str(checkpoint.path) if checkpoint else None,
            "num_timesteps": checkpoint.model.num_timesteps if checkpoint else None,
            "agent": options.agent,
            "deterministic": options.deterministic,
            "simulator": options.simulator,
            "disturbed": options.disturbed,
            "seconds": options.duration,
            "warmup_seconds": WARMUP_S,
            "seed": options.seed,
        }
        with atomic_write(options.json) as file:
            file.write(to_json(results, criteria, facts).encode())


def show_episodes(
    options: PlayOptions, controller: Controller, env: BipedEnv, simulation: Simulation | MujocoSimulation
) -> None:
    """Play, print each episode as it ends and a summary of them all, and record the video."""
    if options.command is not None:
        env.set_command(torch.tensor(options.command, device=env.device))
    episodes = options.episodes or (None if options.viewer else 1)
    seen: list[Episode] = []
    with ExitStack() as stack:
        # Told after whatever ends the watching, Ctrl-C included.
        stack.callback(lambda: print(summarize(seen), flush=True))
        real_time = RealTime(env.control_dt) if options.viewer else None
        video = None
        if options.video is not None:
            video = stack.enter_context(VideoWriter(options.video, round(1.0 / env.control_dt)))
            print(f"recording {options.video}", flush=True)

        def after_step() -> None:
            if requested() is not None:
                raise KeyboardInterrupt
            if video is not None:
                video.add(simulation.render())
            if real_time is not None:
                real_time.wait()

        try:
            for episode in play_episodes(controller, env, episodes, after_step):
                seen.append(episode)
                print(tell(len(seen), episode, env.num_envs), flush=True)
        except Exception as error:
            # Genesis ends a closed window with an exception of a type that only it can name.
            if not (options.viewer and "Viewer closed" in str(error)):
                raise


class RealTime:
    """Lets a loop take no less than `control_dt` seconds per turn."""

    def __init__(self, control_dt: float) -> None:
        self._control_dt = control_dt
        self._next = time.perf_counter()

    def wait(self) -> None:
        """Wait until the next turn is due; one that comes late is not made up for."""
        now = time.perf_counter()
        self._next = max(now, self._next + self._control_dt)
        time.sleep(self._next - now)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
