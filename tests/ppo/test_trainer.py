"""The whole loop on small environments: it learns, saves, judges and logs."""

import io
import itertools
import math
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from benchmarks.recall_env import RecallEnv
from ppo.checkpoint.sb3_zip import read_zip
from ppo.env import Step
from ppo.evaluation import Verdict
from ppo.policy import RecurrentActorCritic
from ppo.report.console import Console
from ppo.report.logging import MetricsLogger
from ppo.trainer import Budget
from tests.ppo.environments import TrackingEnv
from tests.ppo.trainers import QUICK, MeddlingEnv, make_trainer, mean_return


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_learns_what_needs_memory(seed: int, tmp_path: Path) -> None:
    env = RecallEnv(64, seed=seed)
    trainer = make_trainer(env, tmp_path, 30_000, ppo=QUICK, seed=seed)
    trainer.train()
    assert env.memoryless_return == -3.0
    assert mean_return(trainer) > -0.5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_learns_to_track(seed: int, tmp_path: Path) -> None:
    env = TrackingEnv(64, action_dim=1, fall_probability=0.0, episode_length=8, seed=seed)
    trainer = make_trainer(env, tmp_path, 30_000, ppo=QUICK, seed=seed)
    trainer.train()
    # Perfect tracking earns 1 per step; answering 0 to targets in -1..1 earns about 2/3.
    assert mean_return(trainer) > 8 * 0.9


def test_checkpoints_are_saved_every_so_many_steps_and_old_ones_go(tmp_path: Path) -> None:
    make_trainer(TrackingEnv(16), tmp_path, 4096, keep=2).train()
    assert {path.name for path in tmp_path.iterdir()} == {
        "model_3072_steps.zip",
        "model_4096_steps.zip",
        "model_final.zip",
    }


@pytest.mark.parametrize(("seconds", "saved"), [(0.0, 4), (1e9, 0)])
def test_without_a_number_of_steps_checkpoints_are_saved_by_the_clock(
    seconds: float, saved: int, tmp_path: Path
) -> None:
    trainer = make_trainer(TrackingEnv(16), tmp_path, 512)
    trainer.budget = Budget(512, save_freq=None, save_seconds=seconds)
    trainer.train()
    assert len(list(tmp_path.glob("model_*_steps.zip"))) == saved


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_with_a_checkpoint(number: signal.Signals, tmp_path: Path) -> None:
    def send(step: Step) -> Step:
        os.kill(os.getpid(), number)
        return step

    env = MeddlingEnv(20, send)
    trainer = make_trainer(env, tmp_path, 100_000)
    before = signal.getsignal(number)
    assert trainer.train() == number
    assert env.count == 20
    assert signal.getsignal(number) is before
    model = read_zip(tmp_path / "model_interrupted.zip")
    assert model.num_timesteps == 2 * 8 * 16
    again = make_trainer(TrackingEnv(16), tmp_path, 100_000)
    assert not again.learner.restore(model)
    assert again.learner.num_timesteps == model.num_timesteps


def test_a_signal_while_a_rollout_is_valued_leaves_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(TrackingEnv(16), tmp_path, 100_000)
    learner = trainer.learner
    step, calls = learner.policy.critic_step, itertools.count(1)

    def critic_step(*arguments: Any) -> Any:  # noqa: ANN401
        if learner.num_timesteps and next(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(learner.policy, "critic_step", critic_step)
    assert trainer.train() == signal.SIGINT
    assert next(calls) == 4
    assert read_zip(tmp_path / "model_interrupted.zip").num_timesteps == 8 * 16


def test_the_best_model_by_evaluation_is_kept(tmp_path: Path) -> None:
    scores: list[float] = []

    def grade(policy: RecurrentActorCritic) -> Verdict:
        scores.append(float(policy.action_net.weight.detach().sum()))
        return Verdict(scores[-1], {"sum": scores[-1]}, "")

    trainer = make_trainer(RecallEnv(16), tmp_path, 2048)
    trainer.evaluator = grade
    trainer.budget = Budget(2048, save_freq=100_000, eval_freq=1)
    trainer.train()
    assert len(scores) == 2048 // (16 * 8)
    best = read_zip(tmp_path / "model_best.zip")
    assert float(best.parameters["action_net.weight"].sum()) == max(scores) == trainer.learner.best_score
    assert best.num_timesteps == (1 + scores.index(max(scores))) * 16 * 8


def test_evaluations_are_told_logged_and_only_a_better_one_replaces_the_best(tmp_path: Path) -> None:
    scores = iter([1.0, 3.0, 3.0, 2.0])
    logged: dict[int, float] = {}

    class Recorder(MetricsLogger):
        def __init__(self) -> None:
            pass

        def log(self, metrics: Mapping[str, float], num_timesteps: int) -> None:
            if "eval/grade" in metrics:
                logged[num_timesteps] = metrics["eval/grade"]

        def log_picture(self, tag: str, png: bytes, num_timesteps: int) -> None:
            pictures.append((tag, png, num_timesteps))

        def log_checkpoint(self, path: Path) -> None:
            pass

    pictures: list[tuple[str, bytes, int]] = []

    def grade(policy: RecurrentActorCritic) -> Verdict:
        score = next(scores)
        drawn = {"face": b"a smile"} if score == 3.0 else {}
        return Verdict(score, {"grade": 10.0 * score}, f"grade {score:g}", drawn)

    trainer = make_trainer(TrackingEnv(16), tmp_path, 1024)
    trainer.evaluator, trainer.logger = grade, Recorder()
    trainer.budget = Budget(1024, save_freq=100_000, eval_freq=256)
    stream = io.StringIO()
    trainer.console = Console(total_timesteps=1024, stream=stream)
    trainer.train()
    assert logged == {256: 10.0, 512: 30.0, 768: 30.0, 1024: 20.0}
    assert pictures == [("eval/face", b"a smile", step) for step in (512, 768)]
    assert "evaluation at 512 steps: grade 3\n" in stream.getvalue()
    assert read_zip(tmp_path / "model_best.zip").num_timesteps == 512
    assert trainer.best_is_earlier


@pytest.mark.parametrize("last", [Verdict(3.0, {"grade": 3.0}, ""), Verdict(-math.inf, {}, "interrupted")])
def test_an_evaluation_that_is_no_worse_or_broken_off_is_not_called_worse(tmp_path: Path, last: Verdict) -> None:
    verdicts = iter([Verdict(3.0, {"grade": 3.0}, ""), Verdict(1.0, {"grade": 1.0}, ""), last])
    trainer = make_trainer(TrackingEnv(16), tmp_path, 768)
    trainer.evaluator = lambda policy: next(verdicts)
    trainer.budget = Budget(768, save_freq=100_000, eval_freq=256)
    trainer.train()
    assert not trainer.best_is_earlier


def test_the_speed_is_that_of_work_that_is_done(tmp_path: Path) -> None:
    """Reading the metrics waits for the device, which has only been told what to do until then."""
    speeds: list[float] = []

    class Recorder(MetricsLogger):
        def __init__(self) -> None:
            pass

        def log(self, metrics: Mapping[str, float], num_timesteps: int) -> None:
            speeds.append(metrics["perf/steps_per_second"])

        def log_checkpoint(self, path: Path) -> None:
            pass

    trainer = make_trainer(TrackingEnv(16), tmp_path, 256)
    trainer.logger = Recorder()
    read = trainer.learner.read_metrics

    def waiting(scalars: Mapping[str, Tensor]) -> dict[str, float]:
        time.sleep(0.1)
        return read(scalars)

    trainer.learner.read_metrics = waiting  # type: ignore[method-assign]
    trainer.train()
    assert len(speeds) == 2
    assert max(speeds) < 128 / 0.1


def test_metrics_carry_sb3_tags_and_the_step_of_their_update(tmp_path: Path) -> None:
    logged: list[tuple[dict[str, float], int]] = []

    class Recorder(MetricsLogger):
        def __init__(self) -> None:
            pass

        def log(self, metrics: object, num_timesteps: int) -> None:
            assert isinstance(metrics, dict)
            logged.append((metrics, num_timesteps))

        def log_checkpoint(self, path: Path) -> None:
            pass

    trainer = make_trainer(TrackingEnv(16, episode_length=4, fall_probability=0.1), tmp_path, 256)
    trainer.logger = Recorder()
    trainer.train()
    assert [step for _, step in logged] == [128, 256]
    metrics = logged[-1][0]
    assert {"rollout/ep_rew_mean", "rollout/ep_len_mean", "time/fps", "train/approx_kl", "train/std"} <= metrics.keys()
    assert metrics["episode/time_out"] + metrics["episode/fell"] == pytest.approx(1.0)
    assert 1.0 <= metrics["rollout/ep_len_mean"] <= 4.0
