"""The rules that a checkpoint must obey to mean anything."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ppo.checkpoint.parameters import expected_shapes
from ppo.checkpoint.sb3_model import HYPERPARAMETERS, Sb3Model

_ADAM_DEFAULTS = {"lr": 3e-4, "betas": (0.9, 0.999), "eps": 1e-5, "weight_decay": 0.0}
_ADAM_MOMENTS = ("exp_avg", "exp_avg_sq")
_FLOAT32_MAX = torch.finfo(torch.float32).max


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
    parameters = _checked_parameters(model)
    own_facts = None if model.own_facts is None else dict(model.own_facts)
    if own_facts is not None:
        _check_json(own_facts)
    return replace(
        model,
        parameters=parameters,
        optimizer=_checked_adam(model.optimizer, list(parameters.values()), model.hyperparameters.get("learning_rate")),
        hyperparameters=_checked_hyperparameters(model.hyperparameters),
        num_timesteps=checked_count("num_timesteps", model.num_timesteps),
        n_updates=checked_count("n_updates", model.n_updates),
        own_facts=own_facts,
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


def _check_json(own_facts: dict[str, Any]) -> None:
    # Stable-Baselines3 unpickles whatever stands under this key.
    if ":serialized:" in own_facts:
        raise ValueError("our own facts hold the key ':serialized:'")
    try:
        json.dumps(own_facts)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("our own facts are not JSON") from error
