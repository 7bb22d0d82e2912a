"""What a learner takes over from a checkpoint, and what it does not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ppo.agent import TrainedAgent
from ppo.checkpoint.folder import newest_checkpoint
from ppo.checkpoint.sb3_zip import read_zip
from ppo.env import Step
from ppo.hyperparameters import PPOConfig
from ppo.learner import Learner
from ppo.learning_rate import LearningRateConfig
from tests.ppo.environments import TrackingEnv
from tests.ppo.trainers import PPO, make_trainer


@pytest.mark.parametrize(
    "ppo",
    [
        PPO,
        replace(PPO, lr=LearningRateConfig(schedule="linear")),
        replace(
            PPO,
            lr=LearningRateConfig(
                schedule="adaptive",
                window=1,
                patience_high=1,
                patience_low=1,
                maximum=1e-2,
                cooldown_steps=0,
                high=0.5,
                low=0.1,
            ),
        ),
    ],
    ids=["constant", "linear", "adaptive"],
)
def test_a_resumed_run_equals_one_that_never_stopped(ppo: PPOConfig, tmp_path: Path) -> None:
    make_trainer(TrackingEnv(16), tmp_path / "whole", 4096, ppo=ppo).train()

    first = make_trainer(TrackingEnv(16), tmp_path / "parts", 4096, ppo=ppo)
    first.budget = replace(first.budget, total_timesteps=2048)
    first.train()
    for path in (tmp_path / "parts").iterdir():
        if path.name != "model_2048_steps.zip":
            path.unlink()
    path, model = newest_checkpoint(tmp_path / "parts", "model", pytest.fail)
    assert path.name == "model_2048_steps.zip"
    resumed = make_trainer(TrackingEnv(16, seed=99), tmp_path / "parts", 4096, ppo=ppo, seed=5)
    resumed.learner.seed = 0
    assert resumed.learner.restore(model)
    resumed.train()

    for name in ("model_3072_steps.zip", "model_4096_steps.zip", "model_final.zip"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_starting_from_a_model_takes_weights_optimiser_and_steps_and_nothing_else(tmp_path: Path) -> None:
    ppo = replace(PPO, lr=LearningRateConfig(schedule="linear"))
    make_trainer(TrackingEnv(16), tmp_path, 2048, ppo=ppo).train()
    model = read_zip(tmp_path / "model_final.zip")
    assert model.hyperparameters["learning_rate"] == PPO.learning_rate
    assert model.optimizer is not None
    assert model.optimizer["param_groups"][0]["lr"] == PPO.learning_rate
    results = []
    for seed in (1, 2):
        trainer = make_trainer(TrackingEnv(16, seed=seed), tmp_path, 4096, ppo=ppo, seed=seed)
        noise = trainer.learner.collector.noise_generator.get_state()
        order = trainer.learner.minibatch_generator.get_state()
        trainer.learner.start_from(model)
        assert (trainer.learner.num_timesteps, trainer.learner.n_updates) == (2048, model.n_updates)
        for name, value in trainer.learner.policy.state_dict().items():
            assert torch.equal(value, model.parameters[name])
        moments = trainer.learner.optimizer.state_dict()["state"]
        for index, saved in model.optimizer["state"].items():
            assert torch.equal(moments[index]["exp_avg"], saved["exp_avg"])
        assert torch.equal(trainer.learner.collector.noise_generator.get_state(), noise)
        assert torch.equal(trainer.learner.minibatch_generator.get_state(), order)
        assert trainer.learner.collector.observation is None
        assert trainer.learner.learning_rate.before_update(2048) == PPO.learning_rate
        trainer.train()
        results.append(trainer.learner.policy.log_std.detach().clone())
    assert not torch.equal(*results)


@pytest.mark.parametrize("lost", ["env", "episodes", "recurrent"])
def test_robots_that_cannot_be_restored_start_anew_and_the_rest_goes_on(lost: str, tmp_path: Path) -> None:
    make_trainer(TrackingEnv(16), tmp_path, 1024).train()
    model = read_zip(tmp_path / "model_final.zip")
    assert model.own_state is not None
    del model.own_state["processes"][0][lost]
    fresh, resumed = (make_trainer(TrackingEnv(16, seed=7), tmp_path, 2048, seed=7) for _ in range(2))
    assert not resumed.learner.restore(model)
    assert resumed.learner.num_timesteps == 1024
    for trainer in (fresh, resumed):
        trainer.learner.collector.collect(lambda: False)
    first, second = (trainer.learner.collector.rollout.observation[0] for trainer in (fresh, resumed))
    assert torch.equal(first, second)


def test_robots_are_not_restored_where_others_are_asked_for(tmp_path: Path) -> None:
    make_trainer(TrackingEnv(16), tmp_path, 1024).train()
    resumed = make_trainer(TrackingEnv(16), tmp_path, 2048)
    assert not resumed.learner.restore(read_zip(tmp_path / "model_final.zip"), environments=False)
    assert resumed.learner.collector.observation is None


def test_action_bounds_belong_to_the_model(tmp_path: Path) -> None:
    class Watched(TrackingEnv):
        largest = 0.0

        def step(self, action: Tensor) -> Step:
            self.largest = max(self.largest, float(action.abs().max()))
            return super().step(action)

    make_trainer(TrackingEnv(16), tmp_path, 128).train()
    model = read_zip(tmp_path / "model_final.zip")
    width = len(model.action_low)
    narrow = replace(model, action_low=(-0.25,) * width, action_high=(0.5,) * width)
    for load in (Learner.start_from, Learner.restore):
        env = Watched(16)
        trainer = make_trainer(env, tmp_path, 256)
        load(trainer.learner, narrow)
        trainer.train()
        assert env.largest == 0.5
        saved = read_zip(tmp_path / "model_final.zip")
        assert (saved.action_low, saved.action_high) == (narrow.action_low, narrow.action_high)
    agent = TrainedAgent(trainer.learner.policy, 16)
    action = agent(100.0 * torch.randn(16, env.observation_dim), torch.ones(16, dtype=torch.bool))
    assert -0.25 <= action.min() <= action.max() <= 0.5
    elsewhere = replace(model, action_low=(200.0,) * width, action_high=(300.0,) * width)
    with pytest.raises(ValueError, match="nothing in common"):
        make_trainer(TrackingEnv(16), tmp_path, 256).learner.start_from(elsewhere)
