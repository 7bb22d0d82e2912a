"""Several processes on a GPU each, or none."""

from dataclasses import replace
from typing import Literal

import pytest
import torch

from app.build import ENGINES
from app.process_group import (
    choose_device,
    cpu_cores,
    processes_for_cores,
    resolve_processes,
    resolve_robots,
    robots_that_fit,
)
from biped.robots.library import BIPED
from configs.presets import CPU, DEFAULT, GPU, SMOKE

CUDA = torch.device("cuda", 0)
TORCHRUN = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}


def resolve(monkeypatch: pytest.MonkeyPatch, gpus: int, device: str = "cuda", processes: int = 1) -> int:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    return resolve_processes(replace(SMOKE, device=device, processes=processes), CUDA)


def set_environment(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    for name, value in (TORCHRUN | changes).items():
        monkeypatch.setenv(name, value)


def test_as_many_processes_as_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(monkeypatch, gpus=2, processes=2) == 2


@pytest.mark.parametrize(
    ("cores", "robots", "count"),
    [
        (1, 256, 1),
        (2, 256, 2),
        (3, 256, 2),
        (6, 256, 4),
        (64, 256, 8),
        (64, 512, 16),
        (12, 240, 6),
        (2, 48, 1),
        (2, 6, 1),
        (64, "auto", 8),
    ],
)
def test_cores_share_the_robots_evenly_and_not_too_thinly(
    cores: int, robots: int | Literal["auto"], count: int
) -> None:
    assert processes_for_cores(replace(CPU, num_envs=robots), cores) == count


def test_auto_on_a_cpu_goes_by_its_cores() -> None:
    assert resolve_processes(CPU, torch.device("cpu")) == processes_for_cores(CPU, cpu_cores())


def test_torchrun_over_machines_needs_gpus_for_those_here(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch)
    assert resolve(monkeypatch, gpus=2) == 4


def test_other_processes_see_only_their_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, RANK="1", LOCAL_RANK="1")
    assert resolve(monkeypatch, gpus=1) == 4


def test_one_gpu_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"--processes: 2 processes need a GPU each, and --device cuda:1 offers 1; use --processes 1"
    with pytest.raises(ValueError, match=message):
        resolve(monkeypatch, gpus=1, device="cuda:1", processes=2)


def test_torchrun_with_more_processes_than_gpus_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch)
    with pytest.raises(ValueError, match=r"torchrun: 2 processes need .* offers 1; use --nproc-per-node 1"):
        resolve(monkeypatch, gpus=1)


def test_an_engine_of_the_cpu_asks_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    set_environment(monkeypatch, RANK="1", LOCAL_RANK="1")
    experiment = replace(SMOKE, device="auto")
    assert choose_device(experiment, ENGINES["mujoco"]) == torch.device("cpu")
    with pytest.raises(ValueError, match="there is no cuda:1, only 1 CUDA devices"):
        choose_device(experiment, ENGINES["genesis"])


def test_a_cpu_may_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert resolve_processes(replace(SMOKE, device="cpu", processes=3), torch.device("cpu")) == 3


@pytest.mark.parametrize(
    ("free", "each", "robots"),
    [
        (24e9, 1e6, 4096),
        # 0.8 x 2.5 GB over 1 MB are 2000.
        (4e9, 1e6, 1024),
        (1e9, 1e6, 1),
    ],
)
def test_a_gpu_takes_as_many_robots_as_fit(free: float, each: float, robots: int) -> None:
    assert robots_that_fit(int(free), lambda robots: int(robots * each)) == robots


def test_the_number_of_robots_may_be_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    given, left_open = replace(DEFAULT, num_envs=48), replace(DEFAULT, num_envs="auto")
    assert resolve_robots(given, BIPED, CUDA, 2) is given
    assert resolve_robots(left_open, BIPED, torch.device("cpu"), 2).num_envs == 256
    # As many as six processes with four minibatches each can share.
    assert resolve_robots(left_open, BIPED, torch.device("cpu"), 6).num_envs == 240
    # 2 GB apart from what CUDA takes itself are 1.8 MB for each of 1100 robots with the network of the preset.
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3_500_000_000, 12_000_000_000))
    assert resolve_robots(left_open, BIPED, CUDA, 1).num_envs == 1024
    # Several go by the memory that is there, which is the same for all.
    assert resolve_robots(left_open, BIPED, CUDA, 2).num_envs == 2 * 4096
    thirds = replace(left_open, ppo=replace(DEFAULT.ppo, n_minibatches=3))
    # Larger minibatches need more memory, and 512 robots cannot be cut into three.
    assert resolve_robots(thirds, BIPED, CUDA, 1).num_envs == 510
    assert resolve_robots(replace(GPU, num_envs="auto"), BIPED, CUDA, 1).num_envs == 2048
