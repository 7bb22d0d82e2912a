"""The network is sb3-contrib's, weight for weight, and judges a sequence as it acts in it."""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import gymnasium
import numpy as np
import pytest
import torch
import tyro
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from torch import nn

from ppo.checkpoint.parameters import with_aliases
from ppo.layers import ACTIVATIONS, PYTORCH, Layers
from ppo.policy import FASTEST, PolicyConfig, RecurrentActorCritic
from tests.ppo.checkpoint.sb3_extractor import extractor_arguments
from tests.ppo.rollouts import CRITICS, CriticKind, random_experience, random_state, small_policy, step_along

ActivationName: TypeAlias = Literal["elu", "relu", "tanh"]
ACTIVATION_NAMES: tuple[ActivationName, ...] = ("elu", "relu", "tanh")

MLP_AND_HEADS = [
    ("log_std", (2,)),
    ("mlp_extractor.policy_net.0.weight", (10, 8)),
    ("mlp_extractor.policy_net.0.bias", (10,)),
    ("mlp_extractor.policy_net.2.weight", (7, 10)),
    ("mlp_extractor.policy_net.2.bias", (7,)),
    ("mlp_extractor.value_net.0.weight", (6, 8)),
    ("mlp_extractor.value_net.0.bias", (6,)),
    ("action_net.weight", (2, 7)),
    ("action_net.bias", (2,)),
    ("value_net.weight", (1, 6)),
    ("value_net.bias", (1,)),
]


FEATURES = [
    ("features_extractor.0.weight", (9, 3)),
    ("features_extractor.0.bias", (9,)),
    ("features_extractor.2.weight", (5, 9)),
    ("features_extractor.2.bias", (5,)),
]


def lstm_parameters(name: str, inputs: int) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (f"{name}.{kind}_l{layer}", shape)
        for layer, inputs in ((0, inputs), (1, 8))
        for kind, shape in (
            ("weight_ih", (32, inputs)),
            ("weight_hh", (32, 8)),
            ("bias_ih", (32,)),
            ("bias_hh", (32,)),
        )
    ]


def critic_parameters(critic: CriticKind, inputs: int) -> list[tuple[str, tuple[int, ...]]]:
    if critic == "lstm":
        return lstm_parameters("lstm_critic", inputs)
    return [("critic.weight", (8, inputs)), ("critic.bias", (8,))] if critic == "linear" else []


class StillEnv(gymnasium.Env):
    """Spaces only; sb3 wants an environment to make a network."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))


def sb3_model(config: PolicyConfig, seed: int) -> RecurrentPPO:
    return RecurrentPPO(
        "MlpLstmPolicy",
        StillEnv(),
        n_steps=4,
        batch_size=4,
        seed=seed,
        device="cpu",
        policy_kwargs={
            "activation_fn": ACTIVATIONS[config.activation],
            "net_arch": {"pi": list(config.pi), "vf": list(config.vf)},
            "lstm_hidden_size": config.lstm_hidden_size,
            "n_lstm_layers": config.n_lstm_layers,
            "enable_critic_lstm": config.critic == "lstm",
            "shared_lstm": config.critic == "shared",
            "log_std_init": config.log_std_init,
            **extractor_arguments(config),
        },
    )


@pytest.mark.parametrize("critic", CRITICS)
def test_names_order_and_shapes(critic: CriticKind) -> None:
    config = PolicyConfig(lstm_hidden_size=8, n_lstm_layers=2, pi=(10, 7), vf=(6,), critic=critic)
    policy = RecurrentActorCritic(config, 3, 2)
    expected = [*MLP_AND_HEADS, *lstm_parameters("lstm_actor", 3), *critic_parameters(critic, 3)]
    assert [(name, tuple(value.shape)) for name, value in policy.state_dict().items()] == expected
    assert [name for name, _ in policy.named_parameters()] == [name for name, _ in expected]


@pytest.mark.parametrize("critic", CRITICS)
def test_names_order_and_shapes_with_an_mlp_in_front(critic: CriticKind) -> None:
    config = PolicyConfig(lstm_hidden_size=8, n_lstm_layers=2, pi=(10, 7), vf=(6,), features=(9, 5), critic=critic)
    policy = RecurrentActorCritic(config, 3, 2)
    expected = [MLP_AND_HEADS[0], *FEATURES, *MLP_AND_HEADS[1:]]
    expected += [*lstm_parameters("lstm_actor", 5), *critic_parameters(critic, 5)]
    assert [(name, tuple(value.shape)) for name, value in policy.state_dict().items()] == expected
    assert [name for name, _ in policy.named_parameters()] == [name for name, _ in expected]


def test_default_network_has_the_size_of_the_reference() -> None:
    policy = RecurrentActorCritic(PolicyConfig(), 38, 9)
    assert len(list(policy.parameters())) == 33
    assert sum(parameter.numel() for parameter in policy.parameters()) == 7_318_547


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
@pytest.mark.parametrize("features", [(), (9, 5)])
def test_same_seed_gives_the_weights_of_sb3_bit_for_bit(
    critic: CriticKind, activation: ActivationName, features: tuple[int, ...]
) -> None:
    config = PolicyConfig(
        lstm_hidden_size=8,
        n_lstm_layers=2,
        pi=(10, 7),
        vf=(6,),
        features=features,
        activation=activation,
        critic=critic,
        log_std_init=-0.7,
    )
    theirs = sb3_model(config, seed=7).policy
    torch.manual_seed(7)
    ours = RecurrentActorCritic(config, 3, 2)
    expected = theirs.state_dict()
    assert list(with_aliases(ours.state_dict())) == list(expected)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    for name, value in ours.state_dict().items():
        assert torch.equal(value, expected[name]), name
    kinds = [type(layer) for layer in ours.mlp_extractor.policy_net]
    assert kinds == [type(layer) for layer in theirs.mlp_extractor.policy_net]
    assert kinds == [nn.Linear, ACTIVATIONS[activation]] * 2
    assert [type(layer) for layer in ours.features_extractor] == kinds[: 2 * len(features)]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("features", [(), (9, 5)])
def test_acting_step_by_step_equals_evaluating_the_sequence(
    critic: CriticKind, layers: int, features: tuple[int, ...]
) -> None:
    policy = small_policy(critic, layers=layers, features=features)
    experience = random_experience(policy, 9, 6)
    rollout = experience.rollout
    assert bool(rollout.episode_start[1:].any())
    with torch.no_grad():
        log_prob, value = step_along(policy, experience)
        evaluated = policy.evaluate_actions(
            rollout.observation, experience.start_state, experience.starts, rollout.action
        )
    torch.testing.assert_close(evaluated.log_prob, log_prob, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(evaluated.value, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("layers", "tolerance"), [(PYTORCH, 0.0), (FASTEST, 1e-6)], ids=["PyTorch", "fastest"])
@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("features", [(), (9, 5)])
def test_one_step_equals_sb3(critic: CriticKind, features: tuple[int, ...], layers: Layers, tolerance: float) -> None:
    """Bit for bit with PyTorch's operations, to rounding with the compiled kernels."""
    config = PolicyConfig(lstm_hidden_size=16, n_lstm_layers=2, pi=(10, 7), vf=(6,), features=features, critic=critic)
    theirs = sb3_model(config, seed=1).policy
    torch.manual_seed(1)
    ours = RecurrentActorCritic(config, 3, 2, layers)
    generator = torch.Generator().manual_seed(2)
    observation = torch.randn(4, 3, generator=generator)
    start = torch.tensor([False, True, False, True])
    state = random_state(ours, 4, generator)
    vf_state = state.critic if critic == "lstm" else state.actor
    with torch.no_grad():
        mean, value, log_prob, after = theirs(observation, RNNStates(state.actor, vf_state), start.float(), True)
        action, our_log_prob, actor_state, latent = ours.act(observation, state.actor, start)
        critic_latent, _ = ours.critic_step(observation, state.critic, start, latent)
    for got, expected in (
        (action, mean),
        (our_log_prob, log_prob),
        (ours.value(critic_latent), value.squeeze(1)),
        (actor_state[0], after.pi[0]),
        (actor_state[1], after.pi[1]),
    ):
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def test_log_prob_and_entropy_are_those_of_a_normal_distribution() -> None:
    policy = small_policy()
    with torch.no_grad():
        policy.log_std.copy_(torch.tensor([-1.3, 0.4]))
    experience = random_experience(policy, 5, 3)
    rollout = experience.rollout
    rollout.episode_start.zero_()
    with torch.no_grad():
        evaluated = policy.evaluate_actions(
            rollout.observation, experience.start_state, experience.starts, rollout.action
        )
        latent = policy.lstm_actor(rollout.observation, experience.start_state.actor)[0]
        mean = policy.action_net(policy.mlp_extractor.policy_net(latent))
        normal = torch.distributions.Normal(mean, torch.ones_like(mean) * policy.log_std.exp())
    assert torch.equal(evaluated.log_prob, normal.log_prob(rollout.action).sum(-1))
    torch.testing.assert_close(evaluated.entropy, normal.entropy().sum(-1), rtol=2e-7, atol=0.0)
    by_hand = sum(0.5 + 0.5 * math.log(2.0 * math.pi) + log_std for log_std in (-1.3, 0.4))
    assert evaluated.entropy[4, 2].item() == pytest.approx(by_hand, rel=1e-6)


def test_noise_moves_the_action_by_the_standard_deviation() -> None:
    policy = small_policy()
    with torch.no_grad():
        policy.log_std.copy_(torch.tensor([math.log(2.0), math.log(0.5)]))
    generator = torch.Generator().manual_seed(5)
    observation, noise = torch.randn(4, 3, generator=generator), torch.randn(4, 2, generator=generator)
    state, start = policy.initial_state(4).actor, torch.zeros(4, dtype=torch.bool)
    with torch.no_grad():
        mean, mean_log_prob, _, _ = policy.act(observation, state, start)
        action, log_prob, _, _ = policy.act(observation, state, start, noise)
    torch.testing.assert_close(action, mean + torch.tensor([2.0, 0.5]) * noise)
    torch.testing.assert_close(log_prob, mean_log_prob - 0.5 * noise.square().sum(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("critic", "own"), [("lstm", {"lstm_critic"}), ("shared", set()), ("linear", {"critic"})])
def test_value_loss_never_reaches_the_actor(critic: CriticKind, own: set[str]) -> None:
    policy = small_policy(critic)
    experience = random_experience(policy, 5, 3)
    rollout = experience.rollout
    evaluated = policy.evaluate_actions(rollout.observation, experience.start_state, experience.starts, rollout.action)
    evaluated.value.sum().backward()
    touched = {name for name, parameter in policy.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[0] for name in touched} == {"mlp_extractor", "value_net"} | own
    assert not any(name.startswith("mlp_extractor.policy_net") for name in touched)


@pytest.mark.parametrize(("critic", "reached"), [("lstm", True), ("shared", False), ("linear", True)])
def test_both_losses_reach_the_mlp_in_front(critic: CriticKind, reached: bool) -> None:
    """Only the critic that shares the actor's LSTM is cut off, as in SB3."""
    policy = small_policy(critic, features=(9, 5))
    experience = random_experience(policy, 5, 3)
    rollout = experience.rollout
    evaluated = policy.evaluate_actions(rollout.observation, experience.start_state, experience.starts, rollout.action)
    weights = list(policy.features_extractor.parameters())
    assert len(weights) == 4
    for loss, reaches in ((evaluated.log_prob, True), (evaluated.value, reached)):
        gradients = torch.autograd.grad(loss.sum(), weights, retain_graph=True, allow_unused=True)
        assert all((gradient is not None and bool(gradient.any())) == reaches for gradient in gradients)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PolicyConfig(lstm_hidden_size=0),
        lambda: PolicyConfig(n_lstm_layers=0),
        lambda: PolicyConfig(pi=(8, 0)),
        lambda: PolicyConfig(vf=(0,)),
        lambda: PolicyConfig(features=(8, 0)),
    ],
)
def test_empty_layers_are_refused(make: Callable[[], PolicyConfig]) -> None:
    with pytest.raises(ValueError, match="must be from 1 to"):
        make()


def test_flags_without_numbers_leave_the_mlps_behind_the_lstms_out() -> None:
    config = tyro.cli(PolicyConfig, args=["--features", "512", "256", "128", "--pi", "--vf"])
    assert config == PolicyConfig(features=(512, 256, 128), pi=(), vf=())


def test_network_without_mlps_is_sb3s() -> None:
    config = PolicyConfig(lstm_hidden_size=8, n_lstm_layers=1, pi=(), vf=())
    expected = sb3_model(config, seed=3).policy.state_dict()
    torch.manual_seed(3)
    ours = RecurrentActorCritic(config, 3, 2).state_dict()
    assert list(ours) == list(expected)
    assert all(torch.equal(ours[name], expected[name]) for name in ours)
