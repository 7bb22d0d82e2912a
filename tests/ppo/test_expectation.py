"""What is said of a training before it begins: how fast it will be."""

import time
from pathlib import Path

import torch
from torch import Tensor

from ppo.env import Step
from ppo.expectation import expected_speed, is_long
from tests.ppo.environments import TrackingEnv
from tests.ppo.trainers import PPO, make_trainer


class SlowEnv(TrackingEnv):
    """Takes its time for a control step."""

    seconds = 0.05

    def step(self, action: Tensor) -> Step:
        time.sleep(self.seconds)
        return super().step(action)


def test_the_slowest_part_decides(tmp_path: Path) -> None:
    learner = make_trainer(SlowEnv(16), tmp_path, 1000).learner
    expected_speed(learner)
    # 16 environments, 0.05 s a step and little else.
    assert 100.0 < expected_speed(learner) < 16 / SlowEnv.seconds


def test_training_is_the_same_after_it(tmp_path: Path) -> None:
    trainers = [make_trainer(TrackingEnv(16), tmp_path / name, 512) for name in ("plain", "probed")]
    expected_speed(trainers[1].learner)
    for trainer in trainers:
        trainer.train()
    first, second = (trainer.learner.policy.state_dict() for trainer in trainers)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_is_worth_saying_where_an_iteration_is_long(tmp_path: Path) -> None:
    learner = make_trainer(TrackingEnv(16), tmp_path, 1000).learner
    parameters = sum(parameter.numel() for parameter in learner.policy.parameters())
    operations = 6.0 * parameters * PPO.n_epochs * PPO.n_steps * 16
    assert is_long(learner, operations)
    assert not is_long(learner, 1.01 * operations)
    assert not is_long(learner)
