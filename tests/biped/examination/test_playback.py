import dataclasses

import pytest
import torch
from torch import Tensor

from biped.env import BipedEnv
from biped.examination.playback import Episode, play_episodes, summarize, tell
from tests.biped.examination.test_examination import PLAIN, Recorder
from tests.biped.simulators.fake_simulator import FakeSimulator

ONE_SECOND = dataclasses.replace(PLAIN, episode_length_s=0.2)
"""Ten control steps per episode."""


class Clumsy(FakeSimulator):
    """Robot 1 tilts over in every third control step, and robot 2 once sinks."""

    def step(self, joint_target: Tensor) -> None:
        super().step(joint_target)
        count = len(self.targets)
        if count % 3 == 0:
            self.state.roll_pitch_yaw[1, 0] = 1.0
        if count == 3:
            self.state.base_position[2, 2] = 0.1


def test_every_robot_contributes_its_first_episodes_with_their_causes() -> None:
    recorder = Recorder(4)
    episodes = list(play_episodes(recorder, BipedEnv(Clumsy(4), ONE_SECOND, seed=0), 1))
    assert [(one.robot, one.fell, one.cause) for one in episodes] == [
        (1, True, "tilted too far"),
        (2, True, "base too low"),
        (0, False, "time-out"),
        (3, False, "time-out"),
    ]
    assert [one.seconds for one in episodes] == pytest.approx([0.06, 0.06, 0.2, 0.2])
    assert len(recorder.observations) == 10


def test_the_controller_hears_where_episodes_start() -> None:
    recorder = Recorder(4)
    list(play_episodes(recorder, BipedEnv(Clumsy(4), ONE_SECOND, seed=0), 1))
    starts = torch.stack(recorder.episode_starts)
    expected = torch.zeros(10, 4, dtype=torch.bool)
    expected[0] = True
    expected[[3, 6, 9], 1] = True
    expected[3, 2] = True
    assert torch.equal(starts, expected)


def test_returns_and_lengths_begin_anew_with_every_episode() -> None:
    env = BipedEnv(FakeSimulator(1), ONE_SECOND, seed=0)
    rewards: list[float] = []
    step = env.step

    def remember(action: Tensor) -> object:
        result = step(action)
        rewards.append(result.reward.item())
        return result

    env.step = remember  # type: ignore[assignment, method-assign]
    first, second = play_episodes(Recorder(1, action=0.2), env, 2)
    assert len(rewards) == 20
    assert first.total_reward == pytest.approx(sum(rewards[:10]), rel=1e-5)
    assert second.total_reward == pytest.approx(sum(rewards[10:]), rel=1e-5)
    assert second.seconds == pytest.approx(0.2)


def test_velocity_error_is_the_mean_distance_from_the_command() -> None:
    simulator = FakeSimulator(2)
    simulator.overrides["base_linear_velocity"] = torch.tensor([[0.3, 0.4, 9.0], [0.0, 0.1, 0.0]])
    env = BipedEnv(simulator, ONE_SECOND, seed=0)
    env.set_command(torch.tensor([0.0, 0.0, 1.0]))
    assert [one.velocity_error for one in play_episodes(Recorder(2), env, 1)] == pytest.approx([0.5, 0.1])


def test_something_is_done_after_every_control_step() -> None:
    calls: list[int] = []
    env = BipedEnv(FakeSimulator(1), ONE_SECOND, seed=0)
    list(play_episodes(Recorder(1), env, 1, lambda: calls.append(1)))
    assert len(calls) == 10


def test_without_a_number_episodes_go_on() -> None:
    endless = play_episodes(Recorder(1), BipedEnv(FakeSimulator(1), ONE_SECOND, seed=0), None)
    assert [next(endless).cause for _ in range(5)] == ["time-out"] * 5


def test_an_episode_in_words() -> None:
    episode = Episode(robot=2, seconds=1.5, total_reward=3.25, fell=True, cause="base too low", velocity_error=0.123)
    assert tell(7, episode, 1) == (
        "episode   7    1.50 s  return     3.25  velocity error 0.123 m/s  ended by: base too low"
    )
    assert "  robot   2  " in tell(7, episode, 4)


def test_all_episodes_in_words() -> None:
    long = Episode(robot=0, seconds=3.0, total_reward=10.0, fell=False, cause="time-out", velocity_error=0.1)
    short = Episode(robot=1, seconds=1.0, total_reward=2.0, fell=True, cause="base too low", velocity_error=0.5)
    assert summarize([long, short]) == (
        "2 episodes: 1 fell, mean length 2.00 s, mean return 6.00, velocity error 0.200 m/s"
    )
    assert summarize([long]).startswith("1 episode: 0 fell")
    assert summarize([]) == "no episode was finished"
