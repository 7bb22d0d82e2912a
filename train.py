"""Train the biped to walk: `python train.py --help`."""

import sys

from ppo.program import launch
from ppo.program.standard_output import printing


def run() -> int:
    """Train as the command line says; returns the exit code."""
    # Before PyTorch is loaded.
    launch.prepare()
    from app.training import main

    with printing():
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
