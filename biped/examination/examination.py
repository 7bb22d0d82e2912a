"""An examination in walking: many robots, fixed commands, and what comes of it."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
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

Command = tuple[float, float, float]
"""Forward and leftward velocity in m/s, yaw rate in rad/s."""
Controller = Callable[[Tensor, Tensor], Tensor]
"""From an observation `[N, D]` and `[N]` bool, where an episode starts with it, to an action `[N, A]`."""
Results = Mapping[str, Sequence[GaitSummary]]
"""Of every simulator, by name, the summaries of the same commands."""

WARMUP_S = 2.0
"""s at the start of an examination that are not counted, because the robots pick up speed."""
COMMANDS: tuple[Command, ...] = (
    (0.0, 0.0, 0.0),
    (0.3, 0.0, 0.0),
    (0.5, 0.0, 0.0),
    (0.8, 0.0, 0.0),
    (-0.3, 0.0, 0.0),
    (0.0, 0.2, 0.0),
    (0.0, -0.2, 0.0),
    (0.3, 0.2, 0.0),
)
"""What the robots are examined in."""


def examination_config(config: EnvConfig, seconds: float, *, pushes: bool = False) -> EnvConfig:
    """The task `config` for runs of `seconds`: one uninterrupted episode, without pushes unless they are wanted."""
    return replace(
        config,
        randomization=config.randomization if pushes else replace(config.randomization, push_speed=0.0),
        episode_length_s=seconds + 1.0,
        randomize_episode_start=False,
    )


def examine(
    controller: Controller,
    env: BipedEnv,
    commands: Sequence[Command],
    *,
    seconds: float,
    warmup_s: float,
    after_step: Callable[[], None] = lambda: None,
) -> list[GaitSummary]:
    """Let an equal number of robots follow each command, all at the same time.

    Args:
        controller: Chooses the actions.
        env: Its configuration is `examination_config` of the task.
        commands: Held for the whole run.
        seconds: Duration of the run.
        warmup_s: s at its start that are not counted, because the robots pick up speed; shorter than `seconds`.
        after_step: Called after every control step; may end the run by an exception.

    Returns:
        One summary per command.

    Raises:
        ValueError: The robots cannot be shared equally by the commands, or the run is too short.
    """
    if env.num_envs % len(commands):
        raise ValueError(f"{env.num_envs} robots cannot be shared equally by {len(commands)} commands")
    if seconds <= warmup_s:
        raise ValueError(f"an examination must last longer than the {warmup_s:g} s not counted, got {seconds:g} s")
    robots = env.num_envs // len(commands)
    command = torch.tensor(commands, device=env.device).repeat_interleave(robots, dim=0)
    robot = env.simulator.robot
    meter = GaitMeter(robot, command, env.control_dt, env.config.gait, mass=robot.mass, warmup_s=warmup_s)
    env.set_command(command)
    observation = env.reset()
    ended = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    for _ in range(round(seconds / env.control_dt)):
        action = controller(observation, ended).clamp(env.action_low, env.action_high)
        step = env.step(action)
        after_step()
        observation, ended = step.observation, step.terminated | step.truncated
        meter.step(env.state, env.gait.contact, env.action, ended)
    return [meter.summary(slice(first, first + robots)) for first in range(0, env.num_envs, robots)]


ROWS: tuple[tuple[str, str, str], ...] = (
    ("survival", "survived", ".1%"),
    ("velocity_x", "speed forward, m/s", "+.3f"),
    ("velocity_y", "speed to the left, m/s", "+.3f"),
    ("velocity_error_x", "error forward, m/s", ".3f"),
    ("velocity_error_y", "error sideways, m/s", ".3f"),
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


def describe(command: Command) -> str:
    """A command in words, such as `x +0.30, y +0.20`."""
    parts = [f"{axis} {value:+.2f}" for axis, value in zip(("x", "y", "yaw"), command, strict=True) if value]
    return ", ".join(parts) or "stand"


def score(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> float:
    """Number of commands that meet the criteria, plus a fraction that tells apart walks which pass as many."""
    closeness = [one.closeness for summary in summaries for one in criteria.requirements(summary)]
    return sum(map(criteria.passes, summaries)) + 0.99 * sum(closeness) / len(closeness)


def means(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> dict[str, float]:
    """The measures as few numbers by name: means over the commands that they are asked of, leaving out NaN."""
    values: dict[str, list[float]] = {}
    for summary in summaries:
        for one in criteria.requirements(summary):
            values.setdefault(one.name.replace(" ", "_"), []).append(one.value)
    known = {name: [value for value in each if not math.isnan(value)] for name, each in values.items()}
    return {
        "commands_passed": float(sum(map(criteria.passes, summaries))),
        "score": score(summaries, criteria),
        **{name: sum(each) / len(each) for name, each in known.items() if each},
    }


def result_line(summaries: Sequence[GaitSummary], criteria: WalkingCriteria, most: int = 3) -> str:
    """How many commands pass, and of at most `most` of the others the first criterion that is missed, in one line."""
    missed = [(summary, criteria.shortfalls(summary)) for summary in summaries]
    failed = [f"{describe(summary.command)}: {shortfalls[0]}" for summary, shortfalls in missed if shortfalls]
    parts = [f"{len(summaries) - len(failed)} of {len(summaries)} commands pass", *failed[:most]]
    if len(failed) > most:
        parts.append(f"{len(failed) - most} more fail")
    return "; ".join(parts)


def table(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> Table:
    """One column per command, one row per measure, and whether the criteria are met."""
    result = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    result.add_column("command, m/s", no_wrap=True)
    for summary in summaries:
        result.add_column(describe(summary.command).replace(", ", "\n"), justify="right")
    for field, label, form in ROWS:
        values = [getattr(summary, field) for summary in summaries]
        result.add_row(label, *(_cell(value, form) for value in values))
    result.add_section()
    result.add_row("meets the criteria", *(_passes(summary, criteria) for summary in summaries))
    return result


COMPARED = ("survival", "velocity_error_x", "velocity_error_y", "yaw_drift", "alternation")
"""The measures that simulators are compared in, fields of `GaitSummary`."""


def comparison(results: Results, criteria: WalkingCriteria) -> Table:
    """Of every command one row per simulator, one below the other; one column per compared measure."""
    result = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    result.add_column("command, m/s", no_wrap=True)
    result.add_column("simulator", no_wrap=True)
    compared = [row for row in ROWS if row[0] in COMPARED]
    for _, label, _ in compared:
        result.add_column(label.replace(" ", "\n", 1), justify="right")
    result.add_column("meets the\ncriteria", justify="right")
    for summaries in zip(*results.values(), strict=True):
        name = describe(summaries[0].command)
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
        missed = criteria.shortfalls(summary)
        known = {key: None if isinstance(item, float) and math.isnan(item) else item for key, item in values.items()}
        return {"simulator": simulator, **known, "passes": not missed, "shortfalls": missed}

    commands = [plain(simulator, one) for simulator, summaries in results.items() for one in summaries]
    document = {**facts, "criteria": dataclasses.asdict(criteria), "commands": commands}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
