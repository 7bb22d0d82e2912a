"""Precisions on a GPU: where bf16 is used, and that a run goes on in another one."""

from pathlib import Path

import pytest
import torch

from ppo.learner import Learner
from ppo.runtime import PrecisionName
from tests.ppo.environments import TrackingEnv
from tests.ppo.trainers import PPO, make_trainer
from tests.simulated_cuda.counting import PACKING, RESERVE, counted


def make_learner(folder: Path, precision: PrecisionName) -> Learner:
    return make_trainer(TrackingEnv(16, device="cuda"), folder, 10**6, precision=precision).learner


def iterate(learner: Learner) -> dict[str, float]:
    learner.collector.collect(lambda: False)
    return learner.read_metrics(learner.improve())


def test_bf16_casts_the_weights_in_gradient_steps_only(tmp_path: Path) -> None:
    learner = make_learner(tmp_path, "bf16")
    with counted() as counts:
        learner.collector.collect(lambda: False)
        learner.algorithm.prepare(learner.collector.experience)
    assert counts.of(PACKING) == 0, counts.crossings().table()
    with counted() as counts:
        learner.improve()
    # Actor and critic.
    assert counts.of(PACKING) == 2 * PPO.n_epochs * PPO.n_minibatches


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_only_gradient_steps_keep_what_a_backward_pass_needs(precision: PrecisionName, tmp_path: Path) -> None:
    learner = make_learner(tmp_path, precision)
    iterate(learner)
    with counted() as counts:
        iterate(learner)
    assert counts.of(RESERVE) == 0, counts.crossings().table()


def test_bf16_learns_nearly_the_same(tmp_path: Path) -> None:
    half, full = (iterate(make_learner(tmp_path, precision)) for precision in ("bf16", "fp32"))
    assert half["train/value_loss"] == pytest.approx(full["train/value_loss"], rel=0.05)
    assert half["train/skipped_updates"] == 0.0


@pytest.mark.parametrize(("before", "after"), [("bf16", "tf32"), ("tf32", "bf16")])
def test_a_run_goes_on_in_another_precision(before: PrecisionName, after: PrecisionName, tmp_path: Path) -> None:
    first = make_learner(tmp_path, before)
    iterate(first)
    model = first.model([first.process_state()])
    second = make_learner(tmp_path, after)
    assert second.restore(model)
    assert second.collector.start_state.actor[0].dtype == torch.float32
    iterate(second)


def test_a_run_saved_with_a_memory_in_bf16_goes_on(tmp_path: Path) -> None:
    first = make_learner(tmp_path, "bf16")
    iterate(first)
    state = first.process_state()
    state["recurrent"] = [tensor.bfloat16() for tensor in state["recurrent"]]
    second = make_learner(tmp_path, "tf32")
    assert second.restore(first.model([state]))
    iterate(second)
