"""Runs that differ in nothing but the seed are one group."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.comparison.run_log import RunLog
from app.experiment import Experiment, flat, to_plain

MOST = 6
"""Groups that a page tells apart."""
OF_NO_MATTER = frozenset(
    "--" + name
    for name in (
        *("exp-name", "seed", "seeds", "log-dir", "continue-training", "verbose", "save-freq", "keep-checkpoints"),
        *("wandb", "wandb-project", "wandb-entity", "wandb-run-name", "video-freq", "config"),
        "adaptive-lr",  # a shorthand for another flag
    )
)
"""Flags that change nothing of what is learned, and the seed."""


class Group(NamedTuple):
    """Runs of one configuration."""

    letter: str
    name: str
    runs: Sequence[RunLog]
    """One per seed, by seed."""

    @property
    def label(self) -> str:
        """What it is called on the page."""
        return f"{self.letter}: {self.name}"


class Grouping(NamedTuple):
    """All groups, and what was left out."""

    groups: Sequence[Group]
    left_out: Sequence[tuple[RunLog, RunLog]]
    """Runs of the same configuration and seed as the one beside them, which was trained for longer or is newer."""


def group_runs(runs: Sequence[RunLog]) -> Grouping:
    """Group runs by configuration, in the order in which they come.

    Where several have the same seed, too, but other names, something else differs, such as the code: then runs of each
    name are a group.

    Raises:
        ValueError: they are of different robots, or there are too many groups.
    """
    robots = {run.experiment.robot: run for run in runs}
    if len(robots) > 1:
        first, second, *_ = robots.items()
        raise ValueError(
            f"{first[1].folder} trains the robot {first[0]} and {second[1].folder} the robot {second[0]}; compare runs "
            "of one robot"
        )
    by_configuration: dict[tuple[tuple[str, str], ...], list[RunLog]] = {}
    for run in runs:
        key = tuple((flag, str(value)) for flag, value in configuration(run.experiment).items())
        by_configuration.setdefault(key, []).append(run)
    groups: list[Group] = []
    left_out: list[tuple[RunLog, RunLog]] = []
    for members in (part for same in by_configuration.values() for part in apart(same)):
        seeds: dict[int, RunLog] = {}
        for run in members:
            other = seeds.get(run.experiment.seed)
            kept = run if other is None or run.steps >= other.steps else other
            seeds[run.experiment.seed] = kept
            if other is not None:
                left_out.append((run if kept is other else other, kept))
        letter = chr(ord("A") + len(groups))
        groups.append(Group(letter, common_name(members[0].experiment), [seeds[seed] for seed in sorted(seeds)]))
    if len(groups) > MOST:
        raise ValueError(f"these are {len(groups)} groups of runs, and a page shows up to {MOST}; name fewer runs")
    return Grouping(groups, left_out)


def apart(runs: Sequence[RunLog]) -> list[list[RunLog]]:
    """Runs of one configuration by name where runs of different names have the same seed, else all together."""
    by_name: dict[str, list[RunLog]] = {}
    for run in runs:
        by_name.setdefault(common_name(run.experiment), []).append(run)
    seeds = [seed for members in by_name.values() for seed in {run.experiment.seed for run in members}]
    return list(by_name.values()) if len(set(seeds)) < len(seeds) else [list(runs)]


def configuration(experiment: Experiment) -> dict[str, object]:
    """Flags and values that make a difference to what is learned."""
    return {flag: value for flag, value in flat(to_plain(experiment)) if flag not in OF_NO_MATTER}


def common_name(experiment: Experiment) -> str:
    """Name of the run without its seed."""
    return re.sub(rf"_seed{experiment.seed}$", "", experiment.exp_name)


def differences(experiments: Iterable[Experiment]) -> dict[str, list[object]]:
    """Flags that are not the same in all experiments, and the value of each."""
    configurations = [configuration(experiment) for experiment in experiments]
    flags = dict.fromkeys(flag for one in configurations for flag in one)
    values = {flag: [one.get(flag) for one in configurations] for flag in flags}
    return {flag: each for flag, each in values.items() if any(value != each[0] for value in each)}
