"""Checkpoints in the zip format of Stable-Baselines3, written without it and read without unpickling anything.

`write_zip` makes a file that `sb3_contrib.RecurrentPPO.load` (2.0 to 2.9) opens and trains on; `read_zip` opens such
files, genuine ones and ours. The members of the zip:

    data                         JSON: policy, spaces, hyper-parameters, counters, and our own facts (`sb3_data.py`)
    policy.pth                   parameters by name, a torch file
    policy.optimizer.pth         `state_dict` of Adam, a torch file
    native_state.pt              our own tensors, a torch file; Stable-Baselines3 ignores it
    _stable_baselines3_version   a note for people

`python -m ppo.checkpoint inspect FILE` describes a file; `export IN OUT` strips what is our own.
"""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from ppo.checkpoint.atomic import atomic_write
from ppo.checkpoint.checks import checked, checked_count
from ppo.checkpoint.parameters import expected_shapes, infer_policy, with_aliases, without_aliases
from ppo.checkpoint.sb3_data import decode_data, encode_data, parse_json
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.checkpoint.stored_zip import StoredZip
from ppo.checkpoint.tensor_archive import Tree, load_tensors, save_tensors

__all__ = ["CheckpointError", "Sb3Model", "expected_shapes", "read_num_timesteps", "read_zip", "write_zip"]

OWN_STATE_MEMBER = "native_state.pt"
"""Member with our own tensors, the same in all files."""
MAX_FILE_BYTES = 4 * 2**30
"""Largest checkpoint; the default network with its optimiser takes 88 MB."""
MAX_DATA_BYTES = 256 * 2**20
"""Largest member `data`; some versions of Stable-Baselines3 keep the recurrent states of all environments in it."""

T = TypeVar("T")


def write_zip(path: Path, model: Sb3Model) -> None:
    """Write `model` to `path` in one atomic step; equal models give equal bytes.

    Raises:
        CheckpointError: the model contradicts itself, is not finite or is too large.
        OSError: the file cannot be written; whatever was at `path` is still there.
    """
    try:
        members = _encode(checked(model))
    except ValueError as error:
        raise CheckpointError(f"cannot write {path}: {error}; continue from an earlier checkpoint") from error
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            # Without a date of its own a member gets the clock's, and equal models would differ.
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


def _encode(model: Sb3Model) -> dict[str, bytes]:
    """Return the members of a checked `model`, in their order in the zip."""
    members = {
        "data": encode_data(model),
        "policy.pth": save_tensors(with_aliases(model.parameters)),
        "policy.optimizer.pth": save_tensors(model.optimizer),
    }
    if model.own_state is not None:
        members[OWN_STATE_MEMBER] = _named(OWN_STATE_MEMBER, save_tensors, model.own_state)
    members["_stable_baselines3_version"] = b"written by biped-ppo for Stable-Baselines3 2.0 and newer"
    # What is written must be within the limits of what is read.
    parse_json(members["data"])
    if len(members["data"]) > MAX_DATA_BYTES or sum(map(len, members.values())) > MAX_FILE_BYTES - 4096:
        raise ValueError("it is too large")
    return members


def read_zip(path: Path) -> Sb3Model:
    """Read a checkpoint of Stable-Baselines3's recurrent PPO, or of ours. Nothing in it is executed.

    The network's shape is taken from the weights, everything else from plain JSON. Memory is bounded by a small
    multiple of the file's size. Action bounds of files that Stable-Baselines3 wrote are exact to eight digits.

    Raises:
        CheckpointError: the file is unreadable, damaged or hostile, or needs what an LSTM policy here does not have.
    """
    with open_members(path) as members:
        return _decode(members)


def read_num_timesteps(path: Path) -> int:
    """Return the environment steps of a checkpoint without reading its weights; raises CheckpointError."""
    with open_members(path) as members:
        data = parse_json(members.read("data", MAX_DATA_BYTES))
        return checked_count("num_timesteps", data.get("num_timesteps", 0))


@contextmanager
def open_members(path: Path) -> Iterator[StoredZip]:
    """Open the zip `path`; an OSError or ValueError in the block, too, becomes a CheckpointError naming the file."""
    try:
        if not path.is_file():
            raise ValueError("it is not a file")
        with path.open("rb") as file:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
            yield StoredZip(file)
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror or error}; check the path and its permissions"
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"cannot read {path}: {error}; choose another checkpoint, or save this one again where it was made"
        ) from error


def _decode(members: StoredZip) -> Sb3Model:
    parameters = _named("policy.pth", load_tensors, members.read("policy.pth"))
    if not isinstance(parameters, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in parameters.items()
    ):
        raise ValueError("policy.pth is not a dict of parameters")
    optimizer = None
    if "policy.optimizer.pth" in members.sizes:
        optimizer = _named("policy.optimizer.pth", load_tensors, members.read("policy.optimizer.pth"))
        if not isinstance(optimizer, dict):
            raise ValueError("policy.optimizer.pth is not a dict")
    own_state = None
    if OWN_STATE_MEMBER in members.sizes:
        own_state = _named(OWN_STATE_MEMBER, load_tensors, members.read(OWN_STATE_MEMBER))
        if not isinstance(own_state, dict):
            raise ValueError(f"{OWN_STATE_MEMBER} is not a dict")
    facts = decode_data(parse_json(members.read("data", MAX_DATA_BYTES)))
    if facts.features:
        parameters = without_aliases(parameters)
    policy, observation_dim = infer_policy(parameters, facts.activation, facts.log_std_init, features=facts.features)
    if facts.observation_shape not in (None, [observation_dim]):
        raise ValueError("its observations are not flat vectors of the length that the network takes")
    hyperparameters = facts.hyperparameters
    if hyperparameters["learning_rate"] is None and optimizer:
        # Under a schedule the number in use at the time stands in the optimiser alone.
        hyperparameters["learning_rate"] = _current_learning_rate(optimizer)
    return checked(
        Sb3Model(
            policy=policy,
            observation_dim=observation_dim,
            action_low=facts.action_low,
            action_high=facts.action_high,
            parameters=parameters,
            optimizer=optimizer,
            hyperparameters=hyperparameters,
            num_timesteps=facts.num_timesteps,
            n_updates=facts.n_updates,
            own_facts=facts.own_facts,
            own_state=own_state,
        )
    )


def _current_learning_rate(optimizer: Tree) -> object:
    groups = optimizer.get("param_groups")
    return groups[0].get("lr") if isinstance(groups, list) and groups and isinstance(groups[0], dict) else None


def _named(name: str, function: Callable[[Tree], T], argument: Tree) -> T:
    """Return `function(argument)`; its ValueError is told with the name of the member."""
    try:
        return function(argument)
    except ValueError as error:
        raise ValueError(f"{name} is refused: {error}") from error
