"""What a user types, and the runs that are meant by it."""

import shutil
from pathlib import Path

import pytest

from app.comparison.finding import find_runs
from app.comparison.run_log import read_run, training_seconds
from tests.app.comparison.runs import log_run

LOGS = Path("logs")


def found(*words: str) -> list[str]:
    return [str(run.folder) for run in find_runs(words, LOGS, lambda line: pytest.fail(line))]


def test_folders_names_and_seeds() -> None:
    for folder, seed in (("walk_seed1", 1), ("walk_seed10", 10), ("walk_seed2", 2), ("other", 1)):
        log_run(folder, seed=seed)
    log_run("walk_seed2_2", seed=2, name="walk_seed2")
    seeds = ["logs/walk_seed1", "logs/walk_seed2_2", "logs/walk_seed10"]
    assert found("walk") == found("logs/walk") == seeds
    assert found("logs/other") == found("other") == ["logs/other"]
    assert found("other", "logs/other/", "walk") == ["logs/other", *seeds]
    assert sorted(found("logs")) == sorted(["logs/other", "logs/walk_seed2", *seeds])
    assert found(str(Path("logs/walk_seed1").resolve()))[0].endswith("/logs/walk_seed1")


def test_a_run_that_has_logged_nothing_is_passed_over_among_others() -> None:
    log_run("a", seed=1)
    log_run("b", seed=2)
    shutil.rmtree("logs/b/RecurrentPPO_1")
    lines: list[str] = []
    assert [run.experiment.seed for run in find_runs(["logs"], LOGS, lines.append)] == [1]
    assert lines == ["passed over: logs/b holds a run that has logged nothing yet, or whose log is damaged"]


def test_what_cannot_be_compared_is_said() -> None:
    log_run("a", seed=1)
    Path("empty").mkdir()
    log_run("broken", seed=1)
    (LOGS / "broken" / "config.yaml").write_text("[")
    shutil.copytree(LOGS / "a", "begun")
    shutil.rmtree("begun/RecurrentPPO_1")
    for word, words in (
        ("nothing", "no run and no folder of runs is called nothing; there are, newest first: "),
        ("empty", "empty holds no run"),
        ("begun", "begun holds a run that has logged nothing yet"),
        ("broken", "logs/broken cannot be read: config.yaml is damaged"),
    ):
        with pytest.raises(ValueError, match=words):
            find_runs(["a", word], LOGS, print)


def test_seconds_are_those_of_the_iterations() -> None:
    # 100 steps at 50 a second, 100 at 100 a second, 200 at 50 a second.
    assert training_seconds([(1100, 50.0), (1200, 100.0), (1400, 50.0)], 100) == {1100: 2.0, 1200: 3.0, 1400: 7.0}


def test_what_a_run_tells() -> None:
    run = read_run(log_run("a", seed=3, passed=[(500, 2.0), (1000, 7.0)], speed=50.0))
    assert (run.steps, run.duration, run.passed, run.experiment.seed) == (1000, 20.0, 7.0, 3)
    assert read_run(log_run("b", seed=3)).passed is None
