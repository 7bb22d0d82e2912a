"""The command line of `biped-robot`."""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.build import ENGINES, Engine
from app.command_line import can_be_written, fail
from app.robot.checking import Picture, check_robot_file
from app.robot.importing import DEPTH, FREQUENCY, import_model
from ppo.program.one_line_parser import OneLineParser

IMPORT = """Write a first robot file for a URDF or an MJCF: joints and their mirror images, feet, a crouched default
pose with the soles flat and the weight above them, gains, heights. Comments in it say what was guessed."""
CHECK = """Say what is wrong or suspicious about a robot, let it stand for two seconds, and draw it. Exit code 0:
nothing is wrong and it stands; 1: something is wrong, or it falls; 2: a file cannot be read."""


def main(arguments: Sequence[str], engines: Mapping[str, Engine] = ENGINES) -> int:
    """Do as the command line says, with these engines; returns the exit code."""
    parser = OneLineParser(prog="biped-robot", description="Bring a robot of your own in.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_import(commands.add_parser("import", help="write a first robot file for a URDF or MJCF", description=IMPORT))
    _add_check(commands.add_parser("check", help="say what is suspicious about a robot", description=CHECK), engines)
    options = parser.parse_args(arguments)
    try:
        if options.command == "import":
            return import_model(options.model, options.output, options.crouch, options.frequency, force=options.force)
        simulators = tuple(engines) if options.simulator == "both" else (options.simulator,)
        file = options.picture or Path(f"{Path(options.robot).stem}_standing.png")
        if not options.no_picture and not can_be_written(file):
            raise ValueError(f"{file} cannot be written; choose a file in a folder that exists with --picture")
        picture = None if options.no_picture else Picture(file, engines["mujoco"])
        return check_robot_file(options.robot, {name: engines[name] for name in simulators}, picture)
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or 'output'}: {error.strerror or error}; choose a file that can be written")


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="URDF, MJCF (.xml), or package://module/path/in/it")
    output = "where to write to (default: NAME.yaml in the working folder)"
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help=output)
    parser.add_argument("--force", action="store_true", help="replace the file if there is one")
    crouch = f"part of their length by which the legs are shortened (default: {DEPTH:g})"
    parser.add_argument("--crouch", metavar="PART", type=_between(0.0, 0.6), default=DEPTH, help=crouch)
    frequency = f"natural frequency of the servos in Hz, without the weight (default: {FREQUENCY:g})"
    parser.add_argument("--frequency", metavar="HZ", type=_between(0.1, 20.0), default=FREQUENCY, help=frequency)


def _add_check(parser: argparse.ArgumentParser, engines: Mapping[str, Engine]) -> None:
    parser.add_argument("robot", metavar="ROBOT", help="a robot file, or the name of one that comes with the project")
    simulator = "where it stands for two seconds (default: both; Genesis compiles for minutes the first time)"
    parser.add_argument("--simulator", choices=(*engines, "both"), default="both", help=simulator)
    picture = "picture of it standing (default: NAME_standing.png in the working folder)"
    parser.add_argument("--picture", metavar="FILE", type=Path, help=picture)
    parser.add_argument("--no-picture", action="store_true", help="draw nothing")


def _between(low: float, high: float) -> Callable[[str], float]:
    """Reads a number of this range from the command line."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a number from {low:g} to {high:g}, not {text}")
        return value

    return number
