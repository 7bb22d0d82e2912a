"""What a Stable-Baselines3 checkpoint of a recurrent PPO says, and the rules that it must obey to mean anything.

Parameter names, their order and shapes are those of `sb3_contrib`'s `MlpLstmPolicy` (2.0 to 2.9).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ppo.policy import PolicyConfig

HYPERPARAMETERS: Mapping[str, type] = {
    "learning_rate": float,
    "clip_range": float,
    "clip_range_vf": float,
    "n_steps": int,
    "batch_size": int,
    "n_epochs": int,
    "gamma": float,
    "gae_lambda": float,
    "ent_coef": float,
    "vf_coef": float,
    "max_grad_norm": float,
    "normalize_advantage": bool,
    "target_kl": float,
    "seed": int,
}
"""Names of the hyper-parameters, in the order of a file, and their types."""

_ADAM_DEFAULTS = {"lr": 3e-4, "betas": (0.9, 0.999), "eps": 1e-5, "weight_decay": 0.0}
_ADAM_MOMENTS = ("exp_avg", "exp_avg_sq")
_ALIASES = ("pi_", "vf_")
_FLOAT32_MAX = torch.finfo(torch.float32).max


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written; the message is one line that names the file and the remedy."""

    def __init__(self, message: str) -> None:
        """Keep `message`, which may quote a foreign file, without line breaks and control characters."""
        super().__init__("".join(character if character.isprintable() else "?" for character in message))


@dataclass(frozen=True, eq=False)
class Sb3Model:
    """A recurrent PPO model as a Stable-Baselines3 checkpoint holds it."""

    policy: PolicyConfig
    """Shape of the network."""
    observation_dim: int
    """`D`."""
    action_low: tuple[float, ...]
    """`A` lower action bounds."""
    action_high: tuple[float, ...]
    """`A` upper action bounds."""
    parameters: dict[str, Tensor]
    """float32 tensors under Stable-Baselines3's names, in its order: `expected_shapes`."""
    optimizer: dict[str, Any] | None
    """`state_dict` of `torch.optim.Adam` over the parameters in their order, one group. None, or an empty `state`,
    stands for an optimiser that starts anew."""
    hyperparameters: Mapping[str, float | int | bool | None]
    """Values for the names in `HYPERPARAMETERS`. None where the file does not tell (schedules other than constants;
    every clip range of Stable-Baselines3 before 2.7) or where None switches the feature off."""
    num_timesteps: int
    """Environment steps so far, all environments together."""
    n_updates: int
    """Epochs of optimisation so far."""
    native: Mapping[str, Any] | None = None
    """JSON facts of our own; Stable-Baselines3 carries them along."""
    native_state: Mapping[str, Any] | None = None
    """Tensors and plain values of our own (`ppo.checkpoint.tensor_archive.Tree`); Stable-Baselines3 drops them."""


def bounds_conflict(model: Sb3Model, low: Sequence[float], high: Sequence[float]) -> str | None:
    """One line where the environment's action bounds, `A` each, are not those of the model; None where they are."""
    if all(
        math.isclose(ours, theirs, rel_tol=1e-6)
        for ours, theirs in zip((*model.action_low, *model.action_high), (*low, *high), strict=True)
    ):
        return None

    def text(low: Sequence[float], high: Sequence[float]) -> str:
        ranges = [f"{lowest:g} to {highest:g}" for lowest, highest in zip(low, high, strict=True)]
        return ranges[0] if len(set(ranges)) == 1 else ", ".join(ranges)

    return (
        f"the model's actions lie within {text(model.action_low, model.action_high)}, the task takes "
        f"{text(low, high)}: they are clipped to what both allow"
    )


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


def checked(model: Sb3Model) -> Sb3Model:
    """Return `model` in the one form that files have: ordered, on the CPU, with a plain Adam; or say why it is wrong.

    Raises:
        ValueError: something is missing, has the wrong type or shape, is not finite or contradicts the rest.
    """
    if min(model.observation_dim, len(model.action_low)) < 1:
        raise ValueError("the observation or the action has no elements")
    if len(model.action_high) != len(model.action_low):
        raise ValueError("the action has not as many upper as lower bounds")
    for low, high in zip(model.action_low, model.action_high, strict=True):
        if not (-_FLOAT32_MAX <= low < high <= _FLOAT32_MAX):
            raise ValueError(f"the action bounds {low} and {high} are not two finite numbers in ascending order")
    if not math.isfinite(model.policy.log_std_init):
        raise ValueError("log_std_init is not a finite number")
    parameters = _checked_parameters(model)
    native = None if model.native is None else dict(model.native)
    if native is not None:
        _check_json(native)
    return replace(
        model,
        parameters=parameters,
        optimizer=_checked_adam(model.optimizer, list(parameters.values()), model.hyperparameters.get("learning_rate")),
        hyperparameters=_checked_hyperparameters(model.hyperparameters),
        num_timesteps=checked_count("num_timesteps", model.num_timesteps),
        n_updates=checked_count("n_updates", model.n_updates),
        native=native,
    )


def _checked_tensor(name: str, value: object, shape: Sequence[int]) -> Tensor:
    """Return `value` on the CPU if it is a finite float32 tensor of this shape."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} is not a tensor")
    if value.shape != tuple(shape):
        raise ValueError(f"{name} has the shape {tuple(value.shape)} instead of {tuple(shape)}")
    if value.dtype != torch.float32:
        raise ValueError(f"{name} is {value.dtype}, not torch.float32")
    tensor = value.detach().to("cpu")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds infinite numbers or NaN")
    return tensor


def _checked_parameters(model: Sb3Model) -> dict[str, Tensor]:
    shapes = expected_shapes(model.policy, model.observation_dim, len(model.action_low))
    for name in shapes:
        if name not in model.parameters:
            raise ValueError(f"the parameter {name} is missing")
    for name in model.parameters:
        if name not in shapes:
            raise ValueError(f"the parameter {name!a:.80} does not belong to such a network")
    return {name: _checked_tensor(name, model.parameters[name], shape) for name, shape in shapes.items()}


def _checked_adam(
    optimizer: dict[str, Any] | None, parameters: Sequence[Tensor], learning_rate: float | None
) -> dict[str, Any]:
    """Return the state of a plain Adam that every version of torch and Stable-Baselines3 continues.

    The flags that choose an implementation (`fused`, `foreach`, `capturable`) are reset: with `capturable`, which
    CUDA graphs need, the first step on a CPU would fail.
    """
    defaults = {**_ADAM_DEFAULTS, **({} if learning_rate is None else {"lr": learning_rate})}
    optimizer = optimizer if optimizer is not None else {"state": {}, "param_groups": [defaults]}
    groups, state = optimizer.get("param_groups"), optimizer.get("state")
    if not isinstance(groups, list) or len(groups) != 1 or not isinstance(groups[0], dict):
        raise ValueError("the optimiser has not exactly one group of parameters")
    if not isinstance(state, dict) or set(state) not in (set(), set(range(len(parameters)))):
        raise ValueError("the optimiser has no state for some of the parameters")
    group = groups[0]
    order = group.get("params", list(range(len(parameters))))
    if not isinstance(order, list) or not all(type(i) is int for i in order) or order != list(range(len(parameters))):
        raise ValueError("the optimiser lists the parameters in another order")
    if any(group.get(name, False) is not False for name in ("amsgrad", "maximize", "decoupled_weight_decay")):
        raise ValueError("the optimiser is a variant of Adam (amsgrad, maximize or AdamW)")
    betas = group.get("betas", ())
    if not isinstance(betas, (list, tuple)) or len(betas) != 2:
        raise ValueError("the optimiser is not Adam")
    values = {name: as_float(f"the optimiser's {name}", group.get(name)) for name in ("lr", "eps", "weight_decay")}
    return {
        "state": {index: _checked_moments(index, state[index], parameters[index]) for index in sorted(state)},
        "param_groups": [
            {
                "lr": values["lr"],
                "betas": tuple(as_float("a beta of the optimiser", beta) for beta in betas),
                "eps": values["eps"],
                "weight_decay": values["weight_decay"],
                "amsgrad": False,
                "maximize": False,
                "foreach": None,
                "capturable": False,
                "differentiable": False,
                "fused": None,
                "decoupled_weight_decay": False,
                "params": list(range(len(parameters))),
            }
        ],
    }


def _checked_moments(index: int, moments: object, parameter: Tensor) -> dict[str, Tensor]:
    if not isinstance(moments, dict) or set(moments) != {"step", *_ADAM_MOMENTS}:
        raise ValueError(f"the optimiser's state of parameter {index} is not that of Adam")
    step = as_float(f"the optimiser's step of parameter {index}", moments["step"])
    result = {"step": torch.tensor(step, dtype=torch.float32)}
    for name in _ADAM_MOMENTS:
        result[name] = _checked_tensor(f"the optimiser's {name} of parameter {index}", moments[name], parameter.shape)
    if step < 0 or bool((result["exp_avg_sq"] < 0).any()):
        raise ValueError(f"the optimiser's state of parameter {index} is negative where it cannot be")
    return result


def as_float(name: str, value: object) -> float:
    """Return a finite number, which may be given as a tensor of one element; raises ValueError with `name`."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _FLOAT32_MAX:
        raise ValueError(f"{name} is not a finite number")
    return float(value)


def _checked_hyperparameters(given: Mapping[str, object]) -> dict[str, float | int | bool | None]:
    for name in given:
        if name not in HYPERPARAMETERS:
            raise ValueError(f"there is no hyper-parameter {name!a:.60}")
    return {name: _checked_hyperparameter(name, kind, given.get(name)) for name, kind in HYPERPARAMETERS.items()}


def _checked_hyperparameter(name: str, kind: type, value: object) -> float | int | bool | None:
    if value is None:
        return None
    if kind is int:
        return checked_count(name, value)
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is neither true nor false")
        return value
    # A max_grad_norm of infinity is a usual way to switch clipping off.
    if isinstance(value, float) and math.isinf(value):
        return value
    return as_float(name, value)


def checked_count(name: str, value: object) -> int:
    """Return `value` if it is a whole number that 64 bits hold; raises ValueError with `name` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(f"{name} is not a whole number from 0 to 2**63 - 1")
    return value


def _check_json(native: dict[str, Any]) -> None:
    # Stable-Baselines3 unpickles whatever stands under this key.
    if ":serialized:" in native:
        raise ValueError("the native facts hold the key ':serialized:'")
    try:
        json.dumps(native)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("the native facts are not JSON") from error
