"""The simulated device is what it claims to be: it computes as the CPU does, refuses what a GPU refuses, and counts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.ppo.environments import TrackingEnv
from tests.ppo.trainers import make_trainer
from tests.simulated_cuda.counting import LAUNCH, PAGEABLE, TO_HOST, WAIT, counted

CUDA = torch.device("cuda", 0)


def metrics_on(device: str, folder: Path) -> dict[str, float]:
    learner = make_trainer(TrackingEnv(64, device=device), folder, 10**6, precision="fp32").learner
    for _ in range(3):
        learner.collector.collect(lambda: False)
        metrics = learner.read_metrics(learner.improve())
    return {name: value for name, value in metrics.items() if not name.startswith("perf/")}


def test_training_gives_the_numbers_of_the_cpu(tmp_path: Path) -> None:
    assert metrics_on("cuda", tmp_path) == pytest.approx(metrics_on("cpu", tmp_path), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (TO_HOST, lambda tensor: tensor.cpu()),
        (TO_HOST, lambda tensor: tensor.tolist()),
        (WAIT, lambda tensor: tensor.sum().item()),
        (WAIT, lambda tensor: bool(tensor.any())),
        (WAIT, lambda tensor: tensor[tensor > 0]),
        (WAIT, lambda tensor: tensor.nonzero()),
        (PAGEABLE, lambda tensor: tensor + torch.tensor([1.0, 2.0, 3.0], device=CUDA)),
        (PAGEABLE, lambda tensor: tensor[torch.tensor([0, 1])]),
        (PAGEABLE, lambda tensor: torch.zeros(3).to(CUDA, non_blocking=True)),
        (PAGEABLE, lambda tensor: torch.zeros(3).pin_memory().to(CUDA)),
        ("to device, pinned", lambda tensor: torch.zeros(3).pin_memory().to(CUDA, non_blocking=True)),
        (LAUNCH, lambda tensor: tensor + 1.0),
    ],
)
def test_counting_sees(kind: str, action: Callable[[Tensor], object]) -> None:
    tensor = torch.ones(3, device=CUDA)
    with counted() as counts:
        action(tensor)
    assert counts.of(kind) > 0, counts.table()


def test_views_launch_nothing() -> None:
    tensor = torch.ones(4, 3, device=CUDA)
    with counted() as counts:
        tensor[1:, 0].unsqueeze(0).expand(2, 3).t().detach()
        tensor.view(12).split(6)
    assert not counts, counts.table()


@pytest.mark.parametrize(
    "action",
    [
        lambda tensor: tensor + torch.ones(3),
        lambda tensor: torch.rand(3, device=CUDA, generator=torch.Generator()),
        lambda tensor: torch.ones(3, device="cuda:1"),
        lambda tensor: torch.Generator(CUDA).set_state(torch.Generator().get_state()),
    ],
)
def test_it_refuses_what_a_gpu_refuses(action: Callable[[Tensor], object]) -> None:
    with pytest.raises(RuntimeError):
        action(torch.ones(3, device=CUDA))
