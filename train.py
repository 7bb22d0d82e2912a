"""Train the biped to walk: read the configuration, build the robots, hand both to `ppo.trainer.Trainer`."""

import dataclasses
import hashlib
import json
import math
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from app.command_line import asks_for_help, explain, fail, flags_given, parse
from app.experiment import CHECKPOINT_PREFIX, Experiment, changed_flags, from_plain, stored_name, to_plain
from app.next_command import command
from app.play_options import WARMUP_S
from biped.env import BipedEnv
from biped.env import check_robot as check_task
from biped.examination.criteria import WalkingCriteria
from biped.examination.examination import COMMANDS, Command, examination_config, examine, means, result_line, score
from biped.robots.robot import BIPED
from biped.simulators.genesis import GenesisSimulator, import_genesis
from biped.task.observations import observation_fields
from configs.presets import PRESETS
from ppo import processes as process_group
from ppo.agent import TrainedAgent
from ppo.checkpoint.atomic import atomic_write
from ppo.checkpoint.folder import CheckpointFolder, newest_checkpoint
from ppo.checkpoint.run_folder import discard_run_folder, make_run_folder, newest_run_folder
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model, bounds_conflict
from ppo.checkpoint.sb3_zip import read_zip
from ppo.checkpoint.vec_normalize import warn_of_normalization
from ppo.cpu import kernels
from ppo.evaluation import Evaluator, Verdict
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
from ppo.report.console import Console
from ppo.report.logging import MetricsLogger, WandbConfig, next_run_folder, require_wandb
from ppo.report.provenance import describe_run
from ppo.runtime import Precision, derive_seed, resolve_device
from ppo.standard_output import printing
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
    try:
        rank = process_group.check_environment(os.environ)
    except ValueError as error:
        fail(str(error))
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
        check_task(experiment.env, BIPED)
        check_robot(experiment, model)
        if experiment.wandb:
            require_wandb()
        if rank == 0:
            continued = folder is not None
            if experiment.load_model is not None and model is not None:
                warning = warn_of_normalization(experiment.load_model, model)
                if warning is not None:
                    print(warning, file=sys.stderr)
            folder = folder or make_run_folder(experiment.log_dir, experiment.exp_name)
            write_configuration(folder, to_plain(experiment))
            logger = MetricsLogger(
                next_run_folder(folder, reuse=continued),
                wandb=wandb_config(experiment, folder),
                config=to_plain(experiment),
                warn=console.message,
                continued_from=model.num_timesteps if continued and model is not None else None,
            )
            if logger.wandb_url is not None:
                console.message(f"Weights & Biases: {logger.wandb_url}")
            console.message(f"{'continuing' if continued else 'training'} in {folder}")
    except ValueError as error:
        fail(explain(Experiment, error))
    except OSError as error:
        if folder is not None and not experiment.continue_training:
            discard_run_folder(folder)
        fail(
            f"{error.filename or folder}: {error.strerror or error}; "
            "choose another folder with --log-dir or --exp-name, or make room"
        )
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
    given = flags_given(
        Experiment,
        (PRESETS["default"], UNLIKE_DEFAULT),
        arguments,
        *("preset", "continue_training", "load_model", "exp_name", "log_dir", "adaptive_lr", "ppo.lr.schedule"),
        "processes",
    )
    default, folder, model = PRESETS[given.get("preset", "default")], None, None
    if given.get("continue_training") and not asks_for_help(arguments):
        if given.get("load_model") is not None:
            fail("--continue-training goes on from a run's own newest model, --load-model from another; leave out one")
        default, folder, model = find_run(given, default)
    elif given.get("load_model") is not None:
        try:
            model = read_zip(given["load_model"])
        except CheckpointError as error:
            fail(f"--load-model: {error}")
    if model is not None:
        default = dataclasses.replace(default, policy=model.policy)
    default = dataclasses.replace(default, adaptive_lr=default.ppo.lr.schedule == "adaptive")
    if given.get("adaptive_lr") is False and default.adaptive_lr:
        # Before parsing, because the adaptive schedule limits the learning rate that may be asked for.
        default = default.with_schedule("constant")
    experiment = parse(Experiment, default, arguments, program="train.py", description=DESCRIPTION)
    check_reading(experiment, default, given)
    if process_group.launched_by_torchrun() and given.get("processes", "auto") != "auto":
        count = int(os.environ["WORLD_SIZE"])
        if given["processes"] != count:
            fail(f"--processes {given['processes']}: torchrun has started {count}; leave the flag out")
    if model is not None:
        check_network(experiment, model)
        if model.num_timesteps >= experiment.total_timesteps:
            fail(
                f"the model has already been trained for {model.num_timesteps} steps; "
                f"give a larger --total-timesteps than {experiment.total_timesteps}"
            )
    if folder is not None:
        # The folder may be called otherwise, by a number or by hand, and the run keeps its name.
        experiment = dataclasses.replace(experiment, exp_name=default.exp_name)
    return with_shorthand(experiment, given), folder, model


UNLIKE_DEFAULT = dataclasses.replace(
    PRESETS["default"].with_schedule("adaptive"),
    preset="smoke",
    continue_training=True,
    load_model=Path("other"),
    exp_name="other",
    log_dir=Path("other"),
    processes="auto",
)
"""Differs from the default in all that must be known before the other flags are read."""


def find_run(given: Mapping[str, Any], preset: Experiment) -> tuple[Experiment, Path, Sb3Model]:
    """What `--continue-training` goes on with: the run's configuration, folder and newest model."""
    name, log_dir = given.get("exp_name", preset.exp_name), given.get("log_dir", preset.log_dir)
    try:
        folder = newest_run_folder(log_dir, name, stored_name)
        _, model = newest_checkpoint(folder, CHECKPOINT_PREFIX, lambda line: print(line, file=sys.stderr))
        if model.native and "config" in model.native:
            stored = from_plain(model.native["config"])
            if given.get("preset", stored.preset) != stored.preset:
                fail(
                    f"--preset {given['preset']}: the run in {folder} was started with --preset {stored.preset}; leave "
                    "the flag out, or start a new run with --load-model"
                )
        else:
            stored = dataclasses.replace(preset, exp_name=name)
    except ValueError as error:
        fail(f"--continue-training: {error}")
    return dataclasses.replace(stored, log_dir=log_dir, continue_training=True), folder, model


def check_reading(experiment: Experiment, default: Experiment, given: Mapping[str, Any]) -> None:
    """Check that the flags which were read ahead were read as the parser read them in the end."""
    for name in ("preset", "continue_training", "load_model", "exp_name", "log_dir"):
        if getattr(experiment, name) != given.get(name, getattr(default, name)):
            flag = f"--{name.replace('_', '-')}"
            fail(f"{flag} cannot be told apart from the value of another flag; write {flag}=VALUE and put it first")


def check_network(experiment: Experiment, model: Sb3Model) -> None:
    """Check that no flag asks for another network than the model's."""
    for field in dataclasses.fields(model.policy):
        wanted, present = (to_plain(getattr(policy, field.name)) for policy in (experiment.policy, model.policy))
        if wanted != present:
            shown = [" ".join(map(str, value)) if isinstance(value, list) else value for value in (wanted, present)]
            fail(
                f"--policy.{field.name.replace('_', '-')} {shown[0]}: the network comes with the model, which has "
                f"{shown[1] or 'none'}; leave the flag out"
            )


def with_shorthand(experiment: Experiment, given: Mapping[str, Any]) -> Experiment:
    """Carry `--adaptive-lr` and `--no-adaptive-lr` into the schedule of the learning rate."""
    asked, schedule = given.get("adaptive_lr"), given.get("ppo.lr.schedule")
    if asked is not None and schedule is not None and asked != (schedule == "adaptive"):
        fail(f"--{'' if asked else 'no-'}adaptive-lr contradicts --ppo.lr.schedule {schedule}; leave out one of them")
    try:
        return experiment.with_schedule("adaptive" if asked else experiment.ppo.lr.schedule)
    except ValueError as error:
        fail(explain(Experiment, error))


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
    if env.device.type == "cpu" and kernels.library() is None:
        console.message("The network runs without compiled kernels, up to 1.6 times slower; a C compiler makes them")
    torch.manual_seed(experiment.seed)
    policy = RecurrentActorCritic(experiment.policy, env.observation_dim, env.action_dim).to(env.device)
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
        print(
            action + next_command(named_as_found(experiment, checkpoints.folder), interrupted=number is not None),
            flush=True,
        )
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
        simulation = GenesisSimulator(
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
            own = examine(agent, env, commands, seconds=EVALUATION_SECONDS, warmup_s=WARMUP_S)
        summaries = [summary for part in self._processes.gather(own) for summary in part]
        if self._processes.rank:
            return Verdict(-math.inf, {}, "")
        summaries.sort(key=lambda summary: COMMANDS.index(summary.command))
        criteria = WalkingCriteria()
        return Verdict(score(summaries, criteria), means(summaries, criteria), result_line(summaries, criteria))


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
        simulation = GenesisSimulator(BIPED, EVALUATION_ROBOTS * len(commands), experiment.simulation, processes.device)
        env = BipedEnv(simulation, examination_config(experiment.env, EVALUATION_SECONDS), seed=seed)
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


def named_as_found(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment under the name by which this folder is found again, where its own leads to another one."""
    try:
        found = newest_run_folder(experiment.log_dir, experiment.exp_name, stored_name) == folder
    except ValueError:
        found = False
    return experiment if found else dataclasses.replace(experiment, exp_name=folder.name)


def next_command(experiment: Experiment, *, interrupted: bool) -> str:
    """What to type next: resume, or see the result."""
    defaults = Experiment()
    options = {
        "--exp-name": experiment.exp_name if experiment.exp_name != defaults.exp_name else None,
        "--log-dir": experiment.log_dir if experiment.log_dir != defaults.log_dir else None,
    }
    given = {flag: value for flag, value in options.items() if value is not None}
    return (
        command("train.py", "--continue-training", options=given) if interrupted else command("play.py", options=given)
    )


def cpu_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    with printing():
        sys.exit(main(sys.argv[1:]))
