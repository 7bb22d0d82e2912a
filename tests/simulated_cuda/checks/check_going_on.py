"""A run goes on, on the same kind of device exactly and on another one with new episodes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.training import main
from ppo.learner import Learner
from tests.app.fake_engines import parts
from tests.ppo.environments import TrackingEnv
from tests.ppo.trainers import make_trainer

STEPS = 16 * 24


def train(folder: Path, device: str, *arguments: str) -> int:
    words: Sequence[str] = ("--preset", "smoke", "--log-dir", str(folder), "--device", device, "--simulator", "genesis")
    return main([*words, *arguments], parts())


@pytest.mark.parametrize(("before", "after"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_on_another_device_robots_start_new_episodes(
    before: str, after: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, before, "--total-timesteps", str(STEPS)) == 0
    capsys.readouterr()
    assert train(tmp_path, after, "--continue-training", "--total-timesteps", str(2 * STEPS)) == 0
    output = capsys.readouterr().out
    assert (
        f"continuing at {STEPS} steps; the robots start new episodes, because the run comes from {before}, whose "
        f"random numbers {after} does not have\n"
    ) in output


def test_on_the_same_device_a_run_goes_on_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "cuda", "--total-timesteps", str(STEPS)) == 0
    assert train(tmp_path, "cuda", "--continue-training", "--total-timesteps", str(2 * STEPS)) == 0
    assert f"continuing at {STEPS} steps\n" in capsys.readouterr().out


@pytest.mark.parametrize(("before", "after"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_checkpoint_that_does_not_tell_its_device_is_continued_too(before: str, after: str, tmp_path: Path) -> None:
    def learner(device: str) -> Learner:
        return make_trainer(TrackingEnv(16, device=device), tmp_path, 10**6).learner

    first, second = learner(before), learner(after)
    first.collector.collect(lambda: False)
    first.improve()
    assert not second.restore(first.model([first.process_state()]))
    second.collector.collect(lambda: False)
    second.read_metrics(second.improve())
