"""Runs that differ in the seed alone are one group; of what is the same one is shown."""

import dataclasses
from pathlib import Path

import pytest

from app.comparison.groups import MOST, differences, group_runs
from app.comparison.run_log import RunLog, read_run
from app.experiment import Experiment
from configs.presets import SMOKE
from tests.app.comparison.runs import log_run

FASTER = dataclasses.replace(SMOKE, ppo=dataclasses.replace(SMOKE.ppo, gamma=0.9))


def run(folder: str, seed: int, experiment: Experiment = SMOKE, steps: int = 1000, name: str | None = None) -> RunLog:
    return read_run(log_run(folder, seed=seed, experiment=experiment, passed=[(steps, 1.0)], name=name))


def test_the_seed_and_the_name_make_no_other_group() -> None:
    same = dataclasses.replace(
        SMOKE, wandb_project="other", keep_checkpoints=3, verbose=True, video_freq=9, config=Path("x")
    )
    grouping = group_runs([run("b_seed2", 2), run("fast", 1, FASTER), run("b_seed1", 1, same)])
    assert [(group.label, [one.experiment.seed for one in group.runs]) for group in grouping.groups] == [
        ("A: b", [1, 2]),
        ("B: fast", [1]),
    ]
    assert not grouping.left_out


def test_of_one_seed_the_run_that_went_on_longer_is_shown() -> None:
    short, long, newer = run("a", 1, steps=500), run("a_2", 1, name="a"), run("a_3", 1, name="a")
    grouping = group_runs([short, long, newer])
    assert [one.folder for one in grouping.groups[0].runs] == [newer.folder]
    assert [(dropped.folder, kept.folder) for dropped, kept in grouping.left_out] == [
        (short.folder, long.folder),
        (long.folder, newer.folder),
    ]


def test_what_has_the_same_flags_and_seed_under_two_names_differs_in_something_else() -> None:
    runs = [run("before_seed1", 1), run("before_seed2", 2), run("after_seed1", 1)]
    groups = group_runs(runs).groups
    assert [(group.label, len(group.runs)) for group in groups] == [("A: before", 2), ("B: after", 1)]


def test_seeds_under_names_of_their_own_are_one_group() -> None:
    (group,) = group_runs([run("monday", 2), run("tuesday", 1)]).groups
    assert [one.folder.name for one in group.runs] == ["tuesday", "monday"]


def test_robots_are_not_compared_with_each_other() -> None:
    other = dataclasses.replace(SMOKE, robot="berkeley_humanoid")
    with pytest.raises(ValueError, match="logs/a trains the robot biped and logs/b the robot berkeley_humanoid"):
        group_runs([run("a", 1), run("b", 1, other)])


def test_too_many_groups_are_refused() -> None:
    runs = [run(str(n), 1, dataclasses.replace(SMOKE, num_envs=16 * (n + 1))) for n in range(MOST + 1)]
    assert len(group_runs(runs[:-1]).groups) == MOST
    with pytest.raises(ValueError, match=f"{MOST + 1} groups"):
        group_runs(runs)


def test_only_the_flags_that_differ_are_told() -> None:
    assert differences([SMOKE, dataclasses.replace(FASTER, seed=3, exp_name="x")]) == {
        "--ppo.gamma": [SMOKE.ppo.gamma, 0.9]
    }
