"""Two computations that do not depend on one another, at the same time on a GPU.

A step of an LSTM over a minibatch is too little to keep a large GPU busy, and the next one has to wait for it.
"""

import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

A = TypeVar("A")
B = TypeVar("B")


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def side_by_side(main: Callable[[], A], side: Callable[[], B], reads: Tensor) -> tuple[A, B]:
    """What both return; on a GPU they are computed side by side, and so are their gradients.

    Args:
        main: launched where the caller's work is.
        side: launched beside it; its results may be used as any others.
        reads: what `side` may keep for its gradients and nobody else. All else that it reads must be there before, and
            be kept until they are computed.
    """
    if not torch.version.cuda or not reads.is_cuda:
        return main(), side()
    here, there = torch.cuda.current_stream(reads.device), _side_stream(reads.device)
    there.wait_stream(here)
    # Its memory must not be given to others before the side has done with it.
    reads.record_stream(there)
    with torch.cuda.stream(there):
        on_the_side = side()
    in_front = main()
    here.wait_stream(there)
    return in_front, on_the_side
