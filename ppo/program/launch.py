"""What a program does before anything else, so that its libraries find it done."""

import io
import os
import sys
from collections.abc import MutableMapping

from ppo.program.interruption import end_at_signals, use_compiled

SPINS = "1000"
"""Turns in which a thread of GNU's OpenMP looks for work before it sleeps: microseconds."""


def prepare() -> None:
    """Set up threads, output and signals. For the first line of a program: PyTorch must not be loaded before it."""
    end_at_signals()
    make_way(os.environ)
    for stream in (sys.stdout, sys.stderr):
        # A process that ends at once leaves nothing behind in a buffer.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def make_way(environment: MutableMapping[str, str]) -> None:
    """Let threads that wait for each other leave the core to other programs, unless the user has chosen otherwise.

    By default they spin for a millisecond and more. Where another program wants one of the cores, they spin on the core
    that the thread they wait for needs: training becomes up to thirty times slower (`python -m benchmarks.busy`). GNU's
    OpenMP reads these variables when it is loaded.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)


def load_kernels() -> str | None:
    """Load the compiled kernels, if there are any, for the network and for signals.

    Returns:
        One line about what is missing or costs time, for the user; None if all is well.
    """
    try:
        from ppo.cpu import kernels
    except ModuleNotFoundError:
        return "The network runs without compiled kernels, up to 1.6 times slower: ppo/cpu is not installed"
    use_compiled(kernels.library())
    return kernels.complaint()
