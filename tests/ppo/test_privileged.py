"""What only the critic may see: the actor's weights for it are zero, and stay so in training, saving and loading."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO

from ppo.checkpoint.sb3_zip import CheckpointError, read_zip, write_zip
from ppo.hyperparameters import PPOConfig
from ppo.normalization import ObservationNormalizer
from ppo.optimizer import MOMENTS
from ppo.policy import PolicyConfig
from ppo.processes import Processes
from ppo.value_ranges import ConfigurationError
from tests.ppo.environments import PRIVILEGED, PrivilegedEnv
from tests.ppo.rollouts import CPU, CriticKind, small_policy
from tests.ppo.trainers import POLICY, PPO, make_trainer

NORMALIZING = replace(PPO, normalize_observation=True)
WEIGHT = "lstm_actor.weight_ih_l0"


@pytest.mark.parametrize("critic", ["lstm", "linear"])
@pytest.mark.parametrize("ppo", [PPO, NORMALIZING, replace(PPO, replay=2)], ids=["plain", "normalising", "replay"])
def test_the_actor_never_sees_it_and_the_critic_does(ppo: PPOConfig, critic: CriticKind, tmp_path: Path) -> None:
    config = replace(POLICY, critic=critic, n_lstm_layers=2)
    trainer = make_trainer(PrivilegedEnv(16), tmp_path, 2048, ppo=ppo, policy=config)
    policy = trainer.learner.policy
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    trainer.train()
    model = read_zip(tmp_path / "model_final.zip")
    assert model.optimizer is not None
    moments = model.optimizer["state"][list(model.parameters).index(WEIGHT)]
    critic_weight = "lstm_critic.weight_ih_l0" if critic == "lstm" else "critic.weight"
    for tensor in (before[WEIGHT], policy.actor_input, model.parameters[WEIGHT], *map(moments.get, MOMENTS)):
        assert tensor is not None
        assert not tensor[:, PRIVILEGED].any()
        assert tensor[:, [0, 2, 3]].all()
    changed = policy.state_dict()[critic_weight] != before[critic_weight]
    assert changed[:, PRIVILEGED].all()


@pytest.mark.parametrize("ppo", [PPO, NORMALIZING], ids=["plain", "normalising"])
def test_sb3_contrib_gives_the_same_actions_whatever_is_in_those_columns(ppo: PPOConfig, tmp_path: Path) -> None:
    trainer = make_trainer(PrivilegedEnv(16), tmp_path, 2048, ppo=ppo)
    trainer.train()
    model = RecurrentPPO.load(tmp_path / "model_final.zip", device="cpu")
    policy = trainer.learner.policy
    generator = torch.Generator().manual_seed(3)
    ours, theirs, others = policy.initial_state(4).actor, None, None
    for step in range(10):
        observation = torch.randn(4, 5, generator=generator)
        garbled = observation.clone()
        garbled[:, PRIVILEGED] = 1e3 * torch.randn(4, 2, generator=generator)
        start = torch.full((4,), step == 0)
        with torch.no_grad():
            expected, _, ours, _ = policy.act(observation, ours, start)
        action, theirs = model.predict(observation.numpy(), theirs, start.numpy(), deterministic=True)
        other, others = model.predict(garbled.numpy(), others, start.numpy(), deterministic=True)
        np.testing.assert_allclose(action, policy.clip(expected).numpy(), atol=5e-6)
        np.testing.assert_array_equal(action, other)


def test_the_norm_of_the_gradient_leaves_it_out(tmp_path: Path) -> None:
    learner = make_trainer(PrivilegedEnv(16), tmp_path, 2048).learner
    policy = learner.policy
    policy.act(torch.full((2, 5), 1e6), policy.initial_state(2).actor, torch.ones(2, dtype=torch.bool))[
        1
    ].sum().backward()
    gradient = policy.actor_input.grad
    assert gradient is not None
    assert not gradient[:, PRIVILEGED].any()
    # The same memory as the vector that is clipped and given to Adam.
    assert gradient.untyped_storage().data_ptr() == learner.optimizer.gradient.untyped_storage().data_ptr()


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    make_trainer(PrivilegedEnv(16), tmp_path / "whole", 4096, ppo=NORMALIZING).train()
    make_trainer(PrivilegedEnv(16), tmp_path / "parts", 2048, ppo=NORMALIZING).train()
    resumed = make_trainer(PrivilegedEnv(16, seed=9), tmp_path / "parts", 4096, ppo=NORMALIZING, seed=5)
    resumed.learner.seed = 0
    assert resumed.learner.restore(read_zip(tmp_path / "parts" / "model_2048_steps.zip"))
    resumed.train()
    final = "model_final.zip"
    assert (tmp_path / "parts" / final).read_bytes() == (tmp_path / "whole" / final).read_bytes()


@pytest.mark.parametrize("what", ["weights", "moments", "weights of a normalising one"])
def test_a_model_whose_actor_sees_it_is_refused(what: str, tmp_path: Path) -> None:
    ppo = NORMALIZING if "normalising" in what else PPO
    make_trainer(PrivilegedEnv(16), tmp_path, 1024, ppo=ppo).train()
    model = read_zip(tmp_path / "model_final.zip")
    assert model.optimizer is not None
    assert model.own_state is not None
    index = list(model.parameters).index(WEIGHT)
    changed = {
        "weights": model.parameters[WEIGHT],
        "moments": model.optimizer["state"][index]["exp_avg"],
        "weights of a normalising one": model.own_state.get("first_layers", {}).get(WEIGHT),
    }[what]
    changed[0, PRIVILEGED[0]] = 1e-3
    write_zip(tmp_path / "seeing.zip", model)
    learner = make_trainer(PrivilegedEnv(16), tmp_path, 2048, ppo=ppo).learner
    with pytest.raises(CheckpointError, match="only the critic may see"):
        learner.start_from(read_zip(tmp_path / "seeing.zip"))


@pytest.mark.parametrize(
    ("policy", "field"), [(replace(POLICY, critic="shared"), "critic"), (replace(POLICY, features=(8,)), "features")]
)
def test_networks_in_which_both_see_the_same_are_refused(policy: PolicyConfig, field: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make_trainer(PrivilegedEnv(16), tmp_path, 1024, policy=policy)
    assert (refused.value.owner, refused.value.field) == (PolicyConfig, field)


def test_folding_moves_nothing_into_the_bias() -> None:
    policies = [small_policy(observation_dim=5) for _ in range(2)]
    for policy, offset in zip(policies, (0.0, 1e4), strict=True):
        policy.hide_from_actor(PRIVILEGED)
        policy.normalizer = ObservationNormalizer(5, CPU)
        observation = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0))
        observation[..., PRIVILEGED] += offset
        policy.normalizer.update(observation, Processes())
    plain, shifted = (policy.plain_state_dict() for policy in policies)
    for name in (WEIGHT, "lstm_actor.bias_ih_l0"):
        assert torch.equal(plain[name], shifted[name])
    assert not torch.equal(plain["lstm_critic.bias_ih_l0"], shifted["lstm_critic.bias_ih_l0"])
