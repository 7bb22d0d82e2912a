"""Two real processes average what they should and learn what one process with all environments learns."""

import copy
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from ppo.checkpoint.sb3_zip import read_zip
from ppo.env import Step
from ppo.hyperparameters import PPOConfig
from ppo.optimizer import FlatAdam
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes, check_environment
from ppo.replay import view
from ppo.rollout import Experience
from ppo.update import PPO
from tests.ppo.environments import TrackingEnv
from tests.ppo.rollouts import make_ppo, random_experience, small_policy
from tests.ppo.trainers import PPO as HYPERPARAMETERS
from tests.ppo.trainers import make_trainer

COUNT = 2
T, N = 5, 8
CONFIG = PPOConfig(n_steps=T, n_minibatches=1, n_epochs=1, learning_rate=1e-3, max_grad_norm=0.05)


def learn(
    policy: RecurrentActorCritic, optimizer: FlatAdam, experience: Experience, processes: Processes
) -> dict[str, Tensor]:
    ppo = make_ppo(PPO, policy, CONFIG, optimizer)
    ppo.processes = processes
    return ppo.update(experience)


def warm() -> tuple[RecurrentActorCritic, FlatAdam]:
    """Weights and Adam after three updates: a fresh Adam would turn rounding of tiny gradients into whole steps."""
    policy = small_policy()
    optimizer = FlatAdam(policy.parameters(), CONFIG.learning_rate)
    for seed in (1, 2, 3):
        learn(policy, optimizer, random_experience(policy, T, N, seed=seed), Processes())
    return policy, optimizer


def work(rank: int, folder: str) -> None:
    """What each process does; its results go to `<folder>/<rank>.pt`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=COUNT)
    processes = Processes(rank, COUNT)
    results: dict[str, Any] = {}

    averaged = torch.tensor([[1.0, 2.0], [10.0, 0.0]]) * (rank + 1)
    processes.average_(averaged)
    results["average"] = averaged
    argument = torch.tensor([1.0, 10.0]) * (rank + 1)
    results["sum"], results["mean"] = processes.sum(argument), processes.mean(argument)
    results["argument"] = argument
    results["gather"] = processes.gather({"rank": rank, "tensor": torch.tensor([rank])})
    results["largest"] = processes.largest(rank + 5)
    results["share"] = processes.share(f"rank {rank}")
    results["any"] = [processes.any(flag) for flag in (False, rank == 1, rank == 0, True)]

    policy, optimizer = warm()
    half = N // COUNT
    part = view(random_experience(policy, T, N, seed=4), slice(rank * half, (rank + 1) * half))
    results["scalars"] = learn(policy, optimizer, part, processes)
    results["weights"] = policy.state_dict()

    part.rollout.returns[0, 0] = float("nan") if rank == 1 else 0.0
    before = copy.deepcopy(policy.state_dict())
    results["skipped"] = learn(policy, optimizer, part, processes)["skipped_updates"]
    results["untouched"] = all(torch.equal(before[name], value) for name, value in policy.state_dict().items())
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("processes")
    spawn(work, args=(str(folder),), nprocs=COUNT)
    return [torch.load(folder / f"{rank}.pt") for rank in range(COUNT)]


def test_average(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result["average"].tolist() == [[1.5, 3.0], [15.0, 0.0]]


def test_sum_and_mean_leave_their_argument(results: list[dict[str, Any]]) -> None:
    for rank, result in enumerate(results):
        assert result["sum"].tolist() == [3.0, 30.0]
        assert result["mean"].tolist() == [1.5, 15.0]
        assert result["argument"].tolist() == [1.0 + rank, 10.0 + 10.0 * rank]


def test_gather_gives_rank_0_everything_in_order(results: list[dict[str, Any]]) -> None:
    assert [(value["rank"], value["tensor"].tolist()) for value in results[0]["gather"]] == [(0, [0]), (1, [1])]
    assert results[1]["gather"] == []


def test_any(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result["any"] == [False, True, True, True]


def test_largest_and_share(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result["largest"] == COUNT + 4
        assert result["share"] == ["rank 0", "rank 1"]


def test_two_processes_learn_what_one_learns(results: list[dict[str, Any]]) -> None:
    policy, optimizer = warm()
    before = copy.deepcopy(policy.state_dict())
    scalars = learn(policy, optimizer, random_experience(policy, T, N, seed=4), Processes())
    for name, expected in policy.state_dict().items():
        assert torch.equal(results[0]["weights"][name], results[1]["weights"][name])
        torch.testing.assert_close(results[0]["weights"][name], expected, rtol=0.0, atol=1e-6)
    moved = max(float((value - before[name]).abs().max()) for name, value in policy.state_dict().items())
    assert moved > 1e-4
    assert scalars["grad_norm"].item() > CONFIG.max_grad_norm
    for result in results:
        assert result["scalars"]["grad_norm"].item() == pytest.approx(scalars["grad_norm"].item(), rel=1e-4)
    for name in ("approx_kl", "value_loss", "policy_gradient_loss"):
        mean = sum(result["scalars"][name].item() for result in results) / COUNT
        assert mean == pytest.approx(scalars[name].item(), rel=1e-4, abs=1e-7)


def test_bad_gradient_in_one_process_is_skipped_by_all(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result["skipped"].item() == 1.0
        assert result["untouched"]


def test_alone_every_operation_leaves_its_argument() -> None:
    alone = Processes()
    tensor: Tensor = torch.tensor([1.0, 2.0])
    alone.average_(tensor)
    assert tensor.tolist() == [1.0, 2.0]
    assert alone.sum(tensor) is alone.mean(tensor) is tensor
    assert alone.gather("value") == alone.share("value") == ["value"]
    assert alone.largest(3) == 3
    assert (alone.any(True), alone.any(False)) == (True, False)


def train_until_a_signal(rank: int, folder: str, micro_batch_size: int | None) -> None:
    """Train on two processes, of which only rank 1 gets a signal; how it ended goes to `<folder>/<rank>.txt`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=COUNT)

    class SignallingEnv(TrackingEnv):
        def step(self, action: Tensor) -> Step:
            if rank == 1 and self.count == 20:
                os.kill(os.getpid(), signal.SIGTERM)
            self.count += 1
            return super().step(action)

        count = 0

    env = SignallingEnv(16)
    trainer = make_trainer(
        env,
        Path(folder),
        1_000_000,
        ppo=replace(HYPERPARAMETERS, micro_batch_size=micro_batch_size),
        processes=Processes(rank, COUNT),
    )
    result = trainer.train()
    Path(folder, f"{rank}.txt").write_text(f"{result} {env.count} {trainer.learner.num_timesteps}")
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("micro_batch_size", "steps"), [pytest.param(None, 24, id="after-the-rollout"), pytest.param(8, 21, id="at-once")]
)
def test_a_signal_to_any_process_interrupts_all(micro_batch_size: int | None, steps: int, tmp_path: Path) -> None:
    """Where passes are long enough to be cut, processes ask each other at every step, of eight in a rollout."""
    spawn(train_until_a_signal, args=(str(tmp_path), micro_batch_size), nprocs=COUNT)
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in range(COUNT))
    assert first == second
    assert first.startswith(f"{signal.SIGTERM} {steps} ")
    assert not (tmp_path / "model_final.zip").exists()
    assert read_zip(tmp_path / "model_interrupted.zip").num_timesteps == int(first.split()[2])


TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


def test_the_environment_tells_the_rank() -> None:
    assert check_environment({}) == 0
    assert check_environment(TORCHRUN) == 1
    assert check_environment({"RANK": "0", "WORLD_SIZE": "1"}) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": ""}, "RANK must be a whole number from 0 to 3, not ''"),
        ({"RANK": "one"}, "RANK must be a whole number from 0 to 3, not 'one'"),
        ({"RANK": "-1"}, "RANK must be"),
        ({"RANK": "4"}, "RANK must be"),
        ({"RANK": "9" * 5000}, "RANK must be"),
        ({"RANK": None}, "WORLD_SIZE is set in the environment and RANK is not"),
        ({"WORLD_SIZE": None}, "RANK is set in the environment and WORLD_SIZE is not"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE must be"),
        ({"WORLD_SIZE": "1.5"}, "WORLD_SIZE must be"),
        ({"LOCAL_RANK": ""}, "LOCAL_RANK must be"),
        ({"LOCAL_WORLD_SIZE": "5"}, "LOCAL_WORLD_SIZE must be a whole number from 1 to 4"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR is not set"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({"MASTER_PORT": None}, "MASTER_PORT must be"),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT must be"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(changes: dict[str, str | None], message: str) -> None:
    environment = {name: value for name, value in (TORCHRUN | changes).items() if value is not None}
    with pytest.raises(ValueError, match=message) as caught:
        check_environment(environment)
    assert "torchrun" in str(caught.value)
