"""What goes wrong during a training costs no checkpoint."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ppo.checkpoint.folder import newest_checkpoint
from ppo.checkpoint.sb3_model import CheckpointError
from ppo.checkpoint.sb3_zip import read_zip
from ppo.env import Step
from ppo.evaluation import Verdict
from ppo.learner import TrainingFailedError
from ppo.trainer import Budget
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


def interrupt(step: Step) -> Step:
    os.kill(os.getpid(), signal.SIGINT)
    return step


def test_what_fails_after_the_last_update_costs_the_environments_alone(tmp_path: Path) -> None:
    trainer = make_trainer(TrackingEnv(16), tmp_path, 256)

    def unreadable() -> dict[str, Any]:
        raise RuntimeError("the device is gone")

    trainer.learner.process_state = unreadable  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="device is gone"):
        trainer.train()
    assert read_zip(tmp_path / "model_interrupted.zip").num_timesteps == 256


def test_signals_during_the_last_save_do_not_cost_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def impatient(descriptor: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        fsync(descriptor)

    def save(step: Step) -> Step:
        monkeypatch.setattr(os, "fsync", impatient)
        return interrupt(step)

    trainer = make_trainer(MeddlingEnv(17, save), tmp_path, 100_000)
    assert trainer.train() == signal.SIGINT
    assert read_zip(tmp_path / "model_interrupted.zip").num_timesteps == 2 * 8 * 16


def test_a_second_signal_saves_without_the_environments(tmp_path: Path) -> None:
    trainer = make_trainer(MeddlingEnv(17, lambda step: interrupt(interrupt(step))), tmp_path, 100_000)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert read_zip(tmp_path / "model_interrupted.zip").num_timesteps == 2 * 8 * 16


@pytest.mark.parametrize("failure", [None, RuntimeError("out of memory")])
def test_a_continued_run_that_learns_nothing_keeps_what_it_has(failure: Exception | None, tmp_path: Path) -> None:
    def stop(step: Step) -> Step:
        if failure is not None:
            raise failure
        return interrupt(step)

    first = make_trainer(TrackingEnv(16), tmp_path, 512)
    first.train()
    whole = tmp_path / "model_interrupted.zip"
    (tmp_path / "model_final.zip").rename(whole)
    before = whole.read_bytes()
    again = make_trainer(MeddlingEnv(3, stop), tmp_path, 100_000)
    assert again.learner.restore(read_zip(whole))
    if failure is None:
        assert again.train() == signal.SIGINT
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            again.train()
    assert whole.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {whole.name}


def test_a_best_model_that_could_not_be_saved_is_not_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([1.0, 3.0, 2.0, 1.5])
    trainer = make_trainer(TrackingEnv(16), tmp_path, 512)
    trainer.budget = Budget(512, save_freq=100_000, eval_freq=128)
    save = trainer.checkpoints.save

    def full_once(name: str, model: Any) -> Path | None:  # noqa: ANN401
        return None if name == "model_best" and model.num_timesteps == 256 else save(name, model)

    monkeypatch.setattr(trainer.checkpoints, "save", full_once)
    trainer.evaluator = lambda policy: Verdict(next(scores), {"score": 0.0}, "")
    trainer.train()
    assert read_zip(tmp_path / "model_best.zip").num_timesteps == 384
    assert trainer.learner.best_score == 2.0
    assert trainer.best_is_earlier


def test_a_broken_first_observation_does_not_stay(tmp_path: Path) -> None:
    class BrokenAtFirst(TrackingEnv):
        def reset(self) -> Tensor:
            observation = super().reset()
            observation[3] = float("nan")
            return observation

    trainer = make_trainer(BrokenAtFirst(16), tmp_path, 512)
    trainer.train()
    assert all(state.isfinite().all() for state in trainer.learner.collector.start_state.actor)


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
