"""Recorded functions do what they did before, with graphs that are simulated: fixed memory, no Python in between."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import pytest
import torch
from torch import Tensor

from ppo.cuda.graphs import WARM_UP, Graphs, record_cuda_graph
from ppo.env import Remembered
from tests.ppo.cuda.simulated_graphs import SimulatedGraphs


class Recorder:
    """`Graphs`, their simulation, and what they warned of."""

    def __init__(self) -> None:
        self.record = SimulatedGraphs()
        self.warnings: list[str] = []
        self.graphs = Graphs(self.warnings.append, self.record)


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


class Remembering:
    """Objects that replace their tensors, like the parts of an environment."""

    def __init__(self) -> None:
        self.pair = Pair(torch.tensor(0.0), torch.tensor(1.0))
        self.table = {"sum": torch.tensor(0.0)}
        self.last = torch.tensor(-1.0)
        self.number = 0

    @property
    def memory(self) -> list[Remembered]:
        return [(self, ("pair", "table", "last"))]

    def fibonacci(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The next number times a step, and the result before it."""
        before = self.last
        self.pair = Pair(self.pair.second, self.pair.first + self.pair.second)
        self.table = {"sum": self.table["sum"] + self.pair.first}
        self.last = self.pair.first * step
        return self.last, before

    def forget(self, step: Tensor) -> Tensor:
        """Keeps a tensor that nobody was told of."""
        self.secret = getattr(self, "secret", torch.tensor(0.0)) + step
        return self.secret

    def count(self, step: Tensor) -> Tensor:
        self.number += 1
        return step + self.number


def values(function: Callable[[Tensor], tuple[Tensor, Tensor]], count: int) -> list[tuple[float, float]]:
    return [(float(now), float(before)) for now, before in (function(torch.tensor(float(i))) for i in range(count))]


def test_what_is_remembered_goes_on_as_without() -> None:
    recorder, remembering, other = Recorder(), Remembering(), Remembering()
    recorded = recorder.graphs(remembering.fibonacci, remembering.memory)
    assert values(recorded, 12) == values(other.fibonacci, 12)
    assert [graph.replays for graph in recorder.record.made] == [12 - WARM_UP]
    assert float(remembering.table["sum"]) == float(other.table["sum"]) == 376.0
    assert remembering.pair == other.pair


def test_what_others_replace_is_taken_up() -> None:
    recorder, remembering, other = Recorder(), Remembering(), Remembering()
    recorded = recorder.graphs(remembering.fibonacci, remembering.memory)
    for each, function in ((remembering, recorded), (other, other.fibonacci)):
        values(function, 5)
        each.pair = Pair(torch.tensor(100.0), each.pair.second)
        each.table = {"sum": torch.tensor(7.0)}
    assert values(recorded, 5) == values(other.fibonacci, 5)
    assert torch.equal(remembering.table["sum"], other.table["sum"])


def test_two_functions_share_what_they_remember() -> None:
    recorder, remembering, other = Recorder(), Remembering(), Remembering()
    first = recorder.graphs(remembering.fibonacci, remembering.memory)
    second = recorder.graphs(lambda step: remembering.fibonacci(-step), remembering.memory)
    found = [values(function, 1) for _ in range(6) for function in (first, second)]
    expected = [values(function, 1) for _ in range(6) for function in (other.fibonacci, lambda x: other.fibonacci(-x))]
    assert found == expected


def test_random_numbers_are_those_of_the_generator() -> None:
    recorder = Recorder()
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    recorded = recorder.graphs(lambda low: low + torch.rand(3, generator=generators[0]), (), [generators[0]])
    for i in range(6):
        found = recorded(torch.tensor(float(i)))
        assert torch.equal(found, i + torch.rand(3, generator=generators[1]))


def test_each_shape_and_each_number_has_a_graph_of_its_own() -> None:
    recorder = Recorder()
    recorded = recorder.graphs(lambda tensor, factor: tensor * factor)
    for _ in range(4):
        assert torch.equal(recorded(torch.ones(2), 3.0), torch.full((2,), 3.0))
        assert torch.equal(recorded(torch.ones(3), 3.0), torch.full((3,), 3.0))
        assert torch.equal(recorded(torch.ones(3), 4.0), torch.full((3,), 4.0))
    assert [graph.replays for graph in recorder.record.made] == [2, 2, 2]


def test_numbers_that_do_not_come_again_are_forgotten() -> None:
    recorder = Recorder()
    recorded = recorder.graphs(lambda tensor, factor: tensor * factor)
    for i in range(1000):
        assert float(recorded(torch.ones(()), float(i))) == i
    assert recorder.record.made == []


def test_results_stay_in_place_and_are_read_there() -> None:
    recorder = Recorder()
    double, add = recorder.graphs(lambda x: 2 * x), recorder.graphs(lambda x, y: x + y)
    results = [double(torch.full((2,), float(i))) for i in range(5)]
    assert results[-1] is results[-2]
    for i in range(4):
        assert torch.equal(add(double(torch.full((2,), float(i))), torch.ones(2)), torch.full((2,), 2.0 * i + 1.0))
    # Of the two arguments only the one that is made anew every time has been copied for the recording.
    _, adding = recorder.record.made
    assert adding.operators[-1][1][0] is results[-1]


def test_gradients_are_added_to_the_same_memory() -> None:
    recorder = Recorder()
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.zeros(3)
    address = weight.grad.data_ptr()

    def learn(features: Tensor) -> Tensor:
        loss = (features @ weight).square()
        loss.backward()
        return loss.detach()

    recorded = recorder.graphs(learn)
    for i in range(5):
        features = torch.tensor([float(i), 1.0, -2.0])
        with torch.no_grad():
            weight.mul_(0.5)
            weight.grad.zero_()
        recorded(features)
        expected = 2.0 * float(features @ weight.detach()) * features
        torch.testing.assert_close(weight.grad, expected)
    assert weight.grad.data_ptr() == address
    assert [graph.replays for graph in recorder.record.made] == [5 - WARM_UP]


def waits(tensor: Tensor) -> Tensor:
    return tensor * float(tensor.sum())


def grows(tensor: Tensor) -> Tensor:
    return tensor[tensor.nonzero().flatten()]


@pytest.mark.parametrize("function", [waits, grows, "count", "forget"])
def test_what_no_graph_can_do_is_done_without(function: Callable[[Tensor], Tensor] | str) -> None:
    recorder, remembering, other = Recorder(), Remembering(), Remembering()
    wanted, expected = (
        getattr(each, function) if isinstance(function, str) else function for each in (remembering, other)
    )
    recorded = recorder.graphs(wanted, remembering.memory)
    for i in range(6):
        argument = torch.tensor([1.0, float(i)])
        assert torch.equal(recorded(argument), expected(argument))
    assert len(recorder.warnings) == 1
    assert not recorder.graphs.works


def test_a_failure_changes_nothing_that_is_remembered() -> None:
    recorder, remembering, other = Recorder(), Remembering(), Remembering()

    def fail_late(each: Remembering, step: Tensor) -> tuple[Tensor, Tensor]:
        result = each.fibonacci(step)
        float(result[0])
        return result

    recorded = recorder.graphs(lambda step: fail_late(remembering, step), remembering.memory)
    assert values(recorded, 8) == values(other.fibonacci, 8)
    assert len(recorder.warnings) == 1


class Generator:
    """Notes what happens to it, as only that of a GPU can be registered."""

    def __init__(self) -> None:
        self.state = "before"

    def clone_state(self) -> str:
        return self.state

    def graphsafe_set_state(self, state: str) -> None:
        self.state = state


class Graph:
    def register_generator_state(self, generator: Generator) -> None:
        generator.state = "waits for the end of a recording"


@contextlib.contextmanager
def broken_off(graph: Graph, capture_error_mode: str) -> Iterator[None]:
    yield
    raise RuntimeError("operation failed due to a previous error during capture")


def test_a_recording_that_is_broken_off_leaves_stream_and_generators_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = ["usual"]
    for name, value in {
        "CUDAGraph": Graph,
        "graph": broken_off,
        "current_stream": lambda: streams[-1],
        "set_stream": streams.append,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    generator = Generator()
    with pytest.raises(RuntimeError, match="previous error"):
        record_cuda_graph(lambda: streams.append("of the recording"), [cast("torch.Generator", generator)])
    assert generator.state == "before"
    assert streams == ["usual", "of the recording", "usual"]
