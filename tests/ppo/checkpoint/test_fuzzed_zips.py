"""Checkpoints with payloads and random damage: nothing in them is executed, and no other error escapes.

`FUZZ_COUNT=10000 python -m pytest tests/ppo/checkpoint/test_fuzzed_zips.py -k mutations` tries more mutations.
"""

import base64
import json
import os
import pickle
import random
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from ppo.checkpoint.__main__ import describe
from ppo.checkpoint.sb3_zip import CheckpointError, read_zip, write_zip
from tests.ppo.checkpoint.checkpoint_models import (
    Canary,
    assert_refused,
    change_data,
    members_of,
    tiny_model,
    torch_file,
    zip_bytes,
)

FUZZ_COUNT = int(os.environ.get("FUZZ_COUNT", "300"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole checkpoint."""
    path = tmp_path / "model.zip"
    own_state = {"x": [torch.ones(3), "text", 1.5]}
    sizes: dict[str, Any] = {"lstm_hidden_size": 2, "pi": (3,), "vf": (), "features": (2,)}
    write_zip(path, tiny_model("shared", own_facts={"a": [1]}, own_state=own_state, **sizes))
    return path


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that must not appear."""
    path = tmp_path / "canary"
    pickle.loads(pickle.dumps(Canary(path)))
    assert path.exists(), "the payload works"
    path.unlink()
    return path


def test_payload_beside_plain_facts_is_never_run(path: Path, canary: Path) -> None:
    payload = base64.b64encode(pickle.dumps(Canary(canary))).decode()

    def poison(data: dict[str, Any]) -> None:
        for key in ("policy_class", "policy_kwargs", "observation_space", "action_space"):
            data[key][":serialized:"] = payload
        data["lr_schedule"] = data["_last_obs"] = data["unheard_of"] = {":serialized:": payload}

    change_data(path, poison)
    assert read_zip(path).num_timesteps == 123_456
    assert not canary.exists()


@pytest.mark.parametrize("member", ["policy.pth", "policy.optimizer.pth", "native_state.pt"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_payload_among_tensors_is_refused(path: Path, canary: Path, member: str, protocol: int) -> None:
    evil = pickle.dumps({"log_std": Canary(canary)}, protocol)
    for content in (evil, torch_file(evil)):
        path.write_bytes(zip_bytes({**members_of(path), member: content}))
        assert_refused(path, f"{member} is refused")
        assert not canary.exists()


WEIRD: list[Any] = [
    *(None, True, -1, 0, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x" * 1000, "[]", "ä\n"),
    *([], {}, [[]], {":serialized:": "gASMAm9zjAZzeXN0ZW2TlC4="}, [None] * 50),
]


def _mutate_bytes(content: bytes, generator: random.Random) -> bytes:
    mutated = bytearray(content)
    for _ in range(generator.choice([1, 1, 1, 2, 5, 20])):
        position = generator.randrange(len(mutated) + 1)
        length = generator.choice([1, 1, 2, 4, 8, 100])
        match generator.randrange(4):
            case 0:
                mutated[position : position + length] = generator.randbytes(length)
            case 1:
                del mutated[position : position + length]
            case 2:
                source = generator.randrange(len(mutated) + 1)
                mutated[position:position] = mutated[source : source + length]
            case 3:
                value = generator.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(content)])
                mutated[position : position + 4] = struct.pack("<I", value)
    return bytes(mutated)


def _mutate_json(content: bytes, generator: random.Random) -> bytes:
    data = json.loads(content)
    for _ in range(generator.choice([1, 1, 2, 5])):
        place: Any = data
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = generator.choice(keys)
            if isinstance(place[key], (dict, list)) and generator.random() < 0.6:
                place = place[key]
                continue
            if isinstance(place, dict) and generator.random() < 0.3:
                del place[key]
            else:
                place[key] = generator.choice(WEIRD)
            break
    return json.dumps(data).encode()


def _mutate_torch_file(content: bytes, generator: random.Random) -> bytes:
    """Change one record of a torch file, most often its pickle, and give it right checksums again."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    name = "archive/data.pkl" if generator.random() < 0.8 else generator.choice(list(records))
    records[name] = _mutate_bytes(records[name], generator)
    return zip_bytes(records)


def _mutate(members: dict[str, bytes], generator: random.Random) -> bytes:
    """Return a mutated checkpoint; most mutations keep the outer zip whole, to reach what lies behind it."""
    name = generator.choice(list(members))
    match generator.randrange(8):
        case 0:
            return _mutate_bytes(zip_bytes(members), generator)
        case 1:
            changed = {key: value for key, value in members.items() if key != name}
        case 2:
            changed = {**members, name: members[generator.choice(list(members))]}
        case 3:
            changed = {**members, name: _mutate_bytes(members[name], generator)}
        case 4 | 5:
            changed = {**members, "data": _mutate_json(members["data"], generator)}
        case _:
            name = generator.choice(["policy.pth", "policy.optimizer.pth", "native_state.pt"])
            changed = {**members, name: _mutate_torch_file(members[name], generator)}
    return zip_bytes(changed)


def test_mutations_end_in_an_error_or_a_valid_model(path: Path, canary: Path, tmp_path: Path) -> None:
    payload = base64.b64encode(pickle.dumps(Canary(canary), 4)).decode()
    change_data(path, lambda data: data.update(_last_obs={":serialized:": payload}))
    change_data(path, lambda data: data["policy_kwargs"].update({":serialized:": payload}))
    members = {**members_of(path), "pytorch_variables.pth": torch_file(pickle.dumps(Canary(canary), 2))}
    generator = random.Random(5)
    messages: list[str] = []
    for number in range(FUZZ_COUNT):
        mutated = _mutate(members, generator)
        path.write_bytes(mutated)
        try:
            model = read_zip(path)
        except CheckpointError as error:
            messages.append(str(error))
        else:
            write_zip(tmp_path / "again.zip", model)
            assert "not proven safe" in describe(path)
        assert not canary.exists(), f"mutation {number}"
    assert all(message.isprintable() and message.startswith(f"cannot read {path}: ") for message in messages)
    assert 0.2 * FUZZ_COUNT < len(messages) < 0.95 * FUZZ_COUNT, "neither all harmless nor all hopeless"
