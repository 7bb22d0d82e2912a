"""Watch a biped walk: on a screen, as a video, or in numbers."""

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

import torch

from app.build import Engine, Parts
from app.command_line import about, fail
from app.load import check_fits, find_checkpoint, find_experiment
from app.play_flags import PlayOptions, read_command_line
from app.progress import StatusLine, progress
from app.real_time import RealTime
from app.screen import announce, show_examination
from app.session import Session, build_controller, examined_task, robots
from biped.env import BipedEnv
from biped.env_config import check_robot
from biped.examination.examination import WARMUP_S, Controller, examination_config, examine
from biped.examination.gait_meter import GaitSummary
from biped.examination.pictures import Pictures
from biped.examination.playback import Episode, play_episodes, summarize, tell
from biped.examination.trials import Trial, trials_of
from biped.examination.video import VideoWriter
from biped.robots.robot_file import load_robot
from ppo.program.interruption import deferred, requested
from ppo.program.launch import load_kernels
from ppo.runtime import resolve_device

ROBOTS_PER_TRIAL = 64
"""In an examination, if not asked for otherwise."""


def main(arguments: Sequence[str], parts: Parts | None = None) -> int:
    """Play as the command line says, with other `parts` if given; returns the exit code."""
    parts = parts or Parts()
    try:
        options = read_command_line(arguments)
        if options.compare:
            # Only here, as drawing takes a second to import.
            from app.comparison.comparing import compare

            return compare(options)
        try:
            if options.web and find_spec("viser") is None:
                raise ValueError("--web needs viser, which is not installed; pip install viser")
            if options.keyboard:
                check_terminal()
            with about(f"--device {options.device}"):
                device = resolve_device(options.device)
            checkpoint = find_checkpoint(options)
            experiment = find_experiment(options, checkpoint)
            options = options.settled(experiment.simulator)
            with about("--robot"):
                parts = dataclasses.replace(parts, robot=load_robot(options.robot or experiment.robot))
            check_robot(experiment.env, parts.robot)
            if options.heading is not None and experiment.env.commands.course_gain == 0.0:
                raise ValueError("--heading needs a policy that was trained with --env.commands.course-gain above 0")
            if checkpoint is not None and options.agent == "trained":
                check_fits(checkpoint.model, experiment.env, parts.robot, str(checkpoint.path))
            for engine in options.simulators:
                if not parts.engines[engine].compiles:
                    # Here, so that nobody waits for the other one first.
                    load_engine(parts.engines[engine], options)
        except ValueError as error:
            fail(str(error))
        print(announce(options, checkpoint))
        load_kernels()
        return watch(Session(options, checkpoint, experiment, device, parts))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + (requested() or signal.SIGINT)


def check_terminal() -> None:
    """Check that somebody can type.

    Raises:
        ValueError: nobody can.
    """
    if find_spec("termios") is None:
        raise ValueError("--keyboard needs a Unix terminal; steer in the browser with --web instead")
    if sys.stdin is None or not sys.stdin.isatty():
        raise ValueError("--keyboard needs a terminal to type in; steer in the browser with --web instead")


def load_engine(engine: Engine, options: PlayOptions) -> None:
    """Import an engine, ready to make pictures if there will be any.

    Raises:
        ValueError: it is missing, or cannot make the video that is asked for.
    """
    filmed = options.video is not None or options.report is not None
    try:
        engine.load(camera=filmed, verbose=options.verbose, warn=lambda line: None)
    except ValueError:
        # A report does without a film where it must.
        if options.report is None:
            raise
        os.environ["MUJOCO_GL"] = "disable"
        engine.load(camera=False, verbose=options.verbose, warn=lambda line: None)


def watch(session: Session) -> int:
    """Build robots and agent, and watch them; returns the exit code."""
    options = session.options
    try:
        if options.evaluate:
            results = {engine: run_examination(session, engine) for engine in options.simulators}
            show_examination(options, session.checkpoint, results)
            if options.report is not None:
                # Only here, as drawing takes a second to import.
                from app.report.report import write_report

                write_report(session, results)
        elif options.keyboard:
            # Only here, as Windows lacks what it imports.
            from app.keyboard.steering import steer

            with until_the_window_closes(options):
                steer(session)
        elif options.web:
            # Only here, as few have installed what it imports.
            from app.web.serving import serve

            serve(session)
        else:
            run_episodes(session)
    except OSError as error:
        target = error.filename or options.video or options.json or "output"
        print(f"error: {target}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def run_examination(session: Session, engine: str) -> list[GaitSummary]:
    """Examine in one engine: first the trials that take as long as most, then the longer ones.

    The seed, and so every property that is drawn for a robot, is the same in each engine.
    """
    options = session.options
    trials = trials_of(session.parts.robot) if options.command is None else (Trial((options.command,)),)
    seconds = {trial: options.duration if options.seconds else trial.seconds or options.duration for trial in trials}
    summaries: list[GaitSummary] = []
    for duration in sorted(set(seconds.values())):
        summaries += run_trials(session, engine, [trial for trial in trials if seconds[trial] == duration], duration)
    return sorted(summaries, key=lambda summary: trials.index(summary.trial))


def run_trials(session: Session, engine: str, trials: Sequence[Trial], seconds: float) -> list[GaitSummary]:
    """Examine in trials of equal duration in s, all at the same time."""
    options = session.options
    num_envs = (options.num_envs or ROBOTS_PER_TRIAL) * len(trials)
    config = examination_config(examined_task(session), seconds, pushes=options.disturbed)
    env = session.parts.environment(robots(session, engine, num_envs), config, options.seed)
    try:
        controller = build_controller(session, env)
        print(f"examining {num_envs} robots for {seconds:g} s in {engine}", flush=True)
        with progress("examining", round(seconds / env.control_dt)) as advance:
            return examine(controller, env, trials, seconds=seconds, warmup_s=WARMUP_S, after_step=advance)
    finally:
        env.close()


def run_episodes(session: Session) -> None:
    """Play in the one engine that was chosen."""
    options, config = session.options, session.experiment.env
    simulator = robots(session, options.simulators[0], options.num_envs or options.video_robots)
    config = dataclasses.replace(config, episode_length_s=options.duration, randomize_episode_start=False)
    env = session.parts.environment(simulator, config, options.seed)
    try:
        controller = build_controller(session, env)
        if options.video is not None:
            # The first frame compiles for many seconds, in which a signal shall end the program at once.
            simulator.render()
        with deferred():
            show_episodes(options, controller, env)
    finally:
        env.close()


def show_episodes(options: PlayOptions, controller: Controller, env: BipedEnv) -> None:
    """Play, print each episode as it ends and a summary of them all, and record the video."""
    if options.command is not None:
        heading = None if options.heading is None else torch.tensor(options.heading, device=env.device)
        env.set_command(torch.tensor(options.command, device=env.device), heading)
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
        pictures = Pictures(env, options.video_robots, overlay=options.overlay)
        line = StatusLine()
        steps = round((episodes or 1) * options.duration / env.control_dt)
        advance = stack.enter_context(progress("playing" if video is None else "filming", steps, line))

        def after_step() -> None:
            if requested() is not None:
                raise KeyboardInterrupt
            if video is not None:
                video.add(pictures.take())
            if real_time is None:
                advance()
            else:
                real_time.wait()

        with until_the_window_closes(options):
            for episode in play_episodes(controller, env, episodes, after_step):
                seen.append(episode)
                line.close()
                print(tell(len(seen), episode, env.num_envs), flush=True)


@contextmanager
def until_the_window_closes(options: PlayOptions) -> Iterator[None]:
    """Let what goes on within end when somebody closes the window, if there is one."""
    try:
        yield
    except Exception as error:
        # Genesis ends a closed window with an exception of a type that only it can name.
        if not (options.viewer and "Viewer closed" in str(error)):
            raise
