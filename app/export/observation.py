"""The observation vector in words that a robot's software can follow: which reading, which values of it, what scale."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from biped.robots.robot import Robot
from biped.task import observation_sources as sources
from biped.task.observations import ObservationConfig, ObservationField, observation_fields


class Reading(NamedTuple):
    """A quantity that observations are made of, as it is called outside of the project."""

    name: str
    components: tuple[str, ...]
    """Names of its values; empty where there is one per joint."""
    units: tuple[str, ...]
    """Of each value, or one for all of them."""
    description: str
    own: bool = False
    """The runner knows it by itself; all others are measured."""


READINGS: dict[sources.Measured | sources.Known, Reading] = {
    sources.ROLL_PITCH_YAW: Reading(
        "roll_pitch_yaw", ("roll", "pitch", "yaw"), ("rad",), "intrinsic z-y-x Euler angles of the base"
    ),
    sources.BASE_ANGULAR_VELOCITY: Reading(
        "base_angular_velocity", ("x", "y", "z"), ("rad/s",), "of the base, in the body frame"
    ),
    sources.BASE_LINEAR_VELOCITY: Reading(
        "base_linear_velocity", ("x", "y", "z"), ("m/s",), "of the origin of the base, in the body frame"
    ),
    sources.BASE_POSITION: Reading(
        "base_position", ("x", "y", "z"), ("m",), "of the origin of the base; z is its height above the ground"
    ),
    sources.PROJECTED_GRAVITY: Reading(
        "projected_gravity",
        ("x", "y", "z"),
        ("1",),
        "unit vector of gravity in the body frame; (0, 0, -1) where the base is upright",
    ),
    sources.JOINT_POSITION: Reading("joint_position", (), ("rad",), "in the order of joints.names"),
    sources.JOINT_VELOCITY: Reading("joint_velocity", (), ("rad/s",), "in the order of joints.names"),
    sources.FOOT_CONTACT: Reading(
        "foot_contact", ("right", "left"), ("1",), "1 where the foot is on the ground, else 0: see contact_threshold"
    ),
    sources.COMMAND: Reading(
        "command",
        ("forward", "left", "yaw_rate"),
        ("m/s", "m/s", "rad/s"),
        "velocity that is asked for, in the body frame",
        own=True,
    ),
    sources.PREVIOUS_ACTION: Reading(
        "previous_action", (), ("1",), "what the policy returned last, 0 at the start", own=True
    ),
    sources.CLOCK: Reading("clock", ("sine", "cosine"), ("1",), "of the gait clock: see clock", own=True),
}
"""Every source that the contract can express."""


def actor_fields(robot: Robot, config: ObservationConfig) -> tuple[ObservationField, ...]:
    """The parts of the observation that an exported policy sees: all but those for the critic."""
    return tuple(field for field in observation_fields(robot, config) if not field.critic_only)


def check_sources(fields: Sequence[ObservationField]) -> None:
    """Check that the contract can express every part of the observation.

    Raises:
        ValueError: it cannot.
    """
    unknown = [field.name for field in fields if field.source not in READINGS]
    if unknown:
        raise ValueError(
            f"the policy observes {', '.join(unknown)}, which the contract has no words for; add a reading for the "
            "source to READINGS in app/export/observation.py"
        )


def describe_observation(robot: Robot, config: ObservationConfig) -> dict[str, Any]:
    """The part `observation` of the contract.

    Raises:
        ValueError: the contract cannot express a part of it.
    """
    fields = actor_fields(robot, config)
    check_sources(fields)
    parts: list[dict[str, Any]] = []
    start = 0
    for field in fields:
        reading = READINGS[field.source]
        names = reading.components or robot.joint_names
        units = reading.units * len(names) if len(reading.units) == 1 else reading.units
        parts.append(
            {
                "name": field.name,
                "start": start,
                "reading": reading.name,
                "columns": list(field.columns),
                "values": [names[column] for column in field.columns],
                "units": [units[column] for column in field.columns],
                "offset": _each(field.offset, field.width),
                "scale": _each(field.scale, field.width),
            }
        )
        start += field.width
    used = dict.fromkeys(READINGS[field.source] for field in fields)
    return {
        "size": start,
        "formula": "clip((reading[columns] - offset) * scale, -limit, limit)",
        "limit": config.limit,
        "history": 1,
        "parts": parts,
        "readings": {
            reading.name: {
                "values": list(reading.components or robot.joint_names),
                "description": reading.description,
                "measured": not reading.own,
            }
            for reading in used
        },
    }


def clock_column(fields: Sequence[ObservationField]) -> int | None:
    """Where the sine of the gait clock lies in the observation, its sign kept; None where it is not shown."""
    start = 0
    for field in fields:
        if field.source is sources.CLOCK and 0 in field.columns:
            position = list(field.columns).index(0)
            if _each(field.scale, field.width)[position] > 0.0 and _each(field.offset, field.width)[position] == 0.0:
                return start + position
        start += field.width
    return None


def _each(number: float | Sequence[float], width: int) -> list[float]:
    return [float(value) for value in number] if isinstance(number, Sequence) else [float(number)] * width
