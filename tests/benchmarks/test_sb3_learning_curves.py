"""Both sides of the comparison get the same dynamics and the same start, and the statistics are right."""

import numpy as np
import pytest
import torch

from benchmarks import sb3_learning_curves
from benchmarks.adapters import Sb3VecEnv
from benchmarks.recall_env import RecallEnv
from benchmarks.sb3_learning_curves import RecordedEnv, permutation_test, run


def test_permutation_test_by_hand() -> None:
    # Of the 6 ways to deal 0, 1, 2, 3 into pairs, two give a difference of 2, two of 1 and two of 0.
    assert permutation_test(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == pytest.approx(2 / 6)
    assert permutation_test(np.array([0.0, 2.0]), np.array([1.0, 3.0])) == pytest.approx(4 / 6)
    assert permutation_test(np.zeros(5), np.ones(5)) == pytest.approx(2 / 252)
    assert permutation_test(np.zeros(2), np.zeros(2)) == 1.0


def test_the_adapter_hands_on_what_the_tensors_say() -> None:
    ours, theirs = RecallEnv(3, episode_length=2, seed=7), Sb3VecEnv(RecallEnv(3, episode_length=2, seed=7))
    np.testing.assert_array_equal(theirs.reset(), ours.reset().numpy())
    for action in torch.randn(5, 3, 1, generator=torch.Generator().manual_seed(0)):
        step = ours.step(action)
        observation, reward, done, infos = theirs.step(action.numpy())
        np.testing.assert_array_equal(observation, step.observation.numpy())
        np.testing.assert_array_equal(reward, step.reward.numpy())
        np.testing.assert_array_equal(done, step.truncated.numpy())
        for n, info in enumerate(infos):
            assert ("terminal_observation" in info) == info.get("TimeLimit.truncated", False) == bool(done[n])
            if done[n]:
                np.testing.assert_array_equal(info["terminal_observation"], step.final_observation[n].numpy())


def test_returns_are_sums_over_whole_episodes() -> None:
    env = RecordedEnv(seed=0)
    env.rewards = [float(number) for number in range(19)]
    assert env.returns().tolist() == [28.0, 92.0]


def test_both_start_from_the_same_weights_and_take_the_same_number_of_steps() -> None:
    steps = 2 * sb3_learning_curves.NUM_ENVS * sb3_learning_curves.PPO.n_steps
    theirs, ours = (run(trainer, 1, steps) for trainer in sb3_learning_curves.TRAINERS)
    assert theirs.start_return == ours.start_return
    assert theirs.final_return != ours.final_return
    assert len(theirs.returns) == len(ours.returns) == 4
