"""A policy with normalised observations, and the same policy as its checkpoints hold it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ppo.checkpoint.folder import newest_checkpoint
from ppo.normalization import SMALLEST_DEVIATION, ObservationNormalizer
from ppo.policy import RecurrentActorCritic
from ppo.processes import Processes
from ppo.recurrence import EpisodeStarts
from tests.ppo.environments import TrackingEnv
from tests.ppo.rollouts import CPU, CRITICS, CriticKind, small_policy
from tests.ppo.trainers import PPO, make_trainer

NORMALIZING = replace(PPO, normalize_observation=True)


def test_mean_and_deviation_are_those_of_all_rollouts() -> None:
    torch.manual_seed(0)
    normalizer = ObservationNormalizer(3, CPU)
    rollouts = [5.0 + 2.0 * torch.randn(4, 6, 3), torch.randn(4, 6, 3)]
    assert torch.equal(normalizer(rollouts[0]), rollouts[0])
    for rollout in rollouts:
        normalizer.update(rollout, Processes())
    seen = torch.cat(rollouts).reshape(-1, 3)
    torch.testing.assert_close(normalizer(seen), (seen - seen.mean(0)) / seen.std(0, correction=0))


def test_what_never_changes_keeps_a_bounded_scale() -> None:
    normalizer = ObservationNormalizer(1, CPU)
    normalizer.update(torch.full((4, 6, 1), 0.5), Processes())
    assert normalizer(torch.tensor([0.5])).item() == 0.0
    assert normalizer(torch.tensor([0.6])).item() == pytest.approx(0.1 / SMALLEST_DEVIATION, rel=1e-5)


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("features", [(), (5,)])
@torch.no_grad()
def test_the_plain_network_takes_observations_as_they_are(critic: CriticKind, features: tuple[int, ...]) -> None:
    policy = small_policy(critic, layers=2, features=features)
    plain = RecurrentActorCritic(policy.config, 3, 2)
    policy.normalizer = ObservationNormalizer(3, CPU)
    observation, action = torch.tensor([4.0, -1.0, 0.1]) + torch.randn(6, 4, 3), torch.randn(6, 4, 2)
    policy.normalizer.update(observation, Processes())
    plain.load_state_dict(policy.plain_state_dict())
    state, starts = policy.initial_state(4), EpisodeStarts(torch.zeros(6, 4, dtype=torch.bool))
    for ours, theirs in zip(
        policy.evaluate_actions(observation, state, starts, action),
        plain.evaluate_actions(observation, state, starts, action),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    start = torch.ones(4, dtype=torch.bool)
    acted, expected = (one.act(observation[0], state.actor, start)[0] for one in (policy, plain))
    torch.testing.assert_close(acted, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(
        policy.state_dict()[policy.first_layers[0][0]], plain.state_dict()[policy.first_layers[0][0]]
    )


def test_a_training_goes_on_exactly_and_its_checkpoints_are_plain(tmp_path: Path) -> None:
    whole = make_trainer(TrackingEnv(16), tmp_path / "whole", 4096, ppo=NORMALIZING)
    whole.train()
    make_trainer(TrackingEnv(16), tmp_path / "parts", 2048, ppo=NORMALIZING).train()
    (tmp_path / "parts" / "model_final.zip").unlink()
    _, model = newest_checkpoint(tmp_path / "parts", "model", pytest.fail)
    resumed = make_trainer(TrackingEnv(16, seed=99), tmp_path / "parts", 4096, ppo=NORMALIZING, seed=5)
    resumed.learner.seed = 0
    assert resumed.learner.restore(model)
    resumed.train()
    final = tmp_path / "parts" / "model_final.zip"
    assert final.read_bytes() == (tmp_path / "whole" / "model_final.zip").read_bytes()

    _, model = newest_checkpoint(tmp_path / "parts", "model", pytest.fail)
    plain = make_trainer(TrackingEnv(16), tmp_path / "plain", 4096)
    plain.learner.restore(model)
    observation, start = torch.randn(16, plain.learner.env.observation_dim), torch.ones(16, dtype=torch.bool)
    state = plain.learner.policy.initial_state(16).actor
    with torch.no_grad():
        acted, expected = (one.learner.policy.act(observation, state, start)[0] for one in (plain, whole))
    torch.testing.assert_close(acted, expected, rtol=1e-4, atol=1e-5)


def test_a_policy_that_never_was_normalised_goes_on_as_it_is(tmp_path: Path) -> None:
    make_trainer(TrackingEnv(16), tmp_path / "plain", 1024).train()
    _, model = newest_checkpoint(tmp_path / "plain", "model", pytest.fail)
    resumed = make_trainer(TrackingEnv(16), tmp_path / "resumed", 2048, ppo=NORMALIZING)
    resumed.learner.restore(model)
    assert resumed.learner.policy.normalizer is None
    resumed.train()


def test_a_run_that_was_stopped_before_it_observed_anything_goes_on() -> None:
    stopped, going_on = ObservationNormalizer(3, CPU), ObservationNormalizer(3, CPU)
    going_on.load_state_dict(stopped.state_dict())
    observation = torch.randn(5, 3)
    assert torch.equal(going_on(observation), observation)
