"""Names, order and shapes of a network's parameters: those of `sb3_contrib`'s `MlpLstmPolicy` (2.0 to 2.9)."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ppo.policy import PolicyConfig

_ALIASES = ("pi_", "vf_")


def expected_shapes(policy: PolicyConfig, observation_dim: int, action_dim: int) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every parameter, in the order of the optimiser's indices."""
    hidden, inputs = policy.lstm_hidden_size, (observation_dim, *policy.features)[-1]
    shapes: dict[str, tuple[int, ...]] = {"log_std": (action_dim,)}

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    def mlp(name: str, inputs: int, widths: tuple[int, ...]) -> None:
        for index, (before, after) in enumerate(zip((inputs, *widths), widths, strict=False)):
            # Every second module of the sequence is the activation, which has no parameters.
            linear(f"{name}.{2 * index}", before, after)

    def lstm(name: str) -> None:
        for layer in range(policy.n_lstm_layers):
            shapes[f"{name}.weight_ih_l{layer}"] = (4 * hidden, hidden if layer else inputs)
            shapes[f"{name}.weight_hh_l{layer}"] = (4 * hidden, hidden)
            shapes[f"{name}.bias_ih_l{layer}"] = (4 * hidden,)
            shapes[f"{name}.bias_hh_l{layer}"] = (4 * hidden,)

    mlp("features_extractor", observation_dim, policy.features)
    mlp("mlp_extractor.policy_net", hidden, policy.pi)
    mlp("mlp_extractor.value_net", hidden, policy.vf)
    linear("action_net", (hidden, *policy.pi)[-1], action_dim)
    linear("value_net", (hidden, *policy.vf)[-1], 1)
    lstm("lstm_actor")
    if policy.critic == "lstm":
        lstm("lstm_critic")
    elif policy.critic == "linear":
        linear("critic", inputs, hidden)
    return shapes


def with_aliases(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `parameters` and, in Stable-Baselines3's place, the other two names of its shared features extractor."""
    extractor = {name: value for name, value in parameters.items() if name.startswith("features_extractor.")}
    aliases = {prefix + name: value for prefix in _ALIASES for name, value in extractor.items()}
    first = {name: value for name, value in parameters.items() if name == "log_std" or name in extractor}
    return {**first, **aliases, **parameters}


def without_aliases(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `with_aliases` was given.

    Raises:
        ValueError: a name is missing, does not belong there, or stands for other numbers.
    """
    alias_starts = tuple(f"{prefix}features_extractor." for prefix in _ALIASES)
    plain = {name: value for name, value in parameters.items() if not name.startswith(alias_starts)}
    expected = with_aliases(plain)
    for name in {**parameters, **expected}:
        if name not in parameters:
            raise ValueError(f"the parameter {name!a:.80} is missing")
        if name not in expected:
            raise ValueError(f"the parameter {name!a:.80} does not belong to such a network")
        value, same = parameters[name], expected[name]
        if value is not same and (value.dtype != same.dtype or not torch.equal(value, same)):
            raise ValueError(f"the parameter {name!a:.80} is not equal to the one that actor and critic share")
    return plain


def infer_policy(
    parameters: Mapping[str, Tensor],
    activation: Literal["elu", "relu", "tanh"],
    log_std_init: float,
    *,
    features: bool = False,
) -> tuple[PolicyConfig, int]:
    """Read the shape of the network from the shapes of its parameters.

    Args:
        parameters: by name, without aliases.
        activation: after every layer of an MLP.
        log_std_init: start of `log_std`.
        features: whether there is an MLP in front of the LSTMs.

    Returns:
        The policy and `D`. `expected_shapes` of them may still differ from `parameters`.

    Raises:
        ValueError: a parameter that carries a size is missing.
    """

    def size(name: str, axis: int) -> int:
        if name not in parameters or parameters[name].dim() <= axis:
            raise ValueError(f"it has no parameter {name}, so it is not an LSTM policy on flat observations")
        return parameters[name].shape[axis]

    def widths(name: str) -> tuple[int, ...]:
        result: list[int] = []
        while (bias := f"{name}.{2 * len(result)}.bias") in parameters:
            result.append(size(bias, 0))
        return tuple(result)

    layers = 1
    while f"lstm_actor.weight_hh_l{layers}" in parameters:
        layers += 1
    critic: Literal["lstm", "shared", "linear"] = "shared"
    if "lstm_critic.weight_hh_l0" in parameters:
        critic = "lstm"
    elif "critic.weight" in parameters:
        critic = "linear"
    policy = PolicyConfig(
        lstm_hidden_size=size("lstm_actor.weight_hh_l0", 1),
        n_lstm_layers=layers,
        pi=widths("mlp_extractor.policy_net"),
        vf=widths("mlp_extractor.value_net"),
        features=widths("features_extractor") if features else (),
        activation=activation,
        critic=critic,
        log_std_init=log_std_init,
    )
    return policy, size("features_extractor.0.weight" if features else "lstm_actor.weight_ih_l0", 1)
