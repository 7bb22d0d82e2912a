"""What a run folder keeps and what it clears away."""

import os
import time
from pathlib import Path

import pytest

from ppo.checkpoint.atomic import ABANDONED_SECONDS, remove_abandoned
from ppo.checkpoint.folder import CheckpointFolder
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


def test_without_a_number_to_keep_all_stay(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, "model", warn=pytest.fail, saved=lambda path: None)
    for steps in (1, 2, 10):
        folder.save(f"model_{steps}_steps", tiny_model())
    assert names(tmp_path) == {f"model_{steps}_steps.zip" for steps in (1, 2, 10)}
