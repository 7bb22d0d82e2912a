"""`biped-export`: a checkpoint becomes a folder that a robot can be run from."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from app.command_line import fail
from app.load import Checkpoint
from biped.robots.robot import Robot
from ppo.checkpoint.atomic import atomic_write
from ppo.checkpoint.sb3_zip import read_zip
from ppo.program.one_line_parser import OneLineParser

DESCRIPTION = (
    "Write a trained policy to a folder: as ONNX, with a contract about the robot it expects, and a runner for both."
)
LIBRARIES = ("onnx", "onnxruntime")
INSTALL = "pip install -c constraints.txt -e '.[export]'"
OPSETS = (14, 21)
"""The oldest and the newest one in which every node of the graph means the same."""
DEFAULT_OPSET = 17


def main(arguments: Sequence[str], robot: Robot | None = None) -> int:
    """Export as the command line says, for another `robot` than the checkpoint's if given; returns the exit code.

    Bad input, and what cannot be exported, ends the program with one line and code 2.
    """
    parser = OneLineParser(prog="biped-export", description=DESCRIPTION)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="zip that train.py has written")
    parser.add_argument("folder", metavar="DIR", type=Path, help="new or empty folder to write to")
    oldest, newest = OPSETS
    opset_help = f"ONNX operators, {oldest} to {newest} (default: {DEFAULT_OPSET}); an old runtime needs an old one"
    parser.add_argument("--opset", type=int, default=DEFAULT_OPSET, help=opset_help)
    options = parser.parse_args(arguments)
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        fail(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: {INSTALL}")
    if not oldest <= options.opset <= newest:
        fail(f"--opset must be {oldest} to {newest}, not {options.opset}")
    # Only now, as it needs them.
    from app.export.files import make_files

    try:
        check_folder(options.folder)
        files = make_files(Checkpoint(options.checkpoint, read_zip(options.checkpoint)), robot, options.opset)
        write_files(options.folder, files)
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or options.folder}: {error.strerror or error}; choose a folder that can be written")
    print(f"{options.folder} holds {', '.join(files)}")
    return 0


def check_folder(folder: Path) -> None:
    """Check that a folder is new or empty.

    Raises:
        ValueError: it is not.
        OSError: it cannot be looked into.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty; choose a new folder, or empty this one first")
    elif folder.exists() or folder.is_symlink():
        raise ValueError(f"{folder} is not a folder; choose another name")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by name, in their order, each of them whole or not at all.

    Raises:
        OSError: one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with atomic_write(folder / name) as file:
            file.write(content)
