"""Bytes counted by hand, and by the benchmark."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.adapters import CONTENDERS
from benchmarks.learner import NETWORKS
from benchmarks.memory import main, needed_bytes, rollout_bytes, storage_bytes, weight_bytes
from ppo.policy import RecurrentActorCritic
from ppo.rollout import Rollout


def test_memory_shown_twice_counts_once() -> None:
    tensor = torch.zeros(10, 3)
    assert storage_bytes([tensor, tensor[2:5], tensor.t(), torch.zeros(7, dtype=torch.bool)]) == 120 + 7


def test_a_rollout_holds_what_its_fields_need() -> None:
    policy = RecurrentActorCritic(NETWORKS["tiny"], 5, 2)
    rollout = Rollout.zeros(4, 3, 5, 2, torch.device("cpu"))
    # 2 x 5 + 2 + 5 floats and 3 flags per step; hidden and cell state of two LSTMs of 8 units.
    by_hand = 4 * 3 * (17 * 4 + 3) + 3 * 4 * 8 * 4
    assert needed_bytes(4, 3, 5, 2, state=4 * 8) == by_hand
    assert rollout_bytes(rollout, policy.initial_state(3)) == by_hand


def test_weights_come_with_gradients_and_two_moments() -> None:
    assert weight_bytes(torch.nn.Linear(3, 2)) == 4 * 4 * 8


def test_quick_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rsl_rl")
    results = []
    for count in (64, 128):
        path = tmp_path / f"{count}.json"
        words = ["--quick", "--threads", str(torch.get_num_threads()), "--num-envs", str(count), "--json", str(path)]
        assert main(words) == 0
        results.append(json.loads(path.read_text())["memory"])
    out = capsys.readouterr().out
    for name in ("rollout", "activations of one minibatch", "rollout of rsl_rl", "rollout of sb3-contrib"):
        assert f"│ {name} " in out
    for small, large in zip(*(result["rollout_bytes"].values() for result in results), strict=True):
        assert large == 2 * small > 0
    assert set(results[0]["rollout_bytes"]) == set(CONTENDERS)
    small, large = (result["minibatch_bytes"]["activations"] for result in results)
    assert small < large <= 2 * small
    assert results[0]["weight_bytes"] == results[1]["weight_bytes"] > 0


def test_robots_must_be_whole_samples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--num-envs", "33", "--contenders", "ours"])
    assert "--num-envs" in capsys.readouterr().err
