"""The member `data` of a Stable-Baselines3 zip: JSON, in which some entries carry a pickle beside their plain facts.

Written here are the keys that `RecurrentPPO.load` needs and the plain numbers that it takes over. Read here are plain
facts only; the pickles beside them are never looked at.
"""

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ppo.checkpoint.checks import as_float
from ppo.checkpoint.inert_pickle import (
    ACTIVATIONS,
    ARRAY,
    BOX,
    DEEPCOPY,
    ITER,
    LINEAR,
    NEXT,
    PARTIAL,
    POLICY_CLASS,
    SEQUENTIAL,
    Call,
    Global,
    Value,
    dumps,
)
from ppo.checkpoint.sb3_model import HYPERPARAMETERS, Sb3Model
from ppo.policy import PolicyConfig

OWN_FACTS_KEY = "biped_ppo_native"
"""Key of our own JSON facts, the same in all files; Stable-Baselines3 keeps keys that it does not know."""
PICKLE_KEY = ":serialized:"
"""Key under which an entry holds its pickle, in base64."""
MAX_JSON_VALUES = 200_000
"""Most values in `data`; a genuine file has a few hundred, however many environments it was trained with."""

# Where None is a value of its own. Elsewhere it stands for "unknown" and Stable-Baselines3's default takes its place.
_MAY_BE_NULL = ("clip_range_vf", "target_kl", "seed")
_BOX_TYPES = ("<class 'gymnasium.spaces.box.Box'>", "<class 'gym.spaces.box.Box'>")
_ACTIVATION_FACTS: Mapping[str, Literal["elu", "relu", "tanh"]] = {
    "<class 'torch.nn.modules.activation.ELU'>": "elu",
    "<class 'torch.nn.modules.activation.ReLU'>": "relu",
    "<class 'torch.nn.modules.activation.Tanh'>": "tanh",
}
# What `str` makes of the result of `_features_extractor`, which Stable-Baselines3 writes when it saves the model again.
_FEATURES_FACT = "functools.partial(<built-in function next>, <callable_iterator object at 0x0>)"
_FEATURES_PATTERN = re.compile(re.escape(_FEATURES_FACT).replace("0x0", "0x[0-9A-Fa-f]{1,16}"))
_ALGORITHMS = {
    "stable_baselines3.dqn.policies": "DQN",
    "stable_baselines3.sac.policies": "SAC",
    "stable_baselines3.td3.policies": "TD3 or DDPG",
    "sb3_contrib.ars.policies": "ARS",
    "sb3_contrib.common.maskable.policies": "MaskablePPO",
    "sb3_contrib.crossq.policies": "CrossQ",
    "sb3_contrib.qrdqn.policies": "QR-DQN",
    "sb3_contrib.tqc.policies": "TQC",
}
"""Other algorithms by the module of their policies; PPO, A2C and TRPO share one."""
_CLASS_NAME = re.compile(r"<function (\w{1,40})\.__init__ at ", re.ASCII)
_DOTTED_NAME = re.compile(r"[\w.]{1,120}", re.ASCII)
_TOLD_BY_THE_WEIGHTS = frozenset({"net_arch", "lstm_hidden_size", "n_lstm_layers", "enable_critic_lstm", "shared_lstm"})
_ONLY_FOR_A_NEW_NETWORK = frozenset({"ortho_init", "optimizer_kwargs", "normalize_images", "share_features_extractor"})
_ONLY_FOR_STATE_DEPENDENT_EXPLORATION = frozenset({"full_std", "use_expln"})
_ONLY_THESE_VALUES: Mapping[str, tuple[object, ...]] = {
    "use_sde": (False,),
    "squash_output": (False,),
    "lstm_kwargs": (None, {}),
    "features_extractor_class": ("<class 'stable_baselines3.common.torch_layers.FlattenExtractor'>",),
    "features_extractor_kwargs": (None, {}),
    "optimizer_class": ("<class 'torch.optim.adam.Adam'>",),
}


@dataclass(frozen=True)
class Facts:
    """What `data` says that the weights do not."""

    activation: Literal["elu", "relu", "tanh"]
    log_std_init: float
    features: bool
    """Whether an MLP as `PolicyConfig.features` describes stands in front of the LSTMs."""
    observation_shape: list[int] | None
    """None where the file does not tell."""
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    hyperparameters: dict[str, Any]
    """Values of unchecked type for every name in `HYPERPARAMETERS`."""
    num_timesteps: Any
    n_updates: Any
    own_facts: dict[str, Any] | None


def pickled_values(model: Sb3Model) -> dict[str, Value]:
    """Return what Stable-Baselines3 unpickles of `model`, by its key in `data`."""
    low, high = (
        Call(ARRAY, ([float(bound) for bound in bounds], "float32")) for bounds in (model.action_low, model.action_high)
    )
    return {
        "policy_class": POLICY_CLASS,
        "policy_kwargs": _policy_kwargs(
            model.policy, ACTIVATIONS[model.policy.activation], _features_extractor(model.policy, model.observation_dim)
        ),
        "observation_space": Call(BOX, (-math.inf, math.inf, (model.observation_dim,), "float32")),
        "action_space": Call(BOX, (low, high, (len(model.action_low),), "float32")),
    }


def _plain_facts(model: Sb3Model) -> dict[str, dict[str, Any]]:
    """Return the same as `pickled_values` in JSON, in the words of Stable-Baselines3."""
    activation = next(fact for fact, name in _ACTIVATION_FACTS.items() if name == model.policy.activation)
    box = {":type:": _BOX_TYPES[0], "dtype": "float32"}
    return {
        "policy_class": {":type:": "<class 'abc.ABCMeta'>", "__module__": POLICY_CLASS.module},
        "policy_kwargs": {":type:": "<class 'dict'>", **_policy_kwargs(model.policy, activation, _FEATURES_FACT)},
        "observation_space": {**box, "_shape": [model.observation_dim], "low_repr": "-inf", "high_repr": "inf"},
        "action_space": {
            **box,
            "_shape": [len(model.action_low)],
            "low": list(model.action_low),
            "high": list(model.action_high),
        },
    }


def _features_extractor(policy: PolicyConfig, observation_dim: int) -> Value:
    """Return what Stable-Baselines3 calls, with the observation space as argument, to make a features extractor.

    A class of ours would have to be installed wherever the file is loaded. `next(iterator, default)`, with the
    observation space as the default that is never needed, is there already; the iterator gives copies of a module
    without end, so that policies made from the same arguments share no weights.
    """
    layers: list[Value] = []
    inputs = observation_dim
    for width in policy.features:
        layers += [Call(LINEAR, (inputs, width)), Call(ACTIVATIONS[policy.activation], ())]
        inputs = width
    module = Call(SEQUENTIAL, tuple(layers), {"features_dim": inputs})
    # The iterator ends before a copy that equals its second argument, which a module never does.
    copies = Call(ITER, (Call(PARTIAL, (DEEPCOPY, module)), 0))
    return Call(PARTIAL, (NEXT, copies))


def _policy_kwargs(policy: PolicyConfig, activation: Global | str, features_extractor: Value) -> dict[str, Value]:
    return {
        "activation_fn": activation,
        "net_arch": {"pi": list(policy.pi), "vf": list(policy.vf)},
        "lstm_hidden_size": policy.lstm_hidden_size,
        "n_lstm_layers": policy.n_lstm_layers,
        "enable_critic_lstm": policy.critic == "lstm",
        "shared_lstm": policy.critic == "shared",
        "log_std_init": float(policy.log_std_init),
        **({"features_extractor_class": features_extractor} if policy.features else {}),
    }


def encode_data(model: Sb3Model) -> bytes:
    """Return the member `data` of a checked `model`."""
    values = pickled_values(model)
    data: dict[str, Any] = {
        key: {**facts, PICKLE_KEY: base64.b64encode(dumps(values[key])).decode()}
        for key, facts in _plain_facts(model).items()
    }
    # With the true number of environments Stable-Baselines3 would allocate its rollout buffer for them at load, and
    # `set_env` would demand exactly as many.
    data |= {"n_envs": 1, "verbose": 0, "num_timesteps": model.num_timesteps, "_n_updates": model.n_updates}
    for name, value in model.hyperparameters.items():
        if value is not None or name in _MAY_BE_NULL:
            data[name] = value
    if model.own_facts is not None:
        data[OWN_FACTS_KEY] = model.own_facts
    return json.dumps(data, indent=4).encode()


def parse_json(text: bytes) -> dict[str, Any]:
    """Return the object that the JSON `text` holds.

    Raises:
        ValueError: it is not an object, or it holds more than `MAX_JSON_VALUES` values.
    """
    if sum(text.count(mark) for mark in (b"[", b"{", b",")) > MAX_JSON_VALUES:
        raise ValueError(f"its data holds more than {MAX_JSON_VALUES} values")
    try:
        data = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError("its data is not JSON") from error
    if not isinstance(data, dict):
        raise ValueError("its data is not a JSON object")
    return data


def decode_data(data: Mapping[str, Any]) -> Facts:
    """Read the plain facts in the parsed member `data`.

    Raises:
        ValueError: the model needs something that an LSTM policy here does not have, or a fact is malformed.
    """
    policy_class = _entry(data, "policy_class")
    if policy_class.get("__module__") != POLICY_CLASS.module:
        raise ValueError(_describe_other_policy(policy_class, data))
    if data.get("use_sde") not in (None, False):
        raise ValueError("it uses state-dependent exploration (use_sde), which is not supported")
    activation, log_std_init, features = _policy_arguments(data.get("policy_kwargs", {}))
    observation_space, action_space = (_box(data, f"{kind}_space") for kind in ("observation", "action"))
    own_facts = data.get(OWN_FACTS_KEY)
    if own_facts is not None and not isinstance(own_facts, dict):
        raise ValueError(f"{OWN_FACTS_KEY} in its data is not an object")
    return Facts(
        activation=activation,
        log_std_init=log_std_init,
        features=features,
        observation_shape=observation_space.get("_shape"),
        action_low=_bounds(action_space, "low"),
        action_high=_bounds(action_space, "high"),
        hyperparameters={name: _constant(data.get(name)) for name in HYPERPARAMETERS},
        num_timesteps=data.get("num_timesteps", 0),
        n_updates=data.get("_n_updates", 0),
        own_facts=own_facts,
    )


def _describe_other_policy(policy_class: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Say of which algorithm a model is, in words of the file only as far as they are names."""
    module = str(policy_class.get("__module__"))
    # What `str` makes of a method names the class, and Stable-Baselines3 writes that of all of them.
    match = _CLASS_NAME.match(str(policy_class.get("__init__")))
    policy = f"{module}.{match[1]}" if match else module
    if not _DOTTED_NAME.fullmatch(policy):
        return "its policy is not sb3_contrib's own LSTM policy"
    if module == "stable_baselines3.common.policies":
        algorithm = "PPO" if "clip_range" in data else "TRPO" if "cg_max_steps" in data else "A2C"
    else:
        algorithm = _ALGORITHMS.get(module, "")
    if not algorithm:
        return f"its policy is {policy}, not sb3_contrib's own LSTM policy"
    return f"it is a model of {algorithm} ({policy}), not of RecurrentPPO"


def _entry(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    entry = data.get(key)
    if not isinstance(entry, dict):
        raise ValueError(f"{key} is missing from its data")
    return entry


def _policy_arguments(arguments: object) -> tuple[Literal["elu", "relu", "tanh"], float, bool]:
    """Return activation, log_std_init and whether there are features; refuse what would change the network."""
    if not isinstance(arguments, dict):
        raise ValueError("policy_kwargs in its data is not an object")
    features = _FEATURES_PATTERN.fullmatch(str(arguments.get("features_extractor_class"))) is not None
    if features and arguments.get("share_features_extractor", True) is not True:
        raise ValueError("its actor and critic do not share their features extractor, which is not supported")
    harmless = _TOLD_BY_THE_WEIGHTS | _ONLY_FOR_A_NEW_NETWORK | _ONLY_FOR_STATE_DEPENDENT_EXPLORATION
    for name, value in arguments.items():
        if name in harmless or name in (":type:", PICKLE_KEY, "activation_fn", "log_std_init"):
            continue
        if name == "features_extractor_class" and features:
            continue
        if name not in _ONLY_THESE_VALUES or value not in _ONLY_THESE_VALUES[name]:
            raise ValueError(f"its policy was made with {name!a:.60}, which is not supported")
    activation = arguments.get("activation_fn", "<class 'torch.nn.modules.activation.Tanh'>")
    if not isinstance(activation, str) or activation not in _ACTIVATION_FACTS:
        raise ValueError(f"its activation {activation!a:.80} is none of ELU, ReLU and Tanh")
    log_std_init = as_float("log_std_init in its data", arguments.get("log_std_init", 0.0))
    return _ACTIVATION_FACTS[activation], log_std_init, features


def _box(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    space = _entry(data, key)
    if space.get(":type:") not in _BOX_TYPES:
        raise ValueError(f"its {key} is {space.get(':type:')!a:.80}, not a Box")
    return space


def _bounds(space: Mapping[str, Any], name: str) -> tuple[float, ...]:
    """Return `A` bounds from a list of numbers or from what `str` makes of a numpy array."""
    bounds = space.get(name)
    if isinstance(bounds, str):
        bounds = bounds.removeprefix("[").removesuffix("]").split()
    if not isinstance(bounds, list):
        raise ValueError(f"its action_space does not tell the bounds {name!r}")
    try:
        return tuple(float(bound) for bound in bounds)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"the bounds {name!r} of its action_space are not numbers") from error


def _constant(value: object) -> object:
    """Return a plain number as it is, and the number in a constant schedule; None for every other schedule."""
    if not isinstance(value, dict):
        return value
    match = re.fullmatch(r"ConstantSchedule\(val=([-+.0-9e]{1,30})\)", str(value.get("value_schedule")))
    try:
        return float(match[1]) if match else None
    except ValueError:
        return None
