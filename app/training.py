"""One training run, from its command line to the line that says where the result is."""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from app.build import Parts, build_trainer, make_recorder
from app.command_line import fail
from app.compiling import compiling
from app.dashboard import DASHBOARD
from app.examiner import build_examiner
from app.experiment import CHECKPOINT_PREFIX, Experiment, to_plain
from app.filming.films import Films
from app.going_on import check_agreement, go_on
from app.next_command import command
from app.preparation import prepare
from app.process_group import join_processes
from app.run_configuration import write_configuration
from app.run_files import announce_checkpoints, announce_speed, next_command, wandb_config
from app.seeds.plan import asked
from app.seeds.training import train_seeds
from biped.env import BipedEnv
from ppo import processes as process_group
from ppo.checkpoint.folder import CheckpointFolder
from ppo.checkpoint.run_folder import discard_run_folder, make_run_folder
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.checkpoint.vec_normalize import warn_of_normalization
from ppo.expectation import is_long
from ppo.learner import TrainingFailedError
from ppo.processes import ProcessEndedError, Processes
from ppo.program.interruption import requested
from ppo.program.launch import load_kernels
from ppo.report.console import Console
from ppo.report.logging import MetricsLogger, next_run_folder
from ppo.runtime import Precision, derive_seed


@dataclass(frozen=True)
class Run:
    """What a training needs beside its experiment."""

    precision: Precision
    processes: Processes
    checkpoints: CheckpointFolder
    console: Console
    logger: MetricsLogger | None
    """None on other ranks than 0."""
    films: Films | None
    """Likewise, and where none are asked for."""
    parts: Parts


def main(arguments: Sequence[str], parts: Parts | None = None) -> int:
    """Train as the command line says, with other `parts` if given; returns the exit code."""
    try:
        rank = process_group.check_environment(os.environ)
    except ValueError as error:
        fail(str(error))
    parts = parts or Parts()
    seeds = asked(arguments)
    if seeds is not None:
        return train_seeds(arguments, seeds, parts)
    training = prepare(arguments, parts)
    experiment, folder, model = training.experiment, training.folder, training.model
    if model is not None and training.is_complete:
        fail(
            f"the model has already been trained for {model.num_timesteps} steps; "
            f"give a larger --total-timesteps than {experiment.total_timesteps}"
        )
    # Only the first process talks; the others' stream to nowhere stays open as long as they run.
    stream = open(os.devnull, "w") if rank else None  # noqa: SIM115
    console = Console(total_timesteps=experiment.total_timesteps, stream=stream)
    with contextlib.ExitStack() as stack:
        logger = films = None
        if rank == 0:
            folder, logger = open_run(experiment, folder, model, console)
            stack.callback(logger.close)
            if experiment.video_freq is not None:
                first, on_gpu = 0 if model is None else model.num_timesteps, training.device.type == "cuda"
                films = Films(folder, experiment.video_freq, first, logger=logger, say=console.message, on_gpu=on_gpu)
                stack.callback(films.close)
        stack.callback(console.close)

        def saved(path: Path) -> None:
            console.message(f"saved {path}")
            if films is not None:
                films.saved(path)

        checkpoints = CheckpointFolder(
            folder or experiment.log_dir,
            CHECKPOINT_PREFIX,
            keep=experiment.keep_checkpoints,
            warn=console.message,
            saved=saved,
            refuges=(Path(tempfile.gettempdir()), Path.home(), Path.cwd()),
        )
        try:
            processes = join_processes(training.process_count, training.device)
        except ValueError as error:
            fail(str(error))
        stack.callback(processes.close)
        try:
            run = Run(training.precision, processes, checkpoints, console, logger, films, training.parts)
            return train(experiment, model, run)
        except ProcessEndedError as error:
            console.close()
            print(f"error: {error}; look for what it said, then start all of them again", file=sys.stderr)
            return 1
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            console.close()
            fail(
                f"{training.device.type} has too little memory for {experiment.robots:,} robots with this network; "
                "set --ppo.micro-batch-size to a few thousand samples, or lower --num-envs, --ppo.n-steps or "
                "--policy.lstm-hidden-size"
            )


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether memory has run out, of a GPU, in PyTorch or in a simulator, or of the machine."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(error).lower() for words in ("out of memory", "out_of_memory", "can't allocate memory"))


def open_run(
    experiment: Experiment, folder: Path | None, model: Sb3Model | None, console: Console
) -> tuple[Path, MetricsLogger]:
    """The folder of the run, a new one unless it is given, with its configuration in it, and its log."""
    continued = folder is not None
    if experiment.load_model is not None and model is not None:
        warning = warn_of_normalization(experiment.load_model, model)
        if warning is not None:
            print(warning, file=sys.stderr)
    try:
        folder = folder or make_run_folder(experiment.log_dir, experiment.exp_name)
        config = to_plain(experiment)
        document = write_configuration(folder, config)
        logger = MetricsLogger(
            next_run_folder(folder, reuse=continued),
            wandb=wandb_config(experiment, folder),
            config={**config, "run": document["run"]},
            warn=console.message,
            continued_from=model.num_timesteps if continued and model is not None else None,
        )
        logger.arrange(DASHBOARD, config, document)
    except ValueError as error:
        fail(f"{error}; choose another folder with --log-dir or --exp-name")
    except OSError as error:
        if folder is not None and not continued:
            discard_run_folder(folder)
        fail(
            f"{error.filename or folder}: {error.strerror or error}; "
            "choose another folder with --log-dir or --exp-name, or make room"
        )
    if logger.wandb_url is not None:
        console.message(f"Weights & Biases: {logger.wandb_url}")
    console.message(f"{'continuing' if continued else 'training'} in {folder}")
    return folder, logger


def train(experiment: Experiment, model: Sb3Model | None, run: Run) -> int:
    """Build robots and policy, train, and say where the result is; returns the exit code."""
    console, processes, parts = run.console, run.processes, run.parts
    try:
        check_agreement(experiment, model, processes)
    except ValueError as error:
        fail(str(error))
    complaint = load_kernels()
    if processes.device.type == "cpu" and complaint is not None:
        console.message(complaint)
    recorder = make_recorder(experiment, processes.device, console.message)
    with standing_robots(experiment, run) as env:
        examined_in = () if experiment.eval_freq is None else experiment.eval_simulators
        others = [one for one in examined_in if one != experiment.simulator]
        try:
            with telling(others, run):
                evaluator = build_examiner(experiment, processes, parts, recorder)
        except ValueError as error:
            fail(f"--eval-simulator: {error}")
        trainer = build_trainer(
            experiment,
            env,
            parts.new_policy(experiment, env),
            precision=run.precision,
            processes=processes,
            checkpoints=run.checkpoints,
            console=console,
            logger=run.logger,
            evaluator=evaluator,
            recorder=recorder,
        )
        try:
            if model is not None:
                for line in go_on(trainer.learner, experiment, model):
                    console.message(line)
            console.message(announce_checkpoints(experiment, trainer.learner))
            if is_long(trainer.learner):
                console.message(announce_speed(experiment, trainer.learner))
            number = trainer.train()
        except CheckpointError as error:
            fail(str(error))
        except TrainingFailedError as error:
            console.close()
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            # The second signal, to which the trainer answers at once.
            console.close()
            print("interrupted", file=sys.stderr)
            return 128 + (requested() or signal.SIGINT)
    console.close()
    if run.films is not None and number is None:
        number = run.films.finish(run.checkpoints.newest, trainer.learner.num_timesteps)
    if processes.rank == 0:
        # A signal during the last save ends a training that is complete.
        interrupted = trainer.learner.num_timesteps < experiment.total_timesteps
        action = "interrupted; continue with: " if interrupted else "done; see it walk with: "
        console.message(action + next_command(experiment, run.checkpoints.folder, interrupted=interrupted))
        if trainer.best_is_earlier and not interrupted:
            best = command("play.py", options={"--checkpoint": run.checkpoints.folder / "model_best.zip"})
            console.message(f"an earlier model did better in its examination: {best}")
    return 128 + number if number else 0


def telling(engines: Sequence[str], run: Run) -> contextlib.AbstractContextManager[None]:
    """Within, the first process tells that kernels are compiled, if one of these engines does so."""
    compiled = [name for name in engines if run.parts.engines[name].compiles]
    kernels = ", ".join((*compiled[:1], run.parts.robot.name, run.processes.device.type))
    return compiling(kernels, run.console.message, when=bool(compiled) and run.processes.rank == 0)


@contextlib.contextmanager
def standing_robots(experiment: Experiment, run: Run) -> Iterator[BipedEnv]:
    """The robots of this process. Rank 0 goes first, so that the others find the simulator's kernels compiled."""
    console, processes, parts = run.console, run.processes, run.parts
    engine = parts.engines[experiment.simulator]
    try:
        with telling([experiment.simulator], run):
            engine.load(camera=False, verbose=experiment.verbose, warn=console.message)
            if processes.rank:
                processes.wait()
            simulator = parts.simulator(
                experiment.simulator,
                experiment.robots // processes.count,
                experiment.simulation,
                processes.device,
                verbose=experiment.verbose,
            )
    except ValueError as error:
        fail(str(error))
    env = parts.environment(simulator, experiment.env, derive_seed(experiment.seed, "environments", processes.rank))
    if processes.rank == 0:
        processes.wait()
    try:
        yield env
    finally:
        env.close()
