"""Export a trained policy: `biped-export CHECKPOINT DIR`, or `python -m app.export CHECKPOINT DIR`."""

import sys

from ppo.program import launch
from ppo.program.standard_output import printing


def run() -> int:
    """Export as the command line says; returns the exit code."""
    # Before PyTorch is loaded.
    launch.prepare()
    from app.export.exporting import main

    with printing():
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
