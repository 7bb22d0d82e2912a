"""What the collector keeps of the environments' steps."""

from pathlib import Path

import torch
from torch import Tensor

from ppo.env import Step
from tests.ppo.environments import TrackingEnv
from tests.ppo.trainers import make_trainer


class ReusingEnv(TrackingEnv):
    """Gives out the same tensors in every step, as a simulator may, with new numbers in them."""

    given: Step | None = None

    def step(self, action: Tensor) -> Step:
        step = super().step(action)
        if self.given is None:
            self.given = step
        for name in ("observation", "reward", "terminated", "truncated", "final_observation"):
            getattr(self.given, name).copy_(getattr(step, name))
        return self.given._replace(metrics=step.metrics)


def test_every_step_is_copied(tmp_path: Path) -> None:
    trainers = [make_trainer(kind(16, fall_probability=0.2), tmp_path, 256) for kind in (TrackingEnv, ReusingEnv)]
    for trainer in trainers:
        for _ in range(2):
            trainer.learner.collector.collect(lambda: False)
            trainer.learner.improve()
        trainer.learner.collector.collect(lambda: False)
    expected, rollout = (trainer.learner.collector.rollout for trainer in trainers)
    assert bool(expected.done.any() and (~expected.done).any())
    for name, field in expected.items():
        assert torch.equal(getattr(rollout, name), field), name
    assert len(expected.reward.unique()) > expected.numel() // 2
    assert torch.equal(expected.episode_start[1:], expected.done[:-1])
