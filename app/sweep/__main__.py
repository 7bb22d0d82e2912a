"""Search for better flags of training: `biped-sweep --vary FLAG=VALUES ...`, or `python -m app.sweep ...`."""

import sys

from ppo.program import launch
from ppo.program.standard_output import printing


def run() -> int:
    """Search as the command line says; returns the exit code."""
    # Before PyTorch is loaded.
    launch.prepare()
    from app.sweep.commands import main

    with printing():
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
