"""The checkpoint format: round trips, determinism, and what is refused when writing."""

import base64
import dataclasses
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from ppo.checkpoint.sb3_zip import CheckpointError, Sb3Model, expected_shapes, read_num_timesteps, read_zip, write_zip
from ppo.checkpoint.tensor_archive import load_tensors
from ppo.policy import PolicyConfig, RecurrentActorCritic
from tests.ppo.checkpoint.checkpoint_models import assert_same_model, members_of, tiny_model

ROOT = Path(__file__).parents[3]
OWN_FACTS = {"version": 1, "nested": {"list": [1, 2.5, None, "x"]}}
OWN_STATE = {"hidden": torch.ones(1, 3, 16), "generator": torch.arange(8, dtype=torch.uint8), "count": [1, ("a", 2)]}


@pytest.mark.parametrize("critic", ["lstm", "shared", "linear"])
@pytest.mark.parametrize("activation", ["elu", "relu", "tanh"])
@pytest.mark.parametrize("n_lstm_layers", [1, 2])
def test_round_trip_is_exact(
    tmp_path: Path,
    critic: Literal["lstm", "shared", "linear"],
    activation: Literal["elu", "relu", "tanh"],
    n_lstm_layers: int,
) -> None:
    model = tiny_model(critic, activation, n_lstm_layers, own_facts=OWN_FACTS, own_state=OWN_STATE)
    write_zip(tmp_path / "m.zip", model)
    assert_same_model(read_zip(tmp_path / "m.zip"), model)
    assert read_num_timesteps(tmp_path / "m.zip") == 123_456


@pytest.mark.parametrize(
    ("pi", "vf", "features"),
    [((), (), ()), ((4,), (), ()), ((), (3, 3, 3, 3), ()), ((), (), (9, 6, 4)), ((4,), (), (5,)), ((), (), (1,))],
)
@pytest.mark.parametrize("critic", ["lstm", "shared", "linear"])
def test_round_trip_of_unusual_networks(
    tmp_path: Path,
    critic: Literal["lstm", "shared", "linear"],
    pi: tuple[int, ...],
    vf: tuple[int, ...],
    features: tuple[int, ...],
) -> None:
    model = tiny_model(critic, pi=pi, vf=vf, features=features, lstm_hidden_size=1)
    write_zip(tmp_path / "m.zip", model)
    assert_same_model(read_zip(tmp_path / "m.zip"), model)


def test_mlp_in_front_has_three_names(tmp_path: Path) -> None:
    model = tiny_model(features=(6, 4))
    write_zip(tmp_path / "m.zip", model)
    written = load_tensors(members_of(tmp_path / "m.zip")["policy.pth"])
    layers = [f"features_extractor.{index}.{kind}" for index in (0, 2) for kind in ("weight", "bias")]
    aliases = [f"{prefix}_{name}" for prefix in ("pi", "vf") for name in layers]
    assert list(written) == ["log_std", *layers, *aliases, *list(model.parameters)[5:]]
    for name in layers:
        assert torch.equal(written[f"pi_{name}"], model.parameters[name])
        assert torch.equal(written[f"vf_{name}"], model.parameters[name])


def test_without_an_mlp_in_front_nothing_tells_of_one(tmp_path: Path) -> None:
    model = tiny_model()
    write_zip(tmp_path / "m.zip", model)
    members = members_of(tmp_path / "m.zip")
    assert list(load_tensors(members["policy.pth"])) == list(model.parameters)
    assert b"features" not in base64.b64decode(json.loads(members["data"])["policy_kwargs"][":serialized:"])
    assert b"features" not in members["data"]


@pytest.mark.parametrize("critic", ["lstm", "shared", "linear"])
@pytest.mark.parametrize("features", [(), (9, 3)])
def test_expected_shapes_are_those_of_the_policy(
    critic: Literal["lstm", "shared", "linear"], features: tuple[int, ...]
) -> None:
    config = PolicyConfig(8, 2, (6, 5), (4,), features, critic=critic)
    state = RecurrentActorCritic(config, 7, 3).state_dict()
    shapes = expected_shapes(config, 7, 3)
    assert list(shapes.items()) == [(name, tuple(value.shape)) for name, value in state.items()]


def test_expected_shapes_of_the_default_network() -> None:
    counts = {
        critic: sum(torch.Size(shape).numel() for shape in expected_shapes(PolicyConfig(critic=critic), 38, 9).values())
        for critic in ("lstm", "shared", "linear")
    }
    assert counts == {"lstm": 7_318_547, "shared": 4_086_803, "linear": 4_106_771}


def test_equal_models_give_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def model() -> Sb3Model:
        return tiny_model(own_facts=json.loads(json.dumps(OWN_FACTS)), own_state=dict(OWN_STATE))

    write_zip(tmp_path / "a.zip", model())
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_zip(tmp_path / "b.zip", model())
    write_zip(tmp_path / "c.zip", read_zip(tmp_path / "a.zip"))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "c.zip").read_bytes()


def test_members_and_plain_facts(tmp_path: Path) -> None:
    write_zip(tmp_path / "m.zip", tiny_model(own_facts=OWN_FACTS, own_state=OWN_STATE))
    members = members_of(tmp_path / "m.zip")
    assert list(members) == [
        *("data", "policy.pth", "policy.optimizer.pth", "native_state.pt", "_stable_baselines3_version"),
    ]
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
    data = json.loads(members["data"])
    pickled = [key for key, value in data.items() if isinstance(value, dict) and ":serialized:" in value]
    assert pickled == ["policy_class", "policy_kwargs", "observation_space", "action_space"]
    assert data["n_envs"] == 1
    assert data["biped_ppo_native"] == OWN_FACTS
    assert data["clip_range"] == 0.15
    assert data["clip_range_vf"] is None


def test_unknown_hyperparameters_are_left_to_the_defaults(tmp_path: Path) -> None:
    write_zip(tmp_path / "m.zip", replace(tiny_model(), hyperparameters={"gamma": 0.5}))
    data = json.loads(members_of(tmp_path / "m.zip")["data"])
    assert "clip_range" not in data
    assert data["gamma"] == 0.5
    hyperparameters = read_zip(tmp_path / "m.zip").hyperparameters
    assert hyperparameters["gamma"] == 0.5
    assert hyperparameters["clip_range"] is None


@pytest.mark.parametrize("empty", [True, False])
def test_without_optimizer(tmp_path: Path, empty: bool) -> None:
    model = tiny_model()
    optimizer = {"state": {}, "param_groups": (model.optimizer or {})["param_groups"]} if empty else None
    write_zip(tmp_path / "m.zip", replace(model, optimizer=optimizer))
    read = read_zip(tmp_path / "m.zip")
    assert read.optimizer is not None
    assert read.optimizer["state"] == {}
    group = read.optimizer["param_groups"][0]
    assert group["lr"] == 2.5e-4
    assert group["eps"] == 1e-5
    assert group["params"] == list(range(len(model.parameters)))


def test_optimizer_of_a_captured_graph_becomes_plain(tmp_path: Path) -> None:
    model = tiny_model()
    assert model.optimizer is not None
    group = {
        **model.optimizer["param_groups"][0],
        **{"capturable": True, "fused": True, "lr": torch.tensor(1e-3), "betas": [0.8, 0.99], "initial_lr": 1.0},
    }
    write_zip(tmp_path / "m.zip", replace(model, optimizer={**model.optimizer, "param_groups": [group]}))
    read = read_zip(tmp_path / "m.zip").optimizer
    assert read is not None
    written = read["param_groups"][0]
    assert (written["capturable"], written["fused"], written["foreach"]) == (False, None, None)
    assert written["lr"] == pytest.approx(1e-3)
    assert type(written["lr"]) is float
    assert written["betas"] == (0.8, 0.99)
    assert "initial_lr" not in written


def test_parameters_are_stored_in_order_and_alone(tmp_path: Path) -> None:
    model = tiny_model()
    flat = torch.cat([value.flatten() for value in model.parameters.values()])
    views, start = {}, 0
    for name, value in model.parameters.items():
        views[name] = flat[start : start + value.numel()].view(value.shape).requires_grad_()
        start += value.numel()
    write_zip(tmp_path / "plain.zip", model)
    write_zip(tmp_path / "views.zip", replace(model, parameters=dict(reversed(views.items()))))
    assert (tmp_path / "plain.zip").read_bytes() == (tmp_path / "views.zip").read_bytes()


def _with_parameter(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Sb3Model], Sb3Model]:
    def apply(model: Sb3Model) -> Sb3Model:
        return replace(model, parameters={**model.parameters, name: change(model.parameters[name])})

    return apply


def _with_moment(index: int, **moments: torch.Tensor) -> Callable[[Sb3Model], Sb3Model]:
    def apply(model: Sb3Model) -> Sb3Model:
        assert model.optimizer is not None
        state = {**model.optimizer["state"], index: {**model.optimizer["state"][index], **moments}}
        return replace(model, optimizer={**model.optimizer, "state": state})

    return apply


def _with_group(**values: Any) -> Callable[[Sb3Model], Sb3Model]:  # noqa: ANN401
    def apply(model: Sb3Model) -> Sb3Model:
        assert model.optimizer is not None
        group = {**model.optimizer["param_groups"][0], **values}
        return replace(model, optimizer={**model.optimizer, "param_groups": [group]})

    return apply


def _with(**values: Any) -> Callable[[Sb3Model], Sb3Model]:  # noqa: ANN401
    return lambda model: replace(model, **values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with_parameter("log_std", lambda value: value * torch.nan), "log_std holds infinite numbers or NaN"),
        (_with_parameter("log_std", lambda value: value.double()), "log_std is torch.float64"),
        (_with_parameter("value_net.bias", lambda value: torch.zeros(2)), r"value_net.bias has the shape \(2,\)"),
        (lambda model: replace(model, parameters={}), "the parameter log_std is missing"),
        (_with_parameter("log_std", lambda value: [0.0, 0.0]), "log_std is not a tensor"),  # type: ignore[return-value, arg-type]
        (
            lambda model: replace(model, parameters={"_orig_mod.x": torch.zeros(1), **model.parameters}),
            "'_orig_mod.x' does not belong",
        ),
        (_with_moment(0, exp_avg=torch.zeros(3)), r"exp_avg of parameter 0 has the shape \(3,\)"),
        (_with_moment(0, exp_avg_sq=torch.tensor([-1.0, 1.0])), "negative"),
        (_with_moment(0, step=torch.tensor(-1.0)), "negative"),
        (_with_moment(0, step=torch.tensor(torch.nan)), "not a finite number"),
        (_with_moment(0, max_exp_avg_sq=torch.zeros(2)), "not that of Adam"),
        (_with(optimizer={"state": {}}), "one group"),
        (_with(optimizer={"state": {0: {}}, "param_groups": [{}]}), "no state for some"),
        (_with_group(params=[1, 0]), "another order"),
        (_with_group(amsgrad=True), "variant of Adam"),
        (_with_group(betas=None), "not Adam"),
        (_with_group(lr="fast"), "lr is not a finite number"),
        (_with(action_low=(-1.0,)), "as many upper as lower"),
        (_with(action_low=(2.0, -1.0)), "ascending order"),
        (_with(action_low=(-1.0, float("-inf"))), "finite"),
        (_with(action_low=(), action_high=()), "no elements"),
        (_with(hyperparameters={"gama": 0.9}), "no hyper-parameter 'gama'"),
        (_with(hyperparameters={"gamma": float("nan")}), "gamma is not a finite number"),
        (_with(hyperparameters={"n_steps": 1.5}), "n_steps is not a whole number"),
        (_with(hyperparameters={"normalize_advantage": 1}), "neither true nor false"),
        (_with(num_timesteps=-1), "num_timesteps"),
        (_with(n_updates=True), "n_updates"),
        (_with(own_facts={"x": torch.zeros(1)}), "not JSON"),
        (_with(own_facts={":serialized:": "x"}), ":serialized:"),
        (_with(own_state={"x": object()}), "native_state.pt"),
        (_with(own_facts={"x": [0] * 300_000}), "200000 values"),
    ],
)
def test_contradictions_are_not_written(tmp_path: Path, change: Callable[[Sb3Model], Sb3Model], message: str) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(b"old")
    with pytest.raises(CheckpointError, match=message) as raised:
        write_zip(path, change(tiny_model()))
    assert str(raised.value).startswith(f"cannot write {path}: ")
    assert path.read_bytes() == b"old"


def test_writing_into_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_zip(tmp_path / "missing" / "m.zip", tiny_model())


def test_infinite_max_grad_norm_is_kept(tmp_path: Path) -> None:
    write_zip(tmp_path / "m.zip", replace(tiny_model(), hyperparameters={"max_grad_norm": float("inf")}))
    assert read_zip(tmp_path / "m.zip").hyperparameters["max_grad_norm"] == float("inf")


def test_writing_and_reading_need_no_other_library(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "for name in ('stable_baselines3', 'sb3_contrib', 'gymnasium', 'gym', 'cloudpickle', 'genesis'):\n"
        "    sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from ppo.checkpoint.sb3_zip import read_zip, write_zip\n"
        "from tests.ppo.checkpoint.checkpoint_models import tiny_model, assert_same_model\n"
        "model = tiny_model()\n"
        "write_zip(Path(sys.argv[1]), model)\n"
        "assert_same_model(read_zip(Path(sys.argv[1])), model)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "m.zip")], cwd=ROOT, check=True)
    assert (tmp_path / "m.zip").is_file()


def test_model_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_model().num_timesteps = 0  # type: ignore[misc]
