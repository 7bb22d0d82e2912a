"""Functions on a GPU that are recorded once, as CUDA graphs, and launched as a whole from then on.

A host takes 5 to 20 us to launch an operator, longer than a GPU takes to compute one for a few thousand robots. A graph
is launched in about the time of one operator, whatever it holds. In return it reads and writes the same memory each
time, and knows nothing of what the host does in Python:

- what a function is given is copied to where the recording read it;
- what it keeps from one call to the next, in the attributes of its `memory`, is copied back to where it was found;
- what it returns is overwritten by its next call.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ppo.env import Remembered

P = ParamSpec("P")
R = TypeVar("R")

WARM_UP = 2
"""Calls before a recording: libraries prepare themselves in the first ones, which a graph cannot hold."""
MANY = 100
"""Kinds of calls that are counted, as those with numbers that change all the time do not come again."""


class Recording(Protocol):
    """Work on a GPU that can be launched again; `torch.cuda.CUDAGraph` is one."""

    def replay(self) -> None:
        """Launch it."""
        ...


class Record(Protocol):
    """Makes a recording of what `work` does, with the random numbers of `generators`, without doing it."""

    def __call__(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> Recording:
        """Record."""
        ...


def record_cuda_graph(work: Callable[[], None], generators: Sequence[torch.Generator]) -> Recording:
    """A `Record` of CUDA graphs.

    Each has memory of its own: in a shared pool a graph works in places that were free when it was recorded, and those
    recorded later leave their results there.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    before = [generator.clone_state() for generator in generators]
    for generator in generators:
        graph.register_generator_state(generator)
    try:
        # Other threads of this process may use the GPU meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            work()
    except Exception:
        # What CUDA itself has broken off leaves its stream the current one, and generators that wait for its end.
        torch.cuda.set_stream(stream)
        for generator, state in zip(generators, before, strict=True):
            generator.graphsafe_set_state(state)
        raise
    return graph


class Memory:
    """Attributes that hold tensors or containers of tensors, and the tensors that graphs find there.

    Args:
        remembered: the objects, and the names of the attributes.
    """

    def __init__(self, remembered: Sequence[Remembered]) -> None:
        self._places = [(owner, name, getattr(owner, name)) for owner, names in remembered for name in names]
        self._owners = [owner for owner, _ in remembered]

    def settle(self, output: Any = None) -> Any:  # noqa: ANN401 - any container
        """Where an attribute is another tensor than it was, copy that to the old place and put the old one back.

        Args:
            output: tensors that shall stay what they are.

        Returns:
            `output`, in other memory where it was in a place that has been written to.

        Raises:
            RuntimeError: what an attribute is now does not fit where it was.
        """
        pairs: list[tuple[Tensor, Tensor]] = []
        for owner, name, home in self._places:
            now = getattr(owner, name)
            if now is home:
                continue
            old, structure = pytree.tree_flatten(home)
            new, other_structure = pytree.tree_flatten(now)
            if structure != other_structure or [one.shape for one in old] != [one.shape for one in new]:
                raise RuntimeError(f"{type(owner).__name__}.{name} has changed its shape")
            pairs += [(into, value) for into, value in zip(old, new, strict=True) if into is not value]
            setattr(owner, name, home)
        written = {into.untyped_storage().data_ptr() for into, _ in pairs}

        def safe(leaf: Any) -> Any:  # noqa: ANN401
            reads = isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() in written
            return leaf.clone() if reads else leaf

        values = [safe(value) for _, value in pairs]
        output = pytree.tree_map(safe, output)
        for (into, _), value in zip(pairs, values, strict=True):
            into.copy_(value)
        return output

    def others(self) -> dict[tuple[int, str], tuple[object, object]]:
        """Owner and value of all other attributes of the objects, which a recording must not change."""
        places = {(id(owner), name) for owner, name, _ in self._places}
        found = {(id(owner), name): (owner, value) for owner in self._owners for name, value in vars(owner).items()}
        return {key: entry for key, entry in found.items() if key not in places}

    def restore(self, others: Mapping[tuple[int, str], tuple[object, object]]) -> None:
        """Put back what there was, whatever the attributes are now."""
        for owner, name, home in self._places:
            setattr(owner, name, home)
        for (_, name), (owner, value) in others.items():
            setattr(owner, name, value)


class Take:
    """A function recorded with arguments of given shapes.

    Args:
        function: what to record.
        arguments: as `pytree.tree_flatten` gives them.
        fixed: tensors by their address in Python that are always the same ones; the outputs are added.
        memory: what the function keeps.
        record: makes the recording.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[list[Any], pytree.TreeSpec],
        fixed: dict[int, Tensor],
        memory: Memory,
        record: Callable[[Callable[[], None]], Recording],
    ) -> None:
        leaves, structure = arguments
        self._memory = memory
        self._leaves = [leaf.clone() if isinstance(leaf, Tensor) and id(leaf) not in fixed else leaf for leaf in leaves]

        def work() -> None:
            self._output = memory.settle(function(*pytree.tree_unflatten(self._leaves, structure)))

        memory.settle()
        others = memory.others()
        try:
            self._recording = record(work)
            for (number, name), (owner, value) in memory.others().items():
                if others.get((number, name), (owner, None))[1] is not value:
                    raise RuntimeError(f"{type(owner).__name__}.{name} changes and is not remembered")
        except Exception:
            memory.restore(others)
            raise
        fixed |= {id(leaf): leaf for leaf in pytree.tree_leaves(self._output) if isinstance(leaf, Tensor)}

    def __call__(self, leaves: list[Any]) -> Any:  # noqa: ANN401 - what the function returns
        """Launch the recording with other arguments."""
        self._memory.settle()
        for into, leaf in zip(self._leaves, leaves, strict=True):
            if into is not leaf and isinstance(into, Tensor):
                into.copy_(leaf)
        self._recording.replay()
        return self._output


class Graphs:
    """Makes functions that are recorded; a `ppo.env.Recorder`.

    Args:
        failed: told, once, why recording does not work here; functions are then called as they are.
        record: how to make a recording.
    """

    def __init__(self, failed: Callable[[str], None], record: Record | None = None) -> None:
        self._failed = failed
        self._record = record_cuda_graph if record is None else record
        self._fixed: dict[int, Tensor] = {}
        self._memories: dict[object, Memory] = {}
        self.works = True
        """Whether nothing has failed so far."""

    def __call__(
        self,
        function: Callable[P, R],
        memory: Sequence[Remembered] = (),
        generators: Sequence[torch.Generator] = (),
    ) -> Callable[P, R]:
        """The function as a graph from its third call on: one for each shape of its arguments, numbers counting too."""
        calls: dict[object, int] = {}
        takes: dict[object, Take] = {}

        def recorded(*arguments: Any) -> Any:  # noqa: ANN401
            if not self.works:
                return function(*arguments)  # type: ignore[call-arg]
            leaves, structure = pytree.tree_flatten(arguments)
            kinds = ((leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf for leaf in leaves)
            key = (structure, *kinds)
            take = takes.get(key)
            if take is not None:
                return take(leaves)
            if len(calls) > MANY:
                calls.clear()
            calls[key] = calls.get(key, 0) + 1
            if calls[key] <= WARM_UP:
                return function(*arguments)  # type: ignore[call-arg]
            try:
                takes[key] = take = Take(
                    function,
                    (leaves, structure),
                    self._fixed,
                    self._memory(memory),
                    lambda work: self._record(work, generators),
                )
            except RuntimeError as error:
                self.works = False
                self._failed((str(error).strip() or type(error).__name__).splitlines()[0])
                return function(*arguments)  # type: ignore[call-arg]
            return take(leaves)

        return recorded  # type: ignore[return-value]

    def _memory(self, remembered: Sequence[Remembered]) -> Memory:
        """One for all functions that have it, so that all find a tensor in the same place."""
        key = tuple((id(owner), *names) for owner, names in remembered)
        if key not in self._memories:
            self._memories[key] = Memory(remembered)
        return self._memories[key]
