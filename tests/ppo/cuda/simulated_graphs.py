"""CUDA graphs without a GPU: operators are noted, with the tensors that they read and write, and done again."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::unique", "aten::equal")
"""Operators whose result the host has to know, which ends a recording of CUDA graphs."""


class SimulatedGraph(TorchDispatchMode):
    """What was done while it was active. The work has then been done once, which the first replay leaves out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []
        self.replays = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func._schema.name in WAITING:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func._schema.name}")
        output = func(*args, **(kwargs or {}))
        written = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
        self.operators.append((func, args, kwargs or {}, written))
        return output

    def replay(self) -> None:
        """Do everything again, into the same memory."""
        self.replays += 1
        if self.replays == 1:
            return
        with torch.no_grad():
            for function, args, kwargs, written in self.operators:
                again = [leaf for leaf in pytree.tree_leaves(function(*args, **kwargs)) if isinstance(leaf, Tensor)]
                for into, value in zip(written, again, strict=True):
                    if into.data_ptr() != value.data_ptr():
                        into.copy_(value)


class SimulatedGraphs:
    """A `ppo.cuda.graphs.Record`."""

    def __init__(self) -> None:
        self.made: list[SimulatedGraph] = []

    def __call__(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> SimulatedGraph:
        """Record on the CPU, or on the simulated device."""
        graph = SimulatedGraph()
        with graph:
            work()
        self.made.append(graph)
        return graph
