"""The flags of `play.py`."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import tyro

from app.command_line import can_be_written, fail, flags_given, parse
from app.experiment import EngineName, PresetName
from biped.examination.examination import WARMUP_S
from ppo.value_ranges import Range, check_ranges

DESCRIPTION = "Watch and measure a two-legged robot that was trained with train.py. Flags may be written with - or _."


@dataclass(frozen=True)
class PhysicsOptions:
    """What may differ from the training."""

    substeps: Annotated[int | None, tyro.conf.arg(metavar="INT"), Range(1, 1000)] = None
    """Physics steps per control step."""
    friction_cone: Annotated[Literal["pyramidal", "elliptic"] | None, tyro.conf.arg(metavar="{pyramidal,elliptic}")] = (
        None
    )
    """Shape of friction in MuJoCo."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class PlayOptions:
    """What to watch, and how."""

    checkpoint: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Stable-Baselines3 zip to play; as the first word it needs no flag. If not given, the newest one of a run."""
    exp_name: Annotated[str | None, tyro.conf.arg(metavar="NAME", aliases=["-e"])] = None
    """Name of the run to take the newest checkpoint of. If not given, the run that was saved last."""
    log_dir: Path = Path("logs")
    """Folder that holds the runs."""
    agent: Literal["trained", "zero", "random"] = "trained"
    """trained: the checkpoint's policy. zero: hold the default pose. random: standard normal actions, as before any
    training. The last two need no checkpoint."""
    preset: Annotated[PresetName | None, tyro.conf.arg(metavar="NAME")] = None
    """Play in the task of this preset of train.py (default, reference, cpu, quick, turn, gpu, robust, hardware,
    smoke) instead of the task that the checkpoint was trained in. A checkpoint that does not tell its task is played in
    that of the preset reference."""
    robot: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Robot to play: a name or the path of a .yaml file; that of the task if not given."""
    simulator: Annotated[EngineName | Literal["both"] | None, tyro.conf.arg(metavar="{genesis,mujoco,both}")] = None
    """Engine to play in; the one that the checkpoint was trained in if not given, with --web or --keyboard mujoco.
    mujoco runs on the
    CPU, without a viewer, and where the policy was not trained in it in steps of 2 ms. both, with --evaluate, compares
    them."""
    simulation: PhysicsOptions = field(default_factory=PhysicsOptions)
    """Physics, to check a policy in another one than it was trained in."""
    command: Annotated[tuple[float, float, float] | None, tyro.conf.arg(metavar="VX VY WZ"), Range(-1000.0, 1000.0)] = (
        None
    )
    """Fixed command: forward and leftward velocity in m/s, yaw rate in rad/s. If not given, commands are drawn as in
    training; with --evaluate a list of them is tried."""
    heading: Annotated[float | None, tyro.conf.arg(metavar="RAD"), Range(-1000.0, 1000.0)] = None
    """With --command: face this way in the world and keep to it, rad to the left of where the robot begins. Needs a
    policy that was trained with --env.commands.course-gain."""
    episodes: Annotated[int | None, tyro.conf.arg(metavar="INT"), Range(1, 10**9)] = None
    """Episodes per robot. If not given, 1, or with a viewer until its window is closed."""
    seconds: Annotated[float | None, tyro.conf.arg(metavar="FLOAT"), Range(0.1, 1e6)] = None
    """Longest duration of an episode in s; 20 if not given, 10 with --evaluate."""
    num_envs: Annotated[int | None, tyro.conf.arg(metavar="INT", aliases=["-B"]), Range(1, 10_000_000)] = None
    """Robots; as many as are filmed if not given, so 1. With --evaluate the robots per command, 64 if not given."""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 1
    """Seed of everything random."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<index>. MuJoCo always runs on the CPU."""
    deterministic: bool = True
    """Let the trained policy take its mean action instead of a sample."""
    viewer: bool = False
    """Open a window that follows the first robot, in Genesis. On by default where there is a display, unless a video,
    an examination or MuJoCo is asked for."""
    web: bool = False
    """Serve a page on which the robot is steered in a browser, until Ctrl-C. On by default on a terminal without a
    display, where viser is installed and nothing is asked for but whom to play. Needs viser (pip install viser)."""
    keyboard: bool = False
    """Steer the robot with the keys of this terminal, until Ctrl-C; one line says what it does. Add --viewer to see it
    in a window. Needs a Unix terminal."""
    host: str = "127.0.0.1"
    """With --web: the address to serve the page at. By default only this machine reaches it; 0.0.0.0 lets everybody on
    the network steer."""
    port: Annotated[int, tyro.conf.arg(metavar="INT"), Range(1, 65535)] = 8080
    """With --web: the port of the page; if it is in use, the next one that is free."""
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Record the first robot to this file, .mp4 or .gif."""
    video_robots: Annotated[int, Range(1, 16)] = 1
    """With --video: how many robots to record, side by side. Several need MuJoCo."""
    overlay: bool = True
    """With --video: show in the film the command, the velocity, and which feet are on the ground."""
    evaluate: bool = False
    """Measure the walk under a list of commands, print a table, and judge it."""
    disturbed: bool = False
    """With --evaluate: disturb the robots with all that a preset prepares for, pushes, delays, noise and the rest, and
    ask them to survive and to keep their course. What the checkpoint was trained with does not matter."""
    disturbed_as: Literal["robust", "hardware"] = "robust"
    """With --disturbed: the preset. robust pushes harder and weakens motors more; robots of hardware differ in more
    respects, and their sensors have faults."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Write what --evaluate measures to this file as well."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="HTML")] = None
    """Examine as --evaluate does, and write one page about it to this file: verdict, tables, plots, learning curves,
    configuration and a film, with nothing to load from a network."""
    compare: Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """Write one page about how these runs learned, beside each other, to comparison.html or to the file that --report
    names. RUN is the folder of a run, a folder that holds runs, or the name that train.py --seeds was given. Runs that
    differ in the seed only are shown as one group."""
    verbose: bool = False
    """Show what the simulator prints."""

    def __post_init__(self) -> None:
        check_ranges(self)

    def settled(self, trained_in: EngineName) -> "PlayOptions":
        """The options with an engine chosen where none is named: the one that has a window if one is to open.

        Args:
            trained_in: the engine of the experiment that is played.

        Raises:
            ValueError: a flag does not suit the engine.
        """
        simulator = self.simulator or ("genesis" if self.viewer else "mujoco" if self.steered else trained_in)
        self.check_engine(simulator)
        return replace(self, simulator=simulator)

    def check_engine(self, simulator: str) -> None:
        """Check that the other flags suit an engine.

        Raises:
            ValueError: one does not; the message names the flag.
        """
        if simulator == "mujoco" and self.viewer:
            raise ValueError(
                "--viewer shows Genesis only; with --simulator mujoco record with --video walk.mp4 instead"
            )
        if simulator == "mujoco" and self.device.startswith("cuda"):
            raise ValueError(f"--device {self.device}: MuJoCo simulates on the CPU; leave it out or use --device cpu")
        if simulator == "genesis" and self.simulation.friction_cone is not None:
            raise ValueError("--simulation.friction-cone is for MuJoCo; leave it out or add --simulator mujoco")
        if simulator == "genesis" and self.video_robots > 1:
            raise ValueError(
                f"--video-robots {self.video_robots}: in Genesis one robot is filmed; add --simulator mujoco"
            )

    def check_comparison(self) -> None:
        """Check that nothing is asked for but a comparison, where it goes, and where the runs are.

        Raises:
            ValueError: something else is; the message names the flag.
        """
        usual = PlayOptions()
        for name, value in vars(self).items():
            if name not in ("compare", "report", "log_dir") and value != getattr(usual, name):
                raise ValueError(
                    f"--{name.replace('_', '-')} does not go together with --compare; leave out one of them"
                )

    def gives(self, name: str) -> bool:
        """Whether an option is another than the default."""
        return bool(getattr(self, name) != getattr(PlayOptions, name))

    @property
    def simulators(self) -> tuple[str, ...]:
        """Names of the engines to play in, once they are settled."""
        assert self.simulator is not None
        return ("genesis", "mujoco") if self.simulator == "both" else (self.simulator,)

    @property
    def steered(self) -> bool:
        """Somebody steers the robot."""
        return self.web or self.keyboard

    @property
    def duration(self) -> float:
        """Longest duration of an episode in s."""
        return self.seconds if self.seconds is not None else 10.0 if self.evaluate else 20.0

    def check(self) -> None:
        """Check that the flags go together and that the files can be written.

        Raises:
            ValueError: something is wrong; the message names the flag.
        """
        if self.compare:
            self.check_comparison()
        if self.simulator == "both" and not self.evaluate:
            raise ValueError("--simulator both compares what --evaluate measures; add --evaluate, or choose one")
        if self.simulator is not None:
            self.check_engine(self.simulator)
        for steering, excluded in (("web", WITHOUT_PAGE), ("keyboard", WITHOUT_KEYS)):
            for name in excluded:
                if getattr(self, steering) and self.gives(name):
                    flag = f"--{name.replace('_', '-')}"
                    raise ValueError(f"{flag} does not go together with --{steering}; leave out one of them")
        for name in ("host", "port"):
            if not self.web and self.gives(name):
                raise ValueError(f"--{name} is for the page in a browser; add --web")
        if self.viewer and not has_display():
            raise ValueError("--viewer needs a display and there is none; record with --video walk.mp4 instead")
        for name in ("viewer", "video", "episodes", "heading"):
            if self.evaluate and self.gives(name):
                asked = "--evaluate" if self.report is None else "--report"
                raise ValueError(f"--{name} does not go together with {asked}; leave out one of them")
        if self.evaluate and self.duration <= WARMUP_S:
            raise ValueError(
                f"--seconds must be above {WARMUP_S:g} with --evaluate, which does not count the first ones"
            )
        if self.disturbed and not self.evaluate:
            raise ValueError("--disturbed says what --evaluate does to the robots; add --evaluate")
        if self.disturbed_as != "robust" and not self.disturbed:
            raise ValueError("--disturbed-as says how robots are disturbed; add --disturbed")
        if self.heading is not None and self.command is None:
            raise ValueError("--heading is the way to face while following a --command; add --command")
        if self.json is not None and not self.evaluate:
            raise ValueError("--json holds what --evaluate measures; add --evaluate")
        if self.report is not None and not (self.evaluate or self.compare):
            raise ValueError("--report tells what --evaluate measures; leave out --no-evaluate")
        self.check_film()
        if self.report is not None and self.report.suffix != ".html":
            raise ValueError(f"--report {self.report} must end in .html")
        for flag, path in (("--video", self.video), ("--json", self.json), ("--report", self.report)):
            if path is not None and not can_be_written(path):
                raise ValueError(f"{flag} {path} cannot be written; choose a file in a folder that exists")
        for flag, path, kind in (("--video", self.video, "film"), ("--report", self.report, "page")):
            if path is not None and path.exists() and not path.is_file():
                raise ValueError(f"{flag} {path} is a device or a pipe, which cannot hold a {kind}; choose a file")
        if self.json is not None and self.checkpoint is not None and self.json.resolve() == self.checkpoint.resolve():
            raise ValueError(f"--json {self.json} is the checkpoint; choose another file")
        if self.report is not None and self.report == self.json:
            raise ValueError("--report and --json name the same file; choose another one for either")

    def check_film(self) -> None:
        """Check that the flags about the film go together.

        Raises:
            ValueError: they do not; the message names the flag.
        """
        if self.video is None:
            for flag, given in (("--video-robots", self.video_robots > 1), ("--no-overlay", not self.overlay)):
                if given:
                    raise ValueError(f"{flag} is about a film; add --video walk.mp4")
        elif self.video.suffix not in (".mp4", ".gif"):
            raise ValueError(f"--video {self.video} must end in .mp4 or .gif")
        if self.num_envs is not None and self.num_envs < self.video_robots:
            raise ValueError(
                f"--video-robots {self.video_robots} asks for more robots than --num-envs {self.num_envs}; leave "
                "--num-envs out, or raise it"
            )


def has_display() -> bool:
    """A window can be opened, as far as can be told without trying."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def can_steer() -> bool:
    """Somebody may be there to open a page: not a script, nor a pipe, nor a machine without what serves it."""
    return sys.stdout is not None and sys.stdout.isatty() and find_spec("viser") is not None


def read_command_line(arguments: Sequence[str]) -> PlayOptions:
    """The options that the command line gives; bad ones end the program with one line."""
    words = list(arguments)
    if words and not words[0].startswith("-"):
        words.insert(0, "--checkpoint")
    names = ("checkpoint", "exp_name", "log_dir", "simulator", "device", "web", "keyboard", "compare")
    given = flags_given(PlayOptions, (PlayOptions(), UNLIKE_DEFAULT), words, *names, "seconds", "json", *WITHOUT_PAGE)
    for name in ("exp_name", "log_dir"):
        if name in given and given.get("checkpoint") is not None:
            fail(
                f"--{name.replace('_', '-')} looks for a checkpoint and {given['checkpoint']} is one; leave out either"
            )
    if given.get("compare") == ():
        fail("--compare needs the folder or the name of a run, or several")
    compared = "compare" in given
    reported = given.get("report") is not None and not compared
    filmed = given.get("video") is not None or given.get("evaluate", False) or reported or compared
    display, steered = has_display(), given.get("web", False) or given.get("keyboard", False)
    paged = not display and can_steer() and not given.get("device", "").startswith("cuda")
    default = PlayOptions(
        evaluate=reported,
        viewer=display and not filmed and not steered and given.get("simulator", "genesis") == "genesis",
        web=paged and not given.keys() & {"web", "keyboard", "seconds", "json", *WITHOUT_PAGE},
    )
    options = parse(PlayOptions, default, words, program="play.py", description=DESCRIPTION)
    try:
        options.check()
    except ValueError as error:
        fail(str(error))
    return options


WITHOUT_PAGE = ("viewer", "video", "report", "evaluate", "disturbed", "episodes", "num_envs", "heading")
"""What a page in a browser does not do: flags that exclude it."""
WITHOUT_KEYS = ("web", *WITHOUT_PAGE[1:])
"""What a terminal does not do; it may have a window beside it."""
UNLIKE_DEFAULT = PlayOptions(
    checkpoint=Path("other"),
    exp_name="other",
    log_dir=Path("other"),
    video=Path("other"),
    evaluate=True,
    simulator="mujoco",
    device="other",
    heading=1.0,
    web=True,
    keyboard=True,
    viewer=True,
    disturbed=True,
    json=Path("other"),
    report=Path("other"),
    compare=("other",),
    episodes=1,
    seconds=1.0,
    num_envs=1,
)
"""Differs from the default in all that must be known before the other flags are read."""
