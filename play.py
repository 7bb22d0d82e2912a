"""Watch a biped walk, or measure how well it does: `python play.py --help`."""

import sys

from ppo.program import launch
from ppo.program.standard_output import printing


def run() -> int:
    """Play as the command line says; returns the exit code."""
    # Before PyTorch is loaded.
    launch.prepare()
    from app.playing import main

    with printing():
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
