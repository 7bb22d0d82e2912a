"""Bring a robot in: `biped-robot import MODEL`, `biped-robot check ROBOT`, or `python -m app.robot ...`."""

import sys

from ppo.program import launch
from ppo.program.standard_output import printing


def run() -> int:
    """Do as the command line says; returns the exit code."""
    # Before PyTorch is loaded.
    launch.prepare()
    from app.robot.commands import main

    with printing():
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
