"""What goes wrong during a training costs no checkpoint."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ppo.checkpoint.folder import newest_checkpoint
from ppo.checkpoint.sb3_model import CheckpointError
from ppo.checkpoint.sb3_zip import read_zip
from ppo.env import Step
from ppo.learner import TrainingFailedError
from tests.ppo.environments import TrackingEnv
from tests.ppo.trainers import MeddlingEnv, make_trainer


def test_what_cannot_be_saved_is_not_trained(tmp_path: Path) -> None:
    trainer = make_trainer(MeddlingEnv(1, lambda step: pytest.fail("trained")), tmp_path, 128)
    trainer.learner.seed = -1
    with pytest.raises(CheckpointError, match="seed"):
        trainer.train()


def test_the_last_model_goes_elsewhere_if_its_folder_is_gone(tmp_path: Path) -> None:
    def remove_folder(step: Step) -> Step:
        (tmp_path / "run").rmdir()
        return step

    refuge = tmp_path / "refuge"
    refuge.mkdir()
    trainer = make_trainer(MeddlingEnv(5, remove_folder), tmp_path / "run", 128)
    trainer.checkpoints.refuges = (tmp_path / "missing", refuge)
    with pytest.raises(TrainingFailedError, match=r"model_final\.zip could not be saved .*it is in .*refuge"):
        trainer.train()
    (saved,) = refuge.rglob("*.zip")
    assert read_zip(saved).num_timesteps == 128


def test_a_last_model_that_nowhere_takes_ends_in_an_error_that_names_the_newest(tmp_path: Path) -> None:
    def replace_folder(step: Step) -> Step:
        (tmp_path / "run").rename(tmp_path / "moved")
        return step

    trainer = make_trainer(MeddlingEnv(80, replace_folder), tmp_path / "run", 1280)
    with pytest.raises(TrainingFailedError, match=r"nor anywhere else; the newest model is .*model_1024_steps\.zip"):
        trainer.train()
    assert list(tmp_path.rglob("model_final*")) == []


def test_an_environment_that_raises_costs_no_checkpoint(tmp_path: Path) -> None:
    def explode(step: Step) -> Step:
        raise RuntimeError("the robot is on fire")

    trainer = make_trainer(MeddlingEnv(20, explode), tmp_path, 100_000)
    with pytest.raises(RuntimeError, match="on fire"):
        trainer.train()
    assert read_zip(tmp_path / "model_interrupted.zip").num_timesteps == 2 * 8 * 16


@pytest.mark.parametrize("field", ["observation", "reward", "final_observation"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_broken_robot_does_not_reach_the_weights(field: str, value: float, tmp_path: Path) -> None:
    def spoil(step: Step) -> Step:
        spoiled = getattr(step, field).clone()
        spoiled[3] = value
        return step._replace(**{field: spoiled})

    trainer = make_trainer(MeddlingEnv(20, spoil), tmp_path, 1024)
    trainer.train()
    assert all(parameter.isfinite().all() for parameter in trainer.learner.policy.parameters())


def test_updates_without_a_finite_gradient_stop_the_run_and_keep_the_weights(tmp_path: Path) -> None:
    class HugeReward(TrackingEnv):
        def step(self, action: Tensor) -> Step:
            step = super().step(action)
            return step._replace(reward=torch.full_like(step.reward, 1e38))

    trainer = make_trainer(HugeReward(16), tmp_path, 1_000_000)
    before = {name: value.clone() for name, value in trainer.learner.policy.state_dict().items()}
    with pytest.raises(TrainingFailedError, match="no finite gradient"):
        trainer.train()
    for name, value in read_zip(tmp_path / "model_interrupted.zip").parameters.items():
        assert torch.equal(value, before[name])


def test_a_full_disk_is_reported_and_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    trainer = make_trainer(TrackingEnv(16), tmp_path, 3072)
    trainer.checkpoints.warn = messages.append
    fsync = os.fsync
    calls = 0

    def full_once(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        # The first checkpoint takes two calls, one for the file and one for its folder.
        if calls == 3:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_once)
    trainer.train()
    assert len(messages) == 1
    assert "model_2048_steps.zip" in messages[0]
    assert "No space left on device" in messages[0]
    assert {path.name for path in tmp_path.iterdir()} == {
        "model_1024_steps.zip",
        "model_3072_steps.zip",
        "model_final.zip",
    }


def test_newest_checkpoint_passes_over_broken_files(tmp_path: Path) -> None:
    make_trainer(TrackingEnv(16), tmp_path, 3072).train()
    (tmp_path / "model_final.zip").write_bytes(b"")
    whole = (tmp_path / "model_3072_steps.zip").read_bytes()
    (tmp_path / "model_3072_steps.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "model_9000000_steps.zip").write_text("not a zip")
    warnings: list[str] = []
    path, model = newest_checkpoint(tmp_path, "model", warnings.append)
    assert path.name == "model_2048_steps.zip"
    assert model.num_timesteps == 2048
    assert len(warnings) == 3
    with pytest.raises(CheckpointError, match="no checkpoint"):
        newest_checkpoint(tmp_path, "other", warnings.append)
