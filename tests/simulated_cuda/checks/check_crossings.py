"""What crosses between host and device in an iteration, and where the host waits: nothing but the two transfers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from configs.presets import SMOKE
from ppo.cuda.graphs import Graphs
from tests.biped.environments import EVERYTHING
from tests.biped.simulators.fake_simulator import FakeSimulator
from tests.ppo.environments import PrivilegedEnv, TrackingEnv
from tests.ppo.trainers import POLICY, PPO, make_trainer
from tests.simulated_cuda.iterations import GRAPH_TRANSFERS, TRANSFERS, count_iteration, crossings, learner_of

OPTIONS = {
    "plain": (PPO, POLICY),
    "replay of 2": (replace(PPO, replay=2), POLICY),
    "shared LSTM": (PPO, replace(POLICY, critic="shared", n_lstm_layers=2)),
    "normalised observations": (replace(PPO, normalize_observation=True, clip_range_vf=0.2), POLICY),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_algorithm(name: str, tmp_path: Path) -> None:
    ppo, policy = OPTIONS[name]
    # Short episodes, so that there are time-outs in every rollout.
    env = TrackingEnv(16, episode_length=6, device="cuda")
    learner = make_trainer(env, tmp_path, 10**6, ppo=ppo, policy=policy).learner
    assert crossings(count_iteration(learner)) == TRANSFERS


@pytest.mark.parametrize("graphs", [False, True])
def test_the_task_with_everything_switched_on(graphs: bool) -> None:
    experiment = replace(SMOKE, env=EVERYTHING)
    warnings: list[str] = []
    recorder = Graphs(warnings.append) if graphs else None
    learner = learner_of(experiment, FakeSimulator(16, torch.device("cuda", 0)), recorder)
    assert crossings(count_iteration(learner)) == (GRAPH_TRANSFERS if graphs else TRANSFERS)
    assert warnings == []


def test_a_critic_that_sees_more(tmp_path: Path) -> None:
    learner = make_trainer(PrivilegedEnv(16, device="cuda"), tmp_path, 10**6).learner
    assert crossings(count_iteration(learner)) == TRANSFERS
