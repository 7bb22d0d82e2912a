"""Several processes that train one policy: each has its own environments, gradients and statistics are averaged."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from ppo.program.interruption import end_together_with, helper_environment

if TYPE_CHECKING:
    from ppo.cpu.shared_memory import SharedSum

T = TypeVar("T")

PATIENCE = timedelta(seconds=60)
"""How long to wait for the other processes of a training to start."""


class ProcessEndedError(RuntimeError):
    """Another process has ended, left or cannot be reached, so that nothing can be exchanged any more."""


@contextlib.contextmanager
def exchange() -> Iterator[None]:
    """Tell what goes wrong within by one name; the libraries have many.

    Raises:
        ProcessEndedError: another process is gone.
    """
    try:
        yield
    except ConnectionError as error:
        raise ProcessEndedError(str(error)) from None
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ProcessEndedError("another training process has ended or cannot be reached") from error


class Processes:
    """This process among all that train together. Alone, every operation leaves its argument as it is.

    Args:
        rank: number of this process; 0 is the one that writes files and talks.
        count: number of processes.
        device: of the tensors that are exchanged.
        helpers: processes that this one has started.
    """

    def __init__(
        self,
        rank: int = 0,
        count: int = 1,
        device: torch.device | None = None,
        helpers: Sequence["subprocess.Popen[bytes]"] = (),
    ) -> None:
        self.rank = rank
        self.count = count
        self.device = device or torch.device("cpu")
        self.helpers = helpers
        self._shared_floats = 0
        self._shared: SharedSum | None = None

    def average_(self, tensor: Tensor) -> None:
        """Replace a tensor by its mean over all processes."""
        if self.count > 1:
            self._add_up(tensor)
            tensor /= self.count

    def mean(self, tensor: Tensor) -> Tensor:
        """Mean of a tensor over all processes."""
        return tensor if self.count == 1 else self.sum(tensor) / self.count

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum of a tensor over all processes."""
        if self.count == 1:
            return tensor
        total = tensor.detach().clone()
        self._add_up(total)
        return total

    def _add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum; what processes of one machine can add up in shared memory they do."""
        with exchange():
            if tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.is_contiguous():
                if tensor.numel() > self._shared_floats:
                    self._shared_floats = tensor.numel()
                    self._shared = self._open_shared_sum()
                if self._shared is not None:
                    self._shared.sum_(tensor)
                    return
            dist.all_reduce(tensor)

    def _open_shared_sum(self) -> "SharedSum | None":
        try:
            from ppo.cpu.shared_memory import open_shared_sum
        except ModuleNotFoundError:
            # Compiled kernels are optional.
            return None
        return open_shared_sum(self.rank, self.count, self._shared_floats, self.helpers)

    def gather(self, value: T) -> list[T]:
        """Every process's value, its tensors on the host, by rank; on other ranks than 0 the list is empty."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        sent = on_host(value)
        with exchange():
            dist.gather_object(sent, values if self.rank == 0 else None)
        return values if self.rank == 0 else []

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.count == 1 else bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0.0)

    def largest(self, number: int) -> int:
        """The largest of all processes' numbers."""
        if self.count == 1:
            return number
        largest = torch.tensor(number, device=self.device)
        with exchange():
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        return int(largest)

    def share(self, value: T) -> list[T]:
        """Every process's value, in the order of their ranks, in all of them."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        with exchange():
            dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until every process has come here."""
        self.any(False)

    def close(self) -> None:
        """Leave the group; processes started by this one are ended."""
        if self._shared is not None:
            self._shared.leave()
        if self.count > 1 and dist.is_initialized():
            dist.destroy_process_group()
        for helper in self.helpers:
            try:
                helper.wait(timeout=10.0)
            except subprocess.TimeoutExpired:
                helper.kill()
                helper.wait()
        end_together_with(())


def on_host(value: Any) -> Any:  # noqa: ANN401 - anything that can be sent
    """The value with all tensors in its dicts and lists on the host: a GPU's would be sent to the receiver's GPU."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, Mapping):
        return {key: on_host(item) for key, item in value.items()}
    return [on_host(item) for item in value] if isinstance(value, list) else value


def check_environment(environment: Mapping[str, str]) -> int:
    """Check what the environment says of this process's place in a group; returns its rank, 0 where it says nothing.

    Raises:
        ValueError: a variable is missing or makes no sense; the message names it.
    """
    remedy = "start all processes with torchrun, or unset RANK and WORLD_SIZE"
    names = ("RANK", "WORLD_SIZE")
    if not any(name in environment for name in names):
        return 0
    if not all(name in environment for name in names):
        set_one, missing = names if "RANK" in environment else reversed(names)
        raise ValueError(f"{set_one} is set in the environment and {missing} is not; {remedy}")
    count = _environment_number(environment, "WORLD_SIZE", 1, 1_000_000, remedy)
    rank = _environment_number(environment, "RANK", 0, count - 1, remedy)
    for name, low, high in (("LOCAL_RANK", 0, count - 1), ("LOCAL_WORLD_SIZE", 1, count)):
        if name in environment:
            _environment_number(environment, name, low, high, remedy)
    if count > 1:
        if not environment.get("MASTER_ADDR"):
            raise ValueError(f"MASTER_ADDR is not set in the environment, which WORLD_SIZE={count} needs; {remedy}")
        _environment_number(environment, "MASTER_PORT", 1, 65535, remedy)
    return rank


def _environment_number(environment: Mapping[str, str], name: str, low: int, high: int, remedy: str) -> int:
    text = environment.get(name, "")
    # No number of these is longer, and int() refuses to read those of thousands of digits.
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {text!r}; {remedy}")
    return int(text)


def launched_by_torchrun() -> bool:
    """Whether the environment names this process's place in a group, as torchrun and `start` do."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def local_rank() -> int:
    """Number of this process among those of its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_count() -> int:
    """How many processes of the group the environment says are on this machine, as far as it says so."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", local_rank() + 1))


def start(count: int, arguments: Sequence[str]) -> list["subprocess.Popen[bytes]"]:
    """Start `count - 1` more processes of this program and make this one rank 0 of the group.

    Args:
        count: processes in all.
        arguments: command line of the program, without the interpreter.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    started_by = helper_environment()
    helpers = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **group, **started_by, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(1, count)
    ]
    end_together_with(helpers)
    os.environ.update({**group, "RANK": "0", "LOCAL_RANK": "0"})
    return helpers


def join(
    device: torch.device, helpers: Sequence["subprocess.Popen[bytes]"] = (), patience: timedelta = PATIENCE
) -> Processes:
    """Become part of the group that the environment describes.

    Raises:
        ValueError: not all processes have come within `patience`.
    """
    try:
        store, rank, count = next(rendezvous("env://", timeout=patience))
        store.set(f"joined/{rank}", "")
        store.wait([f"joined/{other}" for other in range(count)], patience)
    except dist.DistError as error:
        for helper in helpers:
            helper.kill()
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise ValueError(
            f"not all {os.environ.get('WORLD_SIZE')} training processes have come to {place} within "
            f"{patience.total_seconds():.0f} s; look for what the others say, then start all of them again"
        ) from error
    store.set_timeout(dist.default_pg_timeout)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=count)
    return Processes(rank, count, device, helpers)
