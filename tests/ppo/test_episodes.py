"""The window of the last finished episodes, counted by hand."""

import torch
from torch import Tensor

from ppo.episodes import EpisodeStatistics


def play(statistics: EpisodeStatistics, rewards: list[list[float]], dones: list[list[int]]) -> None:
    for reward, done in zip(rewards, dones, strict=True):
        statistics.add(torch.tensor(reward), torch.tensor(done).bool())
    statistics.end_rollout()


def read(statistics: EpisodeStatistics) -> tuple[float, float, int]:
    sums, count = statistics.sums()
    return float(sums[0]), float(sums[1]), int(count)


def make(num_envs: int, window: int) -> EpisodeStatistics:
    return EpisodeStatistics(num_envs, torch.device("cpu"), window)


def test_returns_and_lengths_of_episodes_that_cross_rollouts() -> None:
    statistics = make(2, window=10)
    play(statistics, [[1.0, 10.0], [2.0, 20.0]], [[0, 0], [1, 0]])
    assert read(statistics) == (3.0, 2.0, 1)
    assert int(statistics.ended_in_rollout) == 1
    play(statistics, [[4.0, 40.0], [8.0, 80.0]], [[0, 1], [1, 1]])
    # Ended: 1+2 in 2 steps, 10+20+40 in 3, 4+8 in 2, 80 in 1.
    assert read(statistics) == (3.0 + 70.0 + 12.0 + 80.0, 8.0, 4)
    assert int(statistics.ended_in_rollout) == 3


def test_nothing_ended() -> None:
    statistics = make(2, window=3)
    assert read(statistics) == (0.0, 0.0, 0)
    play(statistics, [[1.0, 1.0]], [[0, 0]])
    assert read(statistics) == (0.0, 0.0, 0)
    assert int(statistics.ended_in_rollout) == 0


def test_window_keeps_the_last_endings_only() -> None:
    statistics = make(1, window=3)
    for reward in (1.0, 2.0, 4.0):
        play(statistics, [[reward]], [[1]])
    assert read(statistics) == (7.0, 3.0, 3)
    play(statistics, [[8.0], [0.5], [0.5]], [[1], [0], [1]])
    assert read(statistics) == (4.0 + 8.0 + 1.0, 1.0 + 1.0 + 2.0, 3)


def test_more_endings_in_one_rollout_than_the_window_holds() -> None:
    statistics = make(4, window=3)
    play(statistics, [[100.0, 200.0, 300.0, 400.0]], [[1, 1, 0, 0]])
    play(
        statistics,
        [[1.0, 2.0, 4.0, 8.0], [16.0, 32.0, 64.0, 128.0], [256.0, 512.0, 1024.0, 2048.0]],
        [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0]],
    )
    # The last three that ended, step by step and then by environment: 128 of environment 3, then 256 and 512.
    assert read(statistics) == (128.0 + 256.0 + 512.0, 3.0, 3)
    assert int(statistics.ended_in_rollout) == 10
    assert int(statistics.ended) == 12


def test_window_equals_a_plain_list_over_many_rollouts() -> None:
    generator = torch.Generator().manual_seed(0)
    num_envs, window = 5, 7
    statistics = make(num_envs, window)
    running = [(0.0, 0)] * num_envs
    finished: list[tuple[float, int]] = []
    for rollout in range(12):
        before = len(finished)
        for _ in range(6):
            reward = torch.randint(-5, 6, (num_envs,), generator=generator).float()
            done = torch.rand(num_envs, generator=generator) < (0.05, 0.3, 0.9)[rollout % 3]
            statistics.add(reward, done)
            for n in range(num_envs):
                running[n] = (running[n][0] + float(reward[n]), running[n][1] + 1)
                if done[n]:
                    finished.append(running[n])
                    running[n] = (0.0, 0)
        statistics.end_rollout()
        last = finished[-window:]
        assert read(statistics) == (sum(r for r, _ in last), sum(length for _, length in last), len(last))
        assert int(statistics.ended_in_rollout) == len(finished) - before


def test_rewards_and_flags_handed_in_are_left_alone() -> None:
    statistics = make(2, window=3)
    reward, done = torch.tensor([1.0, 2.0]), torch.tensor([True, False])
    statistics.add(reward, done)
    statistics.add(reward, done)
    statistics.end_rollout()
    assert reward.tolist() == [1.0, 2.0]
    assert done.tolist() == [True, False]


def test_continues_from_its_state() -> None:
    first, second = make(2, window=3), make(2, window=3)
    steps: list[tuple[list[list[float]], list[list[int]]]] = [
        ([[1.0, 2.0], [4.0, 8.0]], [[0, 1], [1, 0]]),
        ([[16.0, 32.0], [64.0, 128.0]], [[0, 1], [1, 1]]),
    ]
    play(first, *steps[0])
    state: dict[str, Tensor] = {name: value.clone() for name, value in first.state_dict().items()}
    second.load_state_dict(state)
    assert read(second) == read(first)
    assert int(second.ended_in_rollout) == 0
    for statistics in (first, second):
        play(statistics, *steps[1])
    assert read(first) == read(second) == (40.0 + 80.0 + 128.0, 5.0, 3)
    assert int(first.ended_in_rollout) == int(second.ended_in_rollout) == 3
