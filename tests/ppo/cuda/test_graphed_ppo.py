"""A training with recorded functions learns what one without does."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ppo.cuda.graphs import Graphs
from ppo.hyperparameters import PPOConfig
from ppo.layers import PYTORCH
from ppo.learner import Learner
from ppo.policy import PolicyConfig
from tests.ppo.cuda.simulated_graphs import SimulatedGraphs
from tests.ppo.environments import PrivilegedEnv, TrackingEnv
from tests.ppo.trainers import POLICY, PPO, make_trainer

OPTIONS: dict[str, tuple[PPOConfig, PolicyConfig]] = {
    "plain": (PPO, POLICY),
    "two layers": (PPO, replace(POLICY, n_lstm_layers=2)),
    "critic with the actor's LSTM": (PPO, replace(POLICY, critic="shared")),
    "critic without an LSTM": (PPO, replace(POLICY, critic="linear", features=(8,))),
    "normalised observations": (replace(PPO, normalize_observation=True, clip_range_vf=0.2), POLICY),
    "several passes": (replace(PPO, micro_batch_size=24), POLICY),
    "stops early": (replace(PPO, target_kl=0.02), POLICY),
    "older rollouts": (replace(PPO, replay=2), POLICY),
}


def learners(folder: Path, options: str, *, privileged: bool = False) -> tuple[Learner, Learner, SimulatedGraphs]:
    """One that records and one that does not."""
    ppo, policy = OPTIONS[options]
    record = SimulatedGraphs()

    def fail(warning: str) -> None:
        raise AssertionError(warning)

    made = []
    for recorder in (Graphs(fail, record), None):
        env = PrivilegedEnv(16) if privileged else TrackingEnv(16, episode_length=6)
        trainer = make_trainer(env, folder, 10**6, ppo=ppo, policy=policy, layers=PYTORCH, recorder=recorder)
        made.append(trainer.learner)
    return made[0], made[1], record


def iterate(learner: Learner) -> dict[str, float]:
    learner.collector.collect(lambda: False)
    metrics = learner.read_metrics(learner.improve())
    return {name: value for name, value in metrics.items() if not name.startswith("perf/")}


def assert_alike(recording: Learner, plain: Learner, iterations: int) -> None:
    for _ in range(iterations):
        assert iterate(recording) == pytest.approx(iterate(plain), rel=1e-4, abs=1e-5, nan_ok=True)
    for one, other in zip(recording.policy.parameters(), plain.policy.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_it_learns_the_same(options: str, tmp_path: Path) -> None:
    recording, plain, record = learners(tmp_path, options)
    assert_alike(recording, plain, 5)
    # One for acting, one for the values, and one for each size of a pass.
    assert len(record.made) == {"older rollouts": 1, "several passes": 4}.get(options, 3)
    assert min(graph.replays for graph in record.made) >= 3


def test_a_critic_that_sees_more_learns_the_same(tmp_path: Path) -> None:
    recording, plain, _ = learners(tmp_path, "plain", privileged=True)
    assert_alike(recording, plain, 4)
    assert not recording.policy.sees_privileged()


def test_it_is_saved_and_goes_on_in_the_middle_of_recordings(tmp_path: Path) -> None:
    recording, plain, _ = learners(tmp_path, "plain")
    for learner in (recording, plain):
        for _ in range(4):
            iterate(learner)
    model = copy.deepcopy(recording.model([recording.process_state()]))
    for learner in (recording, plain):
        iterate(learner)
        assert learner.restore(model)
    assert_alike(recording, plain, 3)
