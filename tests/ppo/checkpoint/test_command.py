"""The command line that looks into checkpoints and exports them."""

import base64
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ppo.checkpoint.__main__ import main
from ppo.checkpoint.sb3_zip import read_zip, write_zip
from tests.ppo.checkpoint.checkpoint_models import (
    assert_same_model,
    assert_same_tree,
    change_data,
    members_of,
    tiny_model,
    zip_bytes,
)

ROOT = Path(__file__).parents[3]
OWN_FACTS = {"version": 1}
OWN_STATE = {"hidden": torch.ones(1, 3, 16)}


def test_inspect_of_our_own_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.zip"
    write_zip(path, tiny_model(own_facts=OWN_FACTS, own_state=OWN_STATE))
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    for line in (
        "observation  5 numbers",
        "action       2 numbers, within [-1, 1], [-0.5, 0.785398]",
        "actor        LSTM of 1 x 16, then an MLP of 12, 8",
        "critic       an LSTM of its own, then an MLP of 10",
        "environment steps       123,456",
        "epochs of optimisation  77",
        "Adam after 7 steps",
        "clip_range           0.15",
        "clip_range_vf        -",
        "data: policy_class       inert",
        "policy.optimizer.pth     inert",
        "native_state.pt          inert",
        "Conclusion: safe to load",
    ):
        assert line in shown


def test_inspect_vouches_for_an_mlp_in_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.zip"
    write_zip(path, tiny_model("linear", features=(12, 8), pi=(), vf=()))
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "observation  5 numbers, through an MLP of 12, 8 in front of actor and critic" in shown
    assert "data: policy_kwargs      inert" in shown
    assert "Conclusion: safe to load" in shown


def _repickle(change: Callable[[bytes], bytes]) -> Callable[[dict[str, Any]], None]:
    def apply(data: dict[str, Any]) -> None:
        kwargs = data["policy_kwargs"]
        before = base64.b64decode(kwargs[":serialized:"])
        after = change(before)
        assert after != before
        pickle.loads(after)
        kwargs[":serialized:"] = base64.b64encode(after).decode()

    return apply


def _copy_the_pickle(data: dict[str, Any]) -> None:
    data["lr_schedule"] = {":serialized:": data["policy_kwargs"][":serialized:"]}


def _more_attributes(pickled: bytes) -> bytes:
    return pickled.replace(
        b"\x8c\x0cfeatures_dim", b"\x8c\x07forward\x8c\x04copy\x8c\x08deepcopy\x93\x8c\x0cfeatures_dim"
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_repickle(lambda old: old.replace(b"(J\5\0\0\0J\x0c", b"(J\5\0\0\0J\x0d")), "policy_kwargs      NOT PROVEN"),
        (
            _repickle(lambda old: old.replace(b"ELU", b"SiLU").replace(b"\x8c\3SiLU", b"\x8c\4SiLU")),
            "policy_kwargs      NOT PROVEN",
        ),
        (
            _repickle(lambda old: old.replace(b"\x8c\x04copy\x8c\x08deepcopy", b"\x8c\x02os\x8c\x06system")),
            "policy_kwargs      NOT PROVEN",
        ),
        (_repickle(_more_attributes), "policy_kwargs      NOT PROVEN"),
        (_copy_the_pickle, "lr_schedule        NOT PROVEN: it imports 'functools.partial'"),
    ],
    ids=["width", "activation", "import", "attribute", "place"],
)
def test_inspect_warns_of_any_other_features_extractor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], None], problem: str
) -> None:
    path = tmp_path / "m.zip"
    write_zip(path, tiny_model(features=(12, 8)))
    change_data(path, change)
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert problem in shown
    assert "Conclusion: not proven safe" in shown


def _evil_entry(data: dict[str, Any]) -> None:
    data["harmless_name"] = {":serialized:": "gASMAm9zjAZzeXN0ZW2TlC4="}


def _other_bounds(data: dict[str, Any]) -> None:
    data["action_space"]["low"] = [-2.0, -0.5]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_evil_entry, "harmless_name      NOT PROVEN: it imports 'os.system'"),
        (_other_bounds, "action_space       NOT PROVEN: it differs from the plain text"),
    ],
)
def test_inspect_warns_of_pickles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], None], problem: str
) -> None:
    path = tmp_path / "m.zip"
    write_zip(path, tiny_model())
    change_data(path, change)
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert problem in shown
    assert "Conclusion: not proven safe" in shown


def test_inspect_warns_of_a_torch_file_that_we_do_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.zip"
    write_zip(path, tiny_model())
    path.write_bytes(zip_bytes({**members_of(path), "pytorch_variables.pth": b"cos\nsystem\n(S'true'\ntR."}))
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "pytorch_variables.pth    NOT PROVEN" in shown
    assert "Conclusion: not proven safe" in shown


def test_export_strips_what_is_our_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, plain, light = (tmp_path / name for name in ("m.zip", "plain.zip", "light.zip"))
    model = tiny_model(own_facts=OWN_FACTS, own_state=OWN_STATE)
    write_zip(source, model)
    assert main(["export", str(source), str(plain)]) == 0
    assert main(["export", str(source), str(light), "--without-optimizer"]) == 0
    assert capsys.readouterr().out == ""
    assert_same_model(read_zip(plain), replace(model, own_facts=None, own_state=None))
    assert "native_state.pt" not in members_of(plain)
    stripped = read_zip(light)
    assert stripped.optimizer is not None
    assert stripped.optimizer["state"] == {}
    assert_same_tree(stripped.parameters, model.parameters)
    assert light.stat().st_size < 0.6 * plain.stat().st_size


def test_command_line_reports_problems_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "m.zip"
    write_zip(source, tiny_model())
    before = source.read_bytes()
    for arguments, message in (
        (["inspect", str(tmp_path / "missing.zip")], "missing.zip: it is not a file"),
        (["export", str(tmp_path / "missing.zip"), str(tmp_path / "out.zip")], "missing.zip: it is not a file"),
        (["export", str(source), str(source)], "it exists; choose a new name"),
        (["export", str(source), str(tmp_path / "missing" / "out.zip")], "cannot write"),
    ):
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in captured.err
        assert captured.err.count("\n") == 1
    assert source.read_bytes() == before
    assert not (tmp_path / "out.zip").exists()


def test_module_runs_as_a_program(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ppo.checkpoint", "inspect", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"cannot read {tmp_path}: it is not a file")
    assert result.stderr.count("\n") == 1
