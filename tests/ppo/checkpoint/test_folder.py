"""What a run folder keeps and what it clears away."""

import dataclasses
import os
import time
from pathlib import Path

import pytest
import torch

from ppo.checkpoint.atomic import ABANDONED_SECONDS, remove_abandoned
from ppo.checkpoint.folder import CheckpointFolder
from ppo.checkpoint.sb3_zip import read_zip
from tests.ppo.checkpoint.checkpoint_models import tiny_model


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def age(path: Path, seconds: float) -> None:
    path.write_bytes(b"half a checkpoint")
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def test_saving_clears_away_what_killed_processes_left(tmp_path: Path) -> None:
    abandoned, young = tmp_path / f".{'0' * 15}a.tmp", tmp_path / f".{'0' * 15}b.tmp"
    foreign = [tmp_path / ".notes.tmp", tmp_path / f"{'0' * 16}.tmp", tmp_path / f".{'0' * 16}.tmp.zip"]
    for path in (abandoned, *foreign):
        age(path, ABANDONED_SECONDS + 60.0)
    age(young, ABANDONED_SECONDS - 60.0)
    CheckpointFolder(tmp_path, "model", warn=pytest.fail, saved=lambda path: None).save("model_1_steps", tiny_model())
    assert names(tmp_path) == {young.name, *(path.name for path in foreign), "model_1_steps.zip"}


def test_clearing_away_never_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove_abandoned(tmp_path / "missing")
    path = tmp_path / f".{'0' * 16}.tmp"
    age(path, ABANDONED_SECONDS + 60.0)

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", denied)
    remove_abandoned(tmp_path)
    assert path.exists()


def test_a_new_checkpoint_is_not_taken_for_old_because_an_unreadable_one_has_more_steps(tmp_path: Path) -> None:
    (tmp_path / "model_200000_steps.zip").write_bytes(b"damaged")
    folder = CheckpointFolder(tmp_path, "model", keep=1, warn=pytest.fail, saved=lambda path: None)
    # The model's own count is 123456 steps.
    folder.save("model_123000_steps", tiny_model())
    folder.save("model_123456_steps", tiny_model())
    assert names(tmp_path) == {"model_123456_steps.zip", "model_200000_steps.zip"}


def test_only_the_last_two_stay_whole(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, "model", keep=4, warn=pytest.fail, saved=lambda path: None)
    model = dataclasses.replace(tiny_model(), own_state={"processes": [{"seed": 1}], "best_score": 2.0})
    for steps in range(1, 7):
        folder.save(f"model_{steps}_steps", dataclasses.replace(model, num_timesteps=steps))
        folder.save("model_best", dataclasses.replace(model, num_timesteps=steps))
    files = {steps: read_zip(tmp_path / f"model_{steps}_steps.zip") for steps in (3, 4, 5, 6)}
    assert names(tmp_path) == {"model_best.zip", *(f"model_{steps}_steps.zip" for steps in files)}
    for steps, file in files.items():
        assert file.num_timesteps == steps
        assert all(torch.equal(value, file.parameters[name]) for name, value in model.parameters.items())
        assert file.own_state is not None
        assert file.optimizer is not None
        assert file.own_state["best_score"] == 2.0
        whole = steps > 4
        assert bool(file.own_state["processes"]) is whole
        assert bool(file.optimizer["state"]) is whole
        assert file.optimizer["param_groups"] == (model.optimizer or {})["param_groups"]


def test_a_checkpoint_that_cannot_be_lightened_stays(tmp_path: Path) -> None:
    warnings: list[str] = []
    folder = CheckpointFolder(tmp_path, "model", warn=warnings.append, saved=lambda path: None)
    (tmp_path / "model_1_steps.zip").write_bytes(b"damaged")
    for steps in (2, 3):
        folder.save(f"model_{steps}_steps", tiny_model())
    assert len(warnings) == 1
    assert "model_1_steps.zip stays as large as it is" in warnings[0]
    assert (tmp_path / "model_1_steps.zip").read_bytes() == b"damaged"


def test_without_a_number_to_keep_all_stay(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, "model", warn=pytest.fail, saved=lambda path: None)
    for steps in (1, 2, 10):
        folder.save(f"model_{steps}_steps", tiny_model())
    assert names(tmp_path) == {f"model_{steps}_steps.zip" for steps in (1, 2, 10)}
