"""Film one checkpoint for a training, in a process of its own: see `app.filming.shooting`."""

import sys

from ppo.program import launch


def run() -> int:
    """Film as the command line says; returns the exit code."""
    # Before PyTorch is loaded.
    launch.prepare()
    from app.filming.shooting import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
