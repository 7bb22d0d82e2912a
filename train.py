"""Train the biped to walk: read the configuration, build the robots, hand both to `ppo.trainer.Trainer`."""

import dataclasses
import hashlib
import json
import math
import os
import pickle
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from biped.env import BipedEnv
from biped.examination.evaluation import COMMANDS, Command, evaluate, evaluation_config, means, score, verdict
from biped.examination.metrics import WalkingCriteria
from biped.robots.robot import BIPED
from biped.simulators.genesis import Simulation, import_genesis
from biped.task.observations import observation_fields
from configs.command_line import fail, parse, peek
from configs.experiment import CHECKPOINT_PREFIX, Experiment, changed_flags, from_plain, to_plain
from configs.play_options import WARMUP_S
from configs.presets import PRESETS
from ppo import processes as process_group
from ppo.agent import TrainedAgent
from ppo.checkpoint.atomic import atomic_write
from ppo.checkpoint.folder import CheckpointFolder, newest_checkpoint
from ppo.checkpoint.run_folder import make_run_folder, newest_run_folder
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model, bounds_conflict
from ppo.checkpoint.sb3_zip import read_zip
from ppo.evaluation import Evaluator, Verdict
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
from ppo.report.console import Console
from ppo.report.logging import MetricsLogger, WandbConfig, next_run_folder, require_wandb
from ppo.report.provenance import describe_run
from ppo.runtime import Precision, derive_seed, resolve_device
from ppo.trainer import Budget, Trainer, TrainingFailedError

ROBOT_FLAGS = ("--env.", "--simulation.", "--seed", "--num-envs", "--processes")
"""What robots and random numbers depend on: a run that continues with other values gets new ones."""
EVALUATION_ROBOTS = 8
"""Robots per command in an evaluation."""
EVALUATION_SECONDS = 10.0
"""s that an evaluation lasts."""
DESCRIPTION = "Train a two-legged robot to walk with recurrent PPO. Flags may be written with - or _."


def main(arguments: Sequence[str]) -> int:
    """Train as the command line says; returns the exit code."""
    rank = int(os.environ.get("RANK", "0"))
    experiment, folder, model = read_command_line(arguments)
    # Only the first process talks; the others' stream to nowhere stays open as long as they run.
    stream = open(os.devnull, "w") if rank else None  # noqa: SIM115
    console = Console(total_timesteps=experiment.total_timesteps, stream=stream)
    logger = None
    try:
        device = resolve_device(experiment.device)
        precision = Precision.resolve(experiment.precision, device)
        count = resolve_processes(experiment, device)
        check_division(experiment, count)
        check_robot(experiment, model)
        if experiment.wandb:
            require_wandb()
        if rank == 0:
            continued = folder is not None
            folder = folder or make_run_folder(experiment.log_dir, experiment.exp_name)
            write_configuration(folder, to_plain(experiment))
            logger = MetricsLogger(
                next_run_folder(folder, reuse=continued),
                wandb=wandb_config(experiment, folder),
                config=to_plain(experiment),
                warn=console.message,
            )
            if logger.wandb_url is not None:
                console.message(f"Weights & Biases: {logger.wandb_url}")
            console.message(f"{'continuing' if continued else 'training'} in {folder}")
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}; choose another folder with --log-dir or --exp-name")
    checkpoints = CheckpointFolder(
        folder or experiment.log_dir,
        CHECKPOINT_PREFIX,
        keep=experiment.keep_checkpoints,
        warn=console.message,
        saved=lambda path: console.message(f"saved {path}"),
        refuges=(Path(tempfile.gettempdir()), Path.home(), Path.cwd()),
    )
    try:
        processes = join_processes(count, device)
    except ValueError as error:
        fail(str(error))
    try:
        return run(experiment, model, precision, processes, checkpoints, console, logger)
    finally:
        console.close()
        if logger is not None:
            logger.close()
        processes.close()


def read_command_line(arguments: Sequence[str]) -> tuple[Experiment, Path | None, Sb3Model | None]:
    """The experiment, and the run folder and the model to continue from, if any."""
    early = peek(arguments, "--preset", "--continue-training", "--exp-name/-e", "--log-dir")
    preset = early["preset"] or "default"
    if preset not in PRESETS:
        fail(f"--preset {preset} is unknown; choose one of {', '.join(PRESETS)}")
    default, folder, model = PRESETS[preset], None, None
    if early["continue_training"] is not None:
        try:
            folder = newest_run_folder(Path(early["log_dir"] or default.log_dir), early["exp_name"] or default.exp_name)
            _, model = newest_checkpoint(folder, CHECKPOINT_PREFIX, lambda line: print(line, file=sys.stderr))
            if model.native and "config" in model.native:
                default = from_plain(model.native["config"])
        except ValueError as error:
            fail(f"--continue-training: {error}")
    experiment = parse(Experiment, default, arguments, program="train.py", description=DESCRIPTION).resolved()
    if experiment.load_model is not None and folder is None:
        try:
            model = read_zip(experiment.load_model)
        except CheckpointError as error:
            fail(f"--load-model: {error}")
    if model is not None:
        experiment = dataclasses.replace(experiment, policy=model.policy)
        if model.num_timesteps >= experiment.total_timesteps:
            fail(
                f"the model has already been trained for {model.num_timesteps} steps; "
                f"give a larger --total-timesteps than {experiment.total_timesteps}"
            )
    return experiment, folder, model


def resolve_processes(experiment: Experiment, device: torch.device) -> int:
    """How many processes train together."""
    if process_group.launched_by_torchrun():
        return int(os.environ["WORLD_SIZE"])
    if experiment.processes != "auto":
        return experiment.processes
    return torch.cuda.device_count() if device.type == "cuda" else cpu_cores()


def check_division(experiment: Experiment, count: int) -> None:
    """Check that the robots can be shared by the processes and cut into minibatches.

    Raises:
        ValueError: they cannot.
    """
    if experiment.num_envs % count:
        raise ValueError(
            f"--num-envs {experiment.num_envs} cannot be shared by {count} processes; use a multiple of {count}"
        )
    experiment.ppo.minibatch_envs(experiment.num_envs // count)


def check_robot(experiment: Experiment, model: Sb3Model | None) -> None:
    """Check that a model fits the robot and what it observes.

    Raises:
        ValueError: it does not.
    """
    if model is None:
        return
    observations = sum(field.width for field in observation_fields(BIPED, experiment.env.observations))
    if (model.observation_dim, len(model.action_low)) != (observations, BIPED.num_joints):
        raise ValueError(
            f"the model is of another robot or task: it has {model.observation_dim} observations and "
            f"{len(model.action_low)} actions, this run has {observations} and {BIPED.num_joints}; "
            "choose the --preset and the --env flags that it was made with"
        )
    if experiment.ppo.normalize_observation and "normalizer" not in (model.native_state or {}):
        raise ValueError(
            "--ppo.normalize-observation: the model has learned from observations as they are; leave it out, or begin "
            "a new training"
        )


def join_processes(count: int, device: torch.device) -> Processes:
    """Start the other processes unless torchrun has, and share the cores of the machine among them."""
    # Fewer where OMP_NUM_THREADS says so: threads of several trainings on one machine would wait for each other.
    torch.set_num_threads(max(1, min(torch.get_num_threads(), cpu_cores() // count)))
    if count == 1:
        return Processes(device=device)
    helpers = [] if process_group.launched_by_torchrun() else process_group.start(count, sys.argv)
    return process_group.join(device, helpers)


def run(
    experiment: Experiment,
    model: Sb3Model | None,
    precision: Precision,
    processes: Processes,
    checkpoints: CheckpointFolder,
    console: Console,
    logger: MetricsLogger | None,
) -> int:
    """Build robots and policy, train, and say where the result is; returns the exit code."""
    try:
        check_agreement(experiment, model, processes)
    except ValueError as error:
        fail(str(error))
    env = build_env(experiment, processes, console)
    torch.manual_seed(experiment.seed)
    policy = RecurrentActorCritic(experiment.policy, env.observation_dim, env.action_dim).to(env.device)
    if env.device.type == "cpu" and not policy.lstm_actor.compiled:
        console.message("The network runs without compiled kernels, up to 1.6 times slower; a C compiler makes them")
    trainer = Trainer(
        env,
        policy,
        experiment.ppo,
        Budget(experiment.total_timesteps, experiment.save_freq, experiment.eval_freq),
        checkpoints=checkpoints,
        console=console,
        logger=logger,
        precision=precision,
        processes=processes,
        seed=experiment.seed,
        facts={"config": to_plain(experiment)},
        evaluator=build_evaluator(experiment, processes),
    )
    if model is not None:
        try:
            for line in go_on(trainer, experiment, model):
                console.message(line)
        except ValueError as error:
            fail(str(error))
    try:
        number = trainer.train()
    except CheckpointError as error:
        fail(str(error))
    except TrainingFailedError as error:
        console.close()
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        env.close()
    console.close()
    if processes.rank == 0:
        action = "interrupted; continue with: " if number else "done; see it walk with: "
        print(action + next_command(experiment, interrupted=number is not None), flush=True)
    return 128 + number if number else 0


def check_agreement(experiment: Experiment, model: Sb3Model | None, processes: Processes) -> None:
    """Check that all processes train the same model in the same way.

    Raises:
        ValueError: they do not, for instance because their machines have other files.
    """
    place = {"device": "", "load_model": None, "log_dir": "", "verbose": False}
    ours = hashlib.sha256(json.dumps({**to_plain(experiment), **place}).encode())
    if model is not None:
        for parameter in model.parameters.values():
            ours.update(parameter.numpy().tobytes())
    steps = "a new model" if model is None else f"a model of {model.num_timesteps:,} steps"
    digests = processes.share((ours.hexdigest(), steps))
    for rank, (digest, description) in enumerate(digests):
        if digest != digests[0][0]:
            raise ValueError(
                f"the training processes disagree: rank 0 begins with {digests[0][1]}, rank {rank} with {description}, "
                "of other weights or with other flags; give every machine the same files and flags"
            )


def go_on(trainer: Trainer, experiment: Experiment, model: Sb3Model) -> Iterator[str]:
    """Let the trainer start from a model or continue its run; says in a line each what happens.

    Raises:
        ValueError: the environments take none of the model's actions.
    """
    if not experiment.continue_training:
        trainer.start_from(model)
        yield f"starting from {experiment.load_model}: its weights, optimiser and {model.num_timesteps:,} steps"
    else:
        stored = (model.native or {}).get("config", to_plain(experiment))
        changed = [flag for flag in changed_flags(stored, experiment) if flag.startswith(ROBOT_FLAGS)]
        if trainer.restore(model, environments=not changed):
            yield f"continuing at {model.num_timesteps:,} steps"
        else:
            why = f", because these have changed: {' '.join(changed)}" if changed else ""
            yield f"continuing at {model.num_timesteps:,} steps; the robots start new episodes{why}"
        if experiment.ppo.replay > 1:
            yield "the rollouts to replay are collected anew, so the run differs from an uninterrupted one"
    conflict = bounds_conflict(model, trainer.env.action_low.tolist(), trainer.env.action_high.tolist())
    if conflict is not None:
        yield conflict


def build_env(experiment: Experiment, processes: Processes, console: Console) -> BipedEnv:
    """The robots of this process. Rank 0 goes first, so that the others find the simulator's kernels compiled."""
    console.message("Compiling simulator kernels (minutes on the first run, seconds afterwards)")
    begin = time.perf_counter()
    try:
        import_genesis()
        if processes.rank:
            processes.wait()
        simulation = Simulation(
            BIPED,
            experiment.num_envs // processes.count,
            experiment.simulation,
            processes.device,
            verbose=experiment.verbose,
        )
    except ValueError as error:
        fail(str(error))
    env = BipedEnv(simulation, experiment.env, seed=derive_seed(experiment.seed, "environments", processes.rank))
    console.message(f"Compiling simulator kernels took {time.perf_counter() - begin:.0f} s")
    if processes.rank == 0:
        processes.wait()
    return env


class Examiner:
    """Judges policies by the examination of `play.py --evaluate`, with fewer robots; the processes share the commands.

    Args:
        env: `EVALUATION_ROBOTS` for each of this process's `commands`; None where it has none.
        processes: this process among those that train together.
        seed: of what the robots meet in every evaluation.
    """

    def __init__(self, env: BipedEnv | None, processes: Processes, seed: int) -> None:
        self._env = env
        self._processes = processes
        self._seed = seed

    def __call__(self, policy: RecurrentActorCritic) -> Verdict:
        """Examine the policy without exploration."""
        own, env = [], self._env
        if env is not None:
            env.seed(self._seed)
            agent = TrainedAgent(policy, env.num_envs)
            commands = examined_commands(self._processes)
            own = evaluate(agent, env, commands, seconds=EVALUATION_SECONDS, warmup_s=WARMUP_S)
        summaries = [summary for part in self._processes.gather(own) for summary in part]
        if self._processes.rank:
            return Verdict(-math.inf, {}, "")
        summaries.sort(key=lambda summary: COMMANDS.index(summary.command))
        criteria = WalkingCriteria()
        return Verdict(score(summaries, criteria), means(summaries, criteria), verdict(summaries, criteria))


def examined_commands(processes: Processes) -> tuple[Command, ...]:
    """The commands that this process examines policies in."""
    return COMMANDS[processes.rank :: processes.count]


def build_evaluator(experiment: Experiment, processes: Processes) -> Evaluator | None:
    """What judges the policy while it trains; None without evaluations."""
    if experiment.eval_freq is None:
        return None
    seed = derive_seed(experiment.seed, "examination", processes.rank)
    commands, env = examined_commands(processes), None
    if commands:
        simulation = Simulation(BIPED, EVALUATION_ROBOTS * len(commands), experiment.simulation, processes.device)
        env = BipedEnv(simulation, evaluation_config(experiment.env, EVALUATION_SECONDS), seed=seed)
    return Examiner(env, processes, seed)


def write_configuration(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the resolved configuration as `config.yaml`, and as `cfgs.pkl` for tools that expect it."""
    with atomic_write(folder / "config.yaml") as file:
        document = {"experiment": config, "run": describe_run()}
        file.write(yaml.safe_dump(document, sort_keys=False).encode())
    with atomic_write(folder / "cfgs.pkl") as file:
        pickle.dump(dict(config), file)


def wandb_config(experiment: Experiment, folder: Path) -> WandbConfig | None:
    """Where Weights & Biases logs to; None without it."""
    if not experiment.wandb:
        return None
    return WandbConfig(experiment.wandb_project, experiment.wandb_entity, experiment.wandb_run_name or folder.name)


def next_command(experiment: Experiment, *, interrupted: bool) -> str:
    """What to type next: resume, or see the result."""
    words = ["python", "train.py", "--continue-training"] if interrupted else ["python", "play.py"]
    defaults = Experiment()
    if experiment.exp_name != defaults.exp_name:
        words += ["--exp-name", experiment.exp_name]
    if experiment.log_dir != defaults.log_dir:
        words += ["--log-dir", str(experiment.log_dir)]
    return shlex.join(words)


def cpu_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
