"""What is noted of each control step."""

import math

import pytest
import torch
from torch import Tensor

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.examination.examination import examination_config
from biped.examination.recording import feet_below, record
from biped.examination.trials import SUDDEN_CHANGES, constant
from tests.biped.simulators.fake_simulator import FakeSimulator, upright_state

TRIALS = (*constant((0.3, 0.0, 0.0), (0.0, 0.2, 0.0)), SUDDEN_CHANGES)


def make_env(robots: int) -> BipedEnv:
    return BipedEnv(FakeSimulator(robots), examination_config(EnvConfig(), 1.0), seed=1)


def still(observation: Tensor, ended: Tensor) -> Tensor:
    return torch.zeros(len(observation), 9)


def test_each_trial_is_recorded_with_its_commands_and_rewards() -> None:
    env = make_env(3)
    ahead, aside, changing = record(still, env, TRIALS, 0.8)
    assert [one.trial for one in (ahead, aside, changing)] == list(TRIALS)
    assert ahead.command.tolist() == [pytest.approx([0.3, 0.0, 0.0])] * 40
    assert aside.command.tolist() == [pytest.approx([0.0, 0.2, 0.0])] * 40
    assert changing.command[[0, 9, 10, 20, 30], 0].tolist() == pytest.approx([0.5, 0.5, -0.3, 0.5, 0.0])
    assert ahead.times[[0, -1]].tolist() == pytest.approx([0.02, 0.8])
    assert ahead.reward_names == env.rewards.names
    assert ahead.rewards.shape == (40, len(env.rewards.names))
    alive = ahead.reward_names.index("alive")
    assert ahead.rewards[:, alive].tolist() == pytest.approx([0.5] * 40)
    assert (ahead.joint_position.shape, ahead.foot_position.shape, ahead.contact.shape) == (
        (40, 9),
        (40, 2, 3),
        (40, 2),
    )
    assert ahead.joint_target[-1] == pytest.approx(env.actuators.output[0].numpy())
    assert not ahead.fell


def test_the_terms_of_each_robot_sum_up_to_its_reward() -> None:
    env = make_env(2)
    env.reset()
    for _ in range(5):
        step = env.step(torch.randn(2, 9, generator=torch.Generator().manual_seed(1)))
    assert env.rewards.rates is not None
    assert torch.allclose(env.rewards.rates.sum(dim=0) * env.control_dt, step.reward, atol=1e-5)


def test_a_recording_ends_before_the_step_in_which_the_robot_falls() -> None:
    env = make_env(3)
    simulator = env.simulator
    assert isinstance(simulator, FakeSimulator)
    calls = 0

    def falling(observation: Tensor, ended: Tensor) -> Tensor:
        nonlocal calls
        if calls == 10:
            simulator.overrides["failed"] = torch.tensor([False, True, False])
        calls += 1
        return still(observation, ended)

    recordings = record(falling, env, TRIALS, 0.8)
    assert [one.fell for one in recordings] == [False, True, False]
    assert [len(one.yaw) for one in recordings] == [40, 10, 40]


def test_feet_are_seen_from_a_base_that_faces_any_way() -> None:
    state = upright_state(1)
    state = state._replace(
        base_position=torch.tensor([[1.0, 2.0, 0.4]]),
        roll_pitch_yaw=torch.tensor([[0.0, 0.0, math.pi / 2.0]]),
        foot_position=torch.tensor([[[1.1, 2.3, 0.0], [0.9, 2.0, 0.05]]]),
    )
    assert torch.allclose(feet_below(state)[0], torch.tensor([[0.3, -0.1, 0.0], [0.0, 0.1, 0.05]]), atol=1e-6)


def test_yaw_rates_do_not_jump_where_the_angle_does() -> None:
    (one,) = record(still, make_env(1), TRIALS[:1], 0.1)
    turning = one.__class__(**{**vars(one), "yaw": torch.tensor([3.13, -3.14, -3.13, -3.12, -3.11]).numpy()})
    assert turning.yaw_rate[2:].tolist() == pytest.approx([0.5] * 3, abs=1e-3)
    assert abs(turning.yaw_rate[1]) < 1.0


def test_there_is_one_robot_per_trial() -> None:
    with pytest.raises(ValueError, match="3 trials"):
        record(still, make_env(2), TRIALS, 0.1)
