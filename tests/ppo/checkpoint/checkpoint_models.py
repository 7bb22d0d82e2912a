"""Small models and hand-made zips for the tests of the checkpoint format."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from ppo.checkpoint.sb3_zip import CheckpointError, Sb3Model, read_zip
from ppo.policy import PolicyConfig, RecurrentActorCritic

OBSERVATION_DIM = 5
ACTION_LOW = (-1.0, -0.5)
ACTION_HIGH = (1.0, 0.78539816)

HYPERPARAMETERS: dict[str, float | int | bool | None] = {
    "learning_rate": 2.5e-4,
    "clip_range": 0.15,
    "clip_range_vf": None,
    "n_steps": 16,
    "batch_size": 8,
    "n_epochs": 2,
    "gamma": 0.98,
    "gae_lambda": 0.9,
    "ent_coef": 0.001,
    "vf_coef": 0.7,
    "max_grad_norm": 0.4,
    "normalize_advantage": True,
    "target_kl": 0.05,
    "seed": 3,
}


def tiny_model(
    critic: Literal["lstm", "shared", "linear"] = "lstm",
    activation: Literal["elu", "relu", "tanh"] = "elu",
    n_lstm_layers: int = 1,
    *,
    lstm_hidden_size: int = 16,
    pi: tuple[int, ...] = (12, 8),
    vf: tuple[int, ...] = (10,),
    features: tuple[int, ...] = (),
    own_facts: Mapping[str, Any] | None = None,
    own_state: Mapping[str, Any] | None = None,
) -> Sb3Model:
    """Return a seeded model with Adam moments from seven steps, action means that reach the bounds, and own parts."""
    generator = torch.Generator().manual_seed(7)
    config = PolicyConfig(lstm_hidden_size, n_lstm_layers, pi, vf, features, activation, critic, log_std_init=-0.25)
    policy = RecurrentActorCritic(config, OBSERVATION_DIM, len(ACTION_LOW))
    parameters = {
        name: torch.randn(value.shape, generator=generator) * 0.6 for name, value in policy.state_dict().items()
    }
    state = {
        index: {
            "step": torch.tensor(7.0),
            "exp_avg": torch.randn(value.shape, generator=generator) * 1e-3,
            "exp_avg_sq": torch.rand(value.shape, generator=generator) * 1e-4,
        }
        for index, value in enumerate(parameters.values())
    }
    policy.load_state_dict(parameters)
    optimizer = torch.optim.Adam(policy.parameters(), lr=2.5e-4, eps=1e-5, weight_decay=0.0).state_dict()
    return Sb3Model(
        policy=config,
        observation_dim=OBSERVATION_DIM,
        action_low=ACTION_LOW,
        action_high=ACTION_HIGH,
        parameters=parameters,
        optimizer={**optimizer, "state": state},
        hyperparameters=HYPERPARAMETERS,
        num_timesteps=123_456,
        n_updates=77,
        own_facts=own_facts,
        own_state=own_state,
    )


def members_of(path: Path) -> dict[str, bytes]:
    """Return the members of a zip by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zip_bytes(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of `members`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def torch_file(pickle: bytes, storages: Mapping[str, bytes] | None = None) -> bytes:
    """Return a torch file with a hand-made pickle."""
    records = {f"archive/data/{key}": content for key, content in (storages or {}).items()}
    return zip_bytes({"archive/data.pkl": pickle, "archive/byteorder": b"little", "archive/version": b"3\n", **records})


def assert_same_tree(left: Any, right: Any) -> None:  # noqa: ANN401
    """Fail unless two trees of dicts, lists, tensors and plain values are equal in type, order and value."""
    assert type(left) is type(right)
    if isinstance(left, Tensor):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same_tree(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert_same_tree(a, b)
    else:
        assert left == right


def assert_same_model(left: Sb3Model, right: Sb3Model) -> None:
    """Fail unless two models are equal in every field."""
    for name in Sb3Model.__dataclass_fields__:
        assert_same_tree(getattr(left, name), getattr(right, name))


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def assert_refused(path: Path, reason: str = "") -> None:
    """Fail unless reading ends in a CheckpointError of one line with the file, the reason and a remedy."""
    with pytest.raises(CheckpointError) as raised:
        read_zip(path)
    message = str(raised.value)
    assert message.startswith(f"cannot read {path}: ")
    assert reason in message
    assert message.isprintable()
    assert "; ch" in message, "the remedy: choose, or check"


def change_data(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrite the JSON of a checkpoint."""
    members = members_of(path)
    data = json.loads(members["data"])
    change(data)
    path.write_bytes(zip_bytes({**members, "data": json.dumps(data).encode()}))
