"""Sums over the processes of one machine through memory that they share.

Gloo sends them over sockets, which takes longer than adding them up.
"""

import contextlib
import ctypes
import os
import select
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from ppo.cpu.kernels import library

MEMORY = Path("/dev/shm")
"""Where Linux keeps files that are never written to a disk."""
LINE = 8
"""int64 in a cache line: what one process writes while others read has a line of its own."""


class SharedSum:
    """Memory in which `count` processes add up float32 tensors; all take part in every sum, in the same order.

    Every process has two slots. A sum uses those of its turn, odd or even: who writes to one has seen all others finish
    the turn before last, which read it.

    Args:
        path: of a file of `size(...)` bytes.
        rank: number of this process.
        count: number of processes.
        capacity: floats of the largest tensor.
        helpers: processes that this one has started.
    """

    def __init__(
        self, path: Path, rank: int, count: int, capacity: int, helpers: Sequence["subprocess.Popen[bytes]"] = ()
    ) -> None:
        self.rank, self.count, self.capacity, self.helpers = rank, count, capacity, helpers
        self._turn = 0
        memory = torch.from_file(str(path), shared=True, size=self.size(count, capacity), dtype=torch.uint8)
        lines = memory[: 8 * LINE * count].view(torch.int64).view(count, LINE)
        self._turns, self._pids = lines[:, 0], lines[:, 1]
        self._slots = memory[8 * LINE * count :].view(torch.float32).view(2, count, capacity)
        self._pids[rank] = os.getpid()

    @staticmethod
    def size(count: int, capacity: int) -> int:
        """Bytes of memory that all processes need together."""
        return 8 * LINE * count + 4 * 2 * count * capacity

    def sum_(self, tensor: Tensor) -> None:
        """Replace a contiguous tensor of up to `capacity` floats by its sum over all processes, equal in all of them.

        Raises:
            ConnectionError: another process is gone.
        """
        kernels = library()
        assert kernels is not None
        self._turn += 1
        slots = self._slots[self._turn % 2]
        turns, values = ctypes.c_void_p(self._turns.data_ptr()), ctypes.c_void_p(tensor.data_ptr())
        turn, floats = ctypes.c_int64(self._turn), ctypes.c_ssize_t(tensor.numel())
        own = ctypes.c_void_p(slots[self.rank].data_ptr())
        kernels.publish(turns, ctypes.c_ssize_t(self.rank), turn, own, values, floats)
        first, stride = ctypes.c_void_p(slots.data_ptr()), ctypes.c_ssize_t(self.capacity)
        while True:
            result = kernels.collect(turns, ctypes.c_ssize_t(self.count), turn, first, stride, values, floats)
            if result > 0:
                return
            if result < 0:
                raise ConnectionError("another training process has left")
            self._check_others()

    def leave(self) -> None:
        """Let the others know that this process takes part in no more sums; those it has taken part in they finish."""
        self._turns[self.rank] = -self._turn - 1

    def _check_others(self) -> None:
        for helper in self.helpers:
            # Where there are no process descriptors, a child that has ended keeps its number until its parent asks.
            helper.poll()
        for rank, pid in enumerate(self._pids.tolist()):
            if not is_running(pid):
                raise ConnectionError(f"training process {rank} has ended")


def is_running(pid: int) -> bool:
    """Whether the process of this number runs; one that has ended and waits for its parent to ask does not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):
        # No Linux, or a kernel before 5.3: this also finds processes that have ended and were not asked for.
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        return not ended.poll(0)
    finally:
        os.close(descriptor)


def open_shared_sum(
    rank: int, count: int, capacity: int, helpers: Sequence["subprocess.Popen[bytes]"] = (), folder: Path = MEMORY
) -> SharedSum | None:
    """Memory for sums of up to `capacity` floats; None where the processes cannot share it. All call this together.

    Args:
        rank: number of this process.
        count: number of processes.
        capacity: floats of the largest tensor.
        helpers: processes that this one has started.
        folder: of the file that is the memory; that of temporary files where it does not exist.
    """
    place = [(socket.gethostname(), _make_file(SharedSum.size(count, capacity), folder) if rank == 0 else None)]
    dist.broadcast_object_list(place)
    host, path = place[0]
    result = None
    if library() is not None and host == socket.gethostname() and path is not None and path.exists():
        with contextlib.suppress(OSError, RuntimeError):
            result = SharedSum(path, rank, count, capacity, helpers)
    everywhere = torch.tensor(float(result is not None))
    dist.all_reduce(everywhere, dist.ReduceOp.MIN)
    if rank == 0 and path is not None:
        path.unlink(missing_ok=True)
    return result if everywhere else None


def _make_file(size: int, folder: Path) -> Path | None:
    """A file of `size` zero bytes; None where there is no room for it."""
    try:
        handle, name = tempfile.mkstemp(prefix="biped-ppo-", dir=folder if folder.is_dir() else None)
    except OSError:
        return None
    try:
        with open(handle, "wb") as file:
            # Written rather than left sparse: memory that is missing would end the process at its first use.
            file.write(bytes(size))
    except OSError:
        Path(name).unlink()
        return None
    return Path(name)
