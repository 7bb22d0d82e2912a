"""CUDA graphs on the simulated device: launching one counts as one launch, whatever is in it."""

from typing import Any

import torch

from tests.ppo.cuda.simulated_graphs import SimulatedGraph
from tests.simulated_cuda.counting import LAUNCH, as_one, note


class Graph(SimulatedGraph):
    """In the place of `torch.cuda.CUDAGraph`, as far as it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: set[int] = set()
        """Of the generators; the same one is another object to Python at every operator."""

    def register_generator_state(self, generator: torch.Generator) -> None:
        """Only what is registered may draw while something is recorded."""
        self.seeds.add(generator.initial_seed())

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Note the operator, unless it draws numbers that a graph would draw again and again."""
        generator = (kwargs or {}).get("generator")
        if generator is not None and generator.initial_seed() not in self.seeds:
            raise RuntimeError("Attempt to increase offset for a CUDA generator not in capture mode.")
        return super().__torch_dispatch__(func, types, args, kwargs)

    def replay(self) -> None:
        """Launch it."""
        note(LAUNCH, "graph")
        with as_one():
            super().replay()


def record(graph: Graph, capture_error_mode: str) -> Graph:
    """In the place of `torch.cuda.graph`: a context that records; graphs that share memory would overwrite results."""
    assert capture_error_mode == "thread_local"
    return graph


def install() -> None:
    """Give the device graphs."""
    torch.cuda.CUDAGraph = Graph  # type: ignore[misc,assignment]
    torch.cuda.graph = record  # type: ignore[misc,assignment]
