"""An examination in walking: many robots, trials that say where to go, and what comes of it."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.examination.criteria import WalkingCriteria
from biped.examination.gait_meter import GaitMeter, GaitSummary
from biped.examination.trials import WALKING, Schedule, Trial, title

Controller = Callable[[Tensor, Tensor], Tensor]
"""From an observation `[N, D]` and `[N]` bool, where an episode starts with it, to an action `[N, A]`."""
Results = Mapping[str, Sequence[GaitSummary]]
"""Of every simulator, by name, the summaries of the same trials."""

WARMUP_S = 2.0
"""s at the start of an examination that are not counted, because the robots pick up speed."""
COLUMNS = 8
"""Trials side by side in a table."""


def examination_config(config: EnvConfig, seconds: float, *, pushes: bool = False) -> EnvConfig:
    """The task `config` for runs of `seconds`: one uninterrupted episode, without pushes unless they are wanted."""
    randomization = replace(config.randomization, growth_s=0.0)
    return replace(
        config,
        randomization=randomization if pushes else replace(randomization, push_speed=0.0, impulse_force=0.0),
        episode_length_s=seconds + 1.0,
        randomize_episode_start=False,
    )


def examine(
    controller: Controller,
    env: BipedEnv,
    trials: Sequence[Trial],
    *,
    seconds: float,
    warmup_s: float,
    after_step: Callable[[], None] = lambda: None,
) -> list[GaitSummary]:
    """Let an equal number of robots go through each trial, all at the same time.

    Args:
        controller: Chooses the actions.
        env: Its configuration is `examination_config` of the task.
        trials: All of them take `seconds`, whatever they would take themselves.
        seconds: Duration of the run.
        warmup_s: s at its start that are not counted, because the robots pick up speed; shorter than `seconds`.
        after_step: Called after every control step; may end the run by an exception.

    Returns:
        One summary per trial.

    Raises:
        ValueError: The robots cannot be shared equally by the trials, or the run is too short.
    """
    if seconds <= warmup_s:
        raise ValueError(f"an examination must last longer than the {warmup_s:g} s not counted, got {seconds:g} s")
    schedule = Schedule(trials, env.num_envs, round(seconds / env.control_dt), env.device)
    meter = GaitMeter(env.simulator.robot, schedule, env.control_dt, env.config.gait, warmup_s=warmup_s)
    for ended in follow(controller, env, schedule):
        after_step()
        meter.step(env.state, env.gait.contact, env.action, ended)
    return meter.summaries()


def follow(controller: Controller, env: BipedEnv, schedule: Schedule) -> Iterator[Tensor]:
    """Let the robots follow a schedule from a new episode on.

    Yields:
        After every control step, `[N]` bool: the episode ended with it.
    """
    schedule.advance(0)
    env.set_command(schedule.command)
    observation = env.reset()
    ended = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    for step_index in range(schedule.steps):
        if schedule.advance(step_index):
            env.set_command(schedule.command)
        step = env.step(controller(observation, ended).clamp(env.action_low, env.action_high))
        observation, ended = step.observation, step.terminated | step.truncated
        yield ended


ROWS: tuple[tuple[str, str, str], ...] = (
    ("survival", "survived", ".1%"),
    ("velocity_x", "speed forward, m/s", "+.3f"),
    ("velocity_y", "speed to the left, m/s", "+.3f"),
    ("velocity_error_x", "error forward, m/s", ".3f"),
    ("velocity_error_y", "error sideways, m/s", ".3f"),
    ("yaw_rate_error", "error turning, rad/s", ".3f"),
    ("drift_speed", "displacement, m/s", ".3f"),
    ("yaw_drift", "turned off course, rad", ".3f"),
    ("alternation", "left-right alternation", ".1%"),
    ("steps_per_second", "steps per second", ".2f"),
    ("foot_clearance", "foot clearance, m", ".3f"),
    ("duty_right", "right foot on ground", ".1%"),
    ("duty_left", "left foot on ground", ".1%"),
    ("duty_asymmetry", "left-right asymmetry", ".3f"),
    ("foot_slip", "foot slip, m/s", ".3f"),
    ("torque_rms", "torque RMS, N m", ".2f"),
    ("joint_limit_hits", "at joint limits", ".1%"),
    ("action_rate", "squared action change", ".3f"),
    ("cost_of_transport", "cost of transport", ".2f"),
)
"""Field of `GaitSummary`, its name in the table and its format."""


def points(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> float:
    """Number of trials that meet the criteria, plus a fraction that tells apart walks which pass as many."""
    closeness = [one.closeness for summary in summaries for one in criteria.requirements(summary)]
    return sum(map(criteria.passes, summaries)) + 0.99 * sum(closeness) / len(closeness)


def means(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> dict[str, float]:
    """The measures as few numbers by name: means over the trials that they are asked of, leaving out NaN."""
    values: dict[str, list[float]] = {}
    for summary in summaries:
        for one in criteria.requirements(summary):
            values.setdefault(one.name.replace(" ", "_"), []).append(one.value)
    known = {name: [value for value in each if not math.isnan(value)] for name, each in values.items()}
    return {
        "trials_passed": float(sum(map(criteria.passes, summaries))),
        "commands_passed": float(sum(criteria.passes(summary) for summary in summaries if summary.trial in WALKING)),
        "points": points(summaries, criteria),
        **{name: sum(each) / len(each) for name, each in known.items() if each},
    }


def result_line(summaries: Sequence[GaitSummary], criteria: WalkingCriteria, most: int = 3) -> str:
    """How many trials pass, and of at most `most` of the others the first criterion that is missed, in one line."""
    missed = [(summary, criteria.shortfalls(summary)) for summary in summaries]
    failed = [f"{title(summary.trial)}: {shortfalls[0]}" for summary, shortfalls in missed if shortfalls]
    parts = [f"{len(summaries) - len(failed)} of {len(summaries)} trials pass", *failed[:most]]
    if len(failed) > most:
        parts.append(f"{len(failed) - most} more fail")
    return "; ".join(parts)


def tables(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> list[Table]:
    """One column per trial, one row per measure, and whether the criteria are met; `COLUMNS` trials in a table."""
    return [_table(summaries[first : first + COLUMNS], criteria) for first in range(0, len(summaries), COLUMNS)]


def _table(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> Table:
    result = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    result.add_column("command, m/s, rad/s", no_wrap=True)
    for summary in summaries:
        result.add_column(title(summary.trial).replace(", ", "\n").replace("sudden ", "sudden\n"), justify="right")
    for field, label, form in ROWS:
        values = [getattr(summary, field) for summary in summaries]
        result.add_row(label, *(_cell(value, form) for value in values))
    result.add_section()
    result.add_row("meets the criteria", *(_passes(summary, criteria) for summary in summaries))
    return result


COMPARED = ("survival", "velocity_error_x", "velocity_error_y", "yaw_drift", "alternation")
"""The measures that simulators are compared in, fields of `GaitSummary`."""


def comparison(results: Results, criteria: WalkingCriteria) -> Table:
    """Of every trial one row per simulator, one below the other; one column per compared measure."""
    result = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    result.add_column("command, m/s, rad/s", no_wrap=True)
    result.add_column("simulator", no_wrap=True)
    compared = [row for row in ROWS if row[0] in COMPARED]
    for _, label, _ in compared:
        result.add_column(label.replace(" ", "\n", 1), justify="right")
    result.add_column("meets the\ncriteria", justify="right")
    for summaries in zip(*results.values(), strict=True):
        name = title(summaries[0].trial)
        for simulator, summary in zip(results, summaries, strict=True):
            cells = (_cell(getattr(summary, field), form) for field, _, form in compared)
            result.add_row(name, simulator, *cells, _passes(summary, criteria))
            name = ""
    return result


def _cell(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _passes(summary: GaitSummary, criteria: WalkingCriteria) -> str:
    return "[green]yes[/]" if criteria.passes(summary) else "[red]no[/]"


def to_json(results: Results, criteria: WalkingCriteria, facts: dict[str, Any]) -> str:
    """`facts` about the run, the criteria and the summaries as a JSON document; NaN becomes null."""

    def plain(simulator: str, summary: GaitSummary) -> dict[str, Any]:
        values = dataclasses.asdict(summary)
        values = values.pop("trial") | values
        missed = criteria.shortfalls(summary)
        known = {key: None if isinstance(item, float) and math.isnan(item) else item for key, item in values.items()}
        return {"simulator": simulator, **known, "passes": not missed, "shortfalls": missed}

    trials = [plain(simulator, one) for simulator, summaries in results.items() for one in summaries]
    document = {**facts, "criteria": dataclasses.asdict(criteria), "trials": trials}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
