"""The environments that other tests learn in keep the contract of `ppo.env`."""

from collections.abc import Callable

import pytest
import torch

from benchmarks.recall_env import RecallEnv
from ppo.env import VecEnv
from tests.ppo.environments import TrackingEnv

ENVIRONMENTS: list[Callable[[], VecEnv]] = [
    lambda: RecallEnv(5, episode_length=3, seed=1),
    lambda: TrackingEnv(5, episode_length=6, fall_probability=0.2, seed=1),
]


@pytest.mark.parametrize("make", ENVIRONMENTS)
def test_shapes_flags_and_metric_names(make: Callable[[], VecEnv]) -> None:
    env = make()
    n, d, a = env.num_envs, env.observation_dim, env.action_dim
    assert env.reset().shape == (n, d)
    for _ in range(20):
        step = env.step(torch.zeros(n, a))
        assert step.observation.shape == step.final_observation.shape == (n, d)
        assert step.reward.shape == step.terminated.shape == step.truncated.shape == (n,)
        assert step.terminated.dtype == step.truncated.dtype == torch.bool
        assert not bool((step.terminated & step.truncated).any())
        assert sorted(step.metrics) == ["episode/fell", "episode/time_out", "tracking/error"]
        assert step.metrics["episode/fell"] == step.terminated.sum()
        assert step.metrics["episode/time_out"] == step.truncated.sum()
        done = step.terminated | step.truncated
        assert torch.equal(step.observation[~done], step.final_observation[~done])
        assert bool((step.observation[done, -1] == 0.0).all())
        assert bool((step.final_observation[:, -1] > 0.0).all())


@pytest.mark.parametrize("make", ENVIRONMENTS)
def test_continues_exactly_from_a_state(make: Callable[[], VecEnv]) -> None:
    first, second = make(), make()
    first.reset()
    second.reset()
    action = torch.full((first.num_envs, first.action_dim), 0.3)
    for _ in range(4):
        observation = first.step(action).observation
    assert torch.equal(second.load_state_dict(first.state_dict()), observation)
    for _ in range(10):
        expected, got = first.step(action), second.step(action)
        assert all(torch.equal(x, y) for x, y in zip(expected[:5], got[:5], strict=True))


def test_recall_with_and_without_memory() -> None:
    env = RecallEnv(1000, episode_length=4)
    cue = env.reset()[:, :1]
    recalled, blind = torch.zeros(()), env.step(cue).reward.mean()
    for _ in range(3):
        blind += env.step(torch.zeros_like(cue)).reward.mean()
    cue = env.load_state_dict(env.state_dict())[:, :1]
    for _ in range(4):
        recalled += env.step(cue).reward.mean()
    assert (float(blind), float(recalled)) == (env.memoryless_return, 0.0) == (-3.0, 0.0)
    assert abs(float(cue.mean())) < 0.1


def test_tracking_ends_in_both_ways_and_pays_for_accuracy() -> None:
    env = TrackingEnv(500, episode_length=10, fall_probability=0.05)
    observation = env.reset()
    fell = timed_out = 0
    for _ in range(30):
        step = env.step(observation[:, :2])
        assert torch.equal(step.reward, torch.ones(500))
        fell, timed_out = fell + int(step.terminated.sum()), timed_out + int(step.truncated.sum())
        observation = step.observation
    assert 0.03 < fell / 15000 < 0.07
    assert timed_out > 100
    assert env.step(observation[:, :2] + torch.tensor([0.5, 0.0])).reward.mean() == pytest.approx(0.75, abs=1e-6)
