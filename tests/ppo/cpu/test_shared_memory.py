"""Sums in shared memory are exact, the same everywhere, and end when a process is gone.

The processes are threads here: the memory is the same, and waiting lets other threads run. `test_processes` and the
end-to-end tests share it between real processes.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from ppo.cpu.kernels import library
from ppo.cpu.shared_memory import SharedSum, is_running, open_shared_sum

COUNT, CAPACITY, SUMS = 3, 1000, 300

pytestmark = pytest.mark.skipif(library() is None, reason="needs a C compiler")


@pytest.fixture
def members(tmp_path: Path) -> list[SharedSum]:
    path = tmp_path / "memory"
    path.write_bytes(bytes(SharedSum.size(COUNT, CAPACITY)))
    return [SharedSum(path, rank, COUNT, CAPACITY) for rank in range(COUNT)]


def test_many_sums_of_changing_length(members: list[SharedSum]) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, CAPACITY + 1, (SUMS,), generator=generator).tolist()
    parts = [[torch.randn(length, generator=generator) for length in lengths] for _ in range(COUNT)]
    expected = [parts[0][i] + parts[1][i] + parts[2][i] for i in range(SUMS)]

    def add(rank: int) -> None:
        for part in parts[rank]:
            members[rank].sum_(part)

    with ThreadPoolExecutor(COUNT) as pool:
        list(pool.map(add, range(COUNT)))
    for rank in range(COUNT):
        assert all(torch.equal(total, exact) for total, exact in zip(parts[rank], expected, strict=True))


def test_who_leaves_ends_the_sums_of_the_others_but_not_those_it_has_taken_part_in(members: list[SharedSum]) -> None:
    def add_once_and_leave(rank: int) -> None:
        members[rank].sum_(torch.ones(3))
        members[rank].leave()

    with ThreadPoolExecutor(COUNT - 1) as pool:
        others = [pool.submit(add_once_and_leave, rank) for rank in (1, 2)]
        # The others cannot finish without this one's part, so they leave while this one may still be looking.
        total = torch.ones(3)
        members[0].sum_(total)
        for other in others:
            other.result()
    assert total.tolist() == [3.0] * 3
    with pytest.raises(ConnectionError, match="has left"):
        members[0].sum_(torch.ones(3))


def test_a_part_that_was_published_before_leaving_counts(members: list[SharedSum]) -> None:
    for rank in (1, 2):
        members[rank]._turns[rank] = -2
        members[rank]._slots[1, rank, :3] = 5.0
    total = torch.ones(3)
    members[0].sum_(total)
    assert total.tolist() == [11.0] * 3


def test_a_process_that_has_ended_is_noticed(members: list[SharedSum]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    members[0]._pids[2] = ended.pid
    with pytest.raises(ConnectionError, match="training process 2 has ended"):
        members[0].sum_(torch.ones(3))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs process descriptors")
def test_a_process_that_nobody_has_reaped_is_noticed(members: list[SharedSum]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_running(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.kill(process.pid, 0)
        assert not is_running(process.pid)
        members[0]._pids[2] = process.pid
        with pytest.raises(ConnectionError, match="training process 2 has ended"):
            members[0].sum_(torch.ones(3))


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    shared = open_shared_sum(0, 1, 5, folder=tmp_path)
    assert shared is not None
    tensor = torch.tensor([1.0, 2.0])
    shared.sum_(tensor)
    assert tensor.tolist() == [1.0, 2.0]
    assert set(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("group")
def test_without_room_nothing_is_shared(tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        assert open_shared_sum(0, 1, 2**20, folder=tmp_path) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert set(tmp_path.iterdir()) == before
