"""Zips that are whole but say what cannot be, or hold weights that do not fit what they say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ppo.checkpoint.sb3_zip import CheckpointError, read_num_timesteps, read_zip, write_zip
from ppo.checkpoint.tensor_archive import load_tensors, save_tensors
from tests.ppo.checkpoint.checkpoint_models import (
    assert_refused,
    change_data,
    members_of,
    tiny_model,
    zip_bytes,
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"a":' * 90_000, "not JSON"),
        (b"[" * 150_000, "not JSON"),
        (b"[" + b"[]," * 3_000_000, "200000 values"),
        (b'{"num_timesteps": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_hostile_json_is_refused(path: Path, data: bytes, reason: str) -> None:
    path.write_bytes(zip_bytes({**members_of(path), "data": data}))
    assert_refused(path, reason)
    with pytest.raises(CheckpointError, match=reason):
        read_num_timesteps(path)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("policy_class", "MlpLstmPolicy", "policy_class is missing"),
        ("policy_class", {"__module__": "__main__"}, "its policy is __main__, not sb3_contrib's own"),
        (
            "policy_class",
            {"__module__": "mine", "__init__": "<function Net.__init__ at 0x0>"},
            "its policy is mine.Net, not sb3_contrib's own",
        ),
        ("policy_class", {"__module__": "a\x1b[1m" + "b" * 500}, "its policy is not sb3_contrib's own"),
        ("policy_class", {"__module__": ["list"]}, "its policy is not sb3_contrib's own"),
        ("use_sde", True, "use_sde"),
        ("policy_kwargs", None, "not an object"),
        ("policy_kwargs", {"activation_fn": "<class 'torch.nn.modules.activation.GELU'>"}, "none of ELU"),
        ("policy_kwargs", {"activation_fn": ["ELU"]}, "none of ELU"),
        ("policy_kwargs", {"features_extractor_class": "<class '__main__.Mine'>"}, "'features_extractor_class'"),
        ("policy_kwargs", {"squash_output": True}, "'squash_output'"),
        ("policy_kwargs", {"new\noption": 1}, r"'new\noption'"),
        ("policy_kwargs", {"log_std_init": "0"}, "log_std_init"),
        ("policy_kwargs", {"log_std_init": 10**400}, "log_std_init"),
        ("observation_space", {":type:": "<class 'gymnasium.spaces.dict.Dict'>"}, "not a Box"),
        ("action_space", None, "action_space is missing"),
        ("num_timesteps", "many", "num_timesteps"),
        ("num_timesteps", 2**70, "num_timesteps"),
        ("num_timesteps", True, "num_timesteps"),
        ("_n_updates", -1, "n_updates"),
        ("gamma", "0.9", "gamma"),
        ("gamma", float("nan"), "gamma"),
        ("gamma", 10**400, "gamma"),
        ("normalize_advantage", 1, "normalize_advantage"),
        ("biped_ppo_native", [1], "biped_ppo_native"),
        ("biped_ppo_native", {":serialized:": "x"}, ":serialized:"),
    ],
)
def test_wrong_facts_are_refused(path: Path, key: str, value: object, reason: str) -> None:
    change_data(path, lambda data: data.update({key: value}))
    assert_refused(path, reason)


@pytest.fixture
def with_features(tmp_path: Path) -> Path:
    """A whole checkpoint with an MLP in front of the LSTMs."""
    path = tmp_path / "features.zip"
    write_zip(path, tiny_model(lstm_hidden_size=4, features=(6, 3)))
    return path


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"share_features_extractor": False}, "do not share their features extractor"),
        ({"features_extractor_kwargs": {"x": 1}}, "'features_extractor_kwargs'"),
        ({"features_extractor_class": "functools.partial(<built-in function next>)"}, "'features_extractor_class'"),
        ({"features_extractor_class": ["a"]}, "'features_extractor_class'"),
        (
            {"features_extractor_class": "<class 'stable_baselines3.common.torch_layers.FlattenExtractor'>"},
            "flat vectors",
        ),
    ],
)
def test_wrong_facts_of_features_are_refused(with_features: Path, facts: dict[str, object], reason: str) -> None:
    change_data(with_features, lambda data: data["policy_kwargs"].update(facts))
    assert_refused(with_features, reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("pi_features_extractor.2.bias"), "'pi_features_extractor.2.bias' is missing"),
        (lambda state: state.pop("features_extractor.0.bias"), "'pi_features_extractor.0.bias' does not belong"),
        (lambda state: state["vf_features_extractor.0.bias"].add_(1.0), "not equal to the one"),
        (lambda state: state.update({"vf_features_extractor.0.bias": torch.zeros(5)}), "not equal to the one"),
        (lambda state: state.update({"vf_features_extractor.0.bias": torch.zeros(6).double()}), "not equal to the one"),
        (lambda state: state.update({"pi_features_extractor.4.bias": torch.zeros(1)}), "does not belong"),
        (
            lambda state: [state.pop(name) for name in list(state) if "features_extractor" in name],
            "no parameter features_extractor.0.weight",
        ),
        (
            lambda state: [state.update({name: torch.zeros(0)}) for name in list(state) if "extractor.2.bias" in name],
            "features must be from 1",
        ),
    ],
)
def test_wrong_weights_of_features_are_refused(
    with_features: Path, change: Callable[[dict[str, torch.Tensor]], object], reason: str
) -> None:
    state = load_tensors(members_of(with_features)["policy.pth"])
    change(state)
    with_features.write_bytes(zip_bytes({**members_of(with_features), "policy.pth": save_tensors(state)}))
    assert_refused(with_features, reason)


@pytest.mark.parametrize(
    ("space", "facts", "reason"),
    [
        ("observation_space", {"_shape": [6]}, "flat vectors"),
        ("observation_space", {"_shape": [5, 1]}, "flat vectors"),
        ("action_space", {"low": [-1.0]}, "as many upper as lower"),
        ("action_space", {"low": "[-1.]"}, "as many upper as lower"),
        ("action_space", {"low": "[-1. ...]"}, "not numbers"),
        ("action_space", {"low": None}, "does not tell the bounds"),
        ("action_space", {"high": [1.0, None]}, "not numbers"),
        ("action_space", {"high": [1.0, 10**400]}, "not numbers"),
        ("action_space", {"high": [1.0, float("inf")]}, "finite"),
        ("action_space", {"high": "[1. nan]"}, "finite"),
        ("action_space", {"high": [1.0, -2.0]}, "ascending"),
    ],
)
def test_wrong_spaces_are_refused(path: Path, space: str, facts: dict[str, object], reason: str) -> None:
    change_data(path, lambda data: data[space].update(facts))
    assert_refused(path, reason)


def test_bounds_as_numpy_prints_them_are_read(path: Path) -> None:
    change_data(path, lambda data: data["action_space"].update(low="[-1.e+00\n -5.e-01]", high="[1.        0.7853982]"))
    model = read_zip(path)
    assert model.action_low == (-1.0, -0.5)
    assert model.action_high == (1.0, 0.7853982)


@pytest.mark.parametrize(
    ("schedule", "value"),
    [
        ({"value_schedule": "ConstantSchedule(val=0.15)", ":serialized:": "x"}, 0.15),
        ({"value_schedule": "ConstantSchedule(val=1e-05)"}, 1e-5),
        ({"value_schedule": "LinearSchedule(start=0.2, end=0.1, end_fraction=1)"}, None),
        ({"value_schedule": "ConstantSchedule(val=__import__('os'))"}, None),
        ({"value_schedule": "ConstantSchedule(val=e-.)"}, None),
        ({":type:": "<class 'function'>"}, None),
        (None, None),
        (0.3, 0.3),
        (1, 1.0),
    ],
)
def test_schedules(path: Path, schedule: object, value: float | None) -> None:
    change_data(path, lambda data: data.update(clip_range=schedule))
    assert read_zip(path).hyperparameters["clip_range"] == value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.update(log_std=torch.tensor([torch.nan, 0.0])), "log_std holds infinite numbers or NaN"),
        (lambda state: state.update(log_std=torch.zeros(2, 2)), "log_std has the shape (2, 2)"),
        (lambda state: state.update(log_std=torch.zeros(2).double()), "log_std is torch.float64"),
        (lambda state: state.update(log_std=torch.zeros(0)), "log_std has the shape (0,)"),
        (lambda state: state.update({"lstm_actor.weight_hh_l0": torch.tensor(1.0)}), "lstm_actor.weight_hh_l0"),
        (lambda state: state.update({"lstm_actor.weight_hh_l0": torch.zeros(16, 0)}), "_size must be from 1"),
        (lambda state: state.pop("lstm_actor.weight_ih_l0"), "lstm_actor.weight_ih_l0"),
        (lambda state: state.pop("lstm_critic.bias_ih_l0"), "lstm_critic.bias_ih_l0 is missing"),
        (lambda state: state.update({"features_extractor.cnn.0.weight": torch.zeros(1)}), "does not belong"),
        (lambda state: state.update({"evil\n\x1b[2J": torch.zeros(1)}), "does not belong"),
        (lambda state: state.update({5: torch.zeros(1)}), "not a dict of parameters"),
        (lambda state: state.update(log_std=[0.0, 0.0]), "not a dict of parameters"),
    ],
)
def test_wrong_weights_are_refused(path: Path, change: Callable[[dict[Any, Any]], object], reason: str) -> None:
    state = dict(read_zip(path).parameters)
    change(state)
    path.write_bytes(zip_bytes({**members_of(path), "policy.pth": save_tensors(state)}))
    assert_refused(path, reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda optimizer: optimizer.clear(), "exactly one group"),
        (lambda optimizer: optimizer["param_groups"].append({}), "exactly one group"),
        (lambda optimizer: optimizer["param_groups"].__setitem__(0, 5), "exactly one group"),
        (lambda optimizer: optimizer["state"].pop(3), "no state for some"),
        (lambda optimizer: optimizer["state"].update(a={}), "no state for some"),
        (lambda optimizer: optimizer.update(state=[]), "no state for some"),
        (lambda optimizer: optimizer["state"].update({0: []}), "not that of Adam"),
        (lambda optimizer: optimizer["state"][0].update(exp_avg=1.0), "not a tensor"),
        (lambda optimizer: optimizer["state"][0].update(step=torch.zeros(2)), "not a finite number"),
        (lambda optimizer: optimizer["param_groups"][0].update(params=5), "another order"),
        (lambda optimizer: optimizer["param_groups"][0].update(params=[torch.zeros(2)] * 17), "another order"),
        (lambda optimizer: optimizer["param_groups"][0].update(amsgrad=torch.zeros(2)), "variant of Adam"),
        (lambda optimizer: optimizer["param_groups"][0].update(lr=torch.zeros(2)), "not a finite number"),
        (lambda optimizer: optimizer["param_groups"][0].update(betas=(0.9, torch.zeros(2))), "not a finite number"),
        (lambda optimizer: optimizer["param_groups"][0].update(eps=2**1000), "not a finite number"),
    ],
)
def test_wrong_moments_are_refused(path: Path, change: Callable[[dict[Any, Any]], object], reason: str) -> None:
    optimizer = read_zip(path).optimizer
    assert optimizer is not None
    change(optimizer)
    path.write_bytes(zip_bytes({**members_of(path), "policy.optimizer.pth": save_tensors(optimizer)}))
    assert_refused(path, reason)
