"""The observation vector: named slices, their order, scales and noise."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from biped.robots.robot import Robot
from biped.task import mirror
from biped.task import observation_sources as sources
from biped.task.table import entries, entry
from ppo.value_ranges import ConfigurationError, Range, check_ranges

GRAVITY = 9.81
"""m/s^2."""
Scale = Annotated[float, Range(-1e6, 1e6)]
Noise = Annotated[float, Range(0.0, 1e6)]


class ObservationField(NamedTuple):
    """One named part of the observation vector."""

    name: str
    source: sources.Measured | sources.Known
    """The quantity that the values come from."""
    columns: Sequence[int]
    """The columns of that quantity; one for each value."""
    scale: float | Sequence[float] = 1.0
    """Factor on each value."""
    noise: float = 0.0
    """Noise amplitude of the unscaled quantity."""
    offset: float | Sequence[float] = 0.0
    """What each value counts from, before scaling."""
    critic_only: bool = False
    """The actor does not see it; the critic sees it without noise."""

    @property
    def width(self) -> int:
        """Number of values."""
        return len(self.columns)


PartFields = Callable[[Robot, Any], Sequence[ObservationField]]
"""From a robot and the whole configuration of the observations to what is appended."""


@dataclass(frozen=True)
class Part:
    """A part of the observation that a field of the configuration switches on."""

    fields: PartFields


def part(fields: PartFields, on: bool = False) -> bool:
    """The default of a field of the observations that appends what `fields` returns where it is on."""
    return entry(on, Part(fields))


def hidden_part(name: str, scale: Callable[[Robot], float] = lambda robot: 1.0) -> bool:
    """The default of a field that appends what only a simulator knows, for the critic only; off."""
    one = sources.HIDDEN[name]
    return part(lambda robot, config: [critic_field(name, one.source, one.columns(robot), scale(robot))])


@dataclass(frozen=True)
class ObservationConfig:
    """What is observed, with what noise, in what scale.

    Noise is uniform between plus and minus the given amplitude of the physical quantity, and added before scaling.
    A part of your own is one more field, here or in a class derived from this one; what it appends comes last.
    """

    clock: bool = part(lambda robot, config: [ObservationField("clock", sources.CLOCK, (0, 1))])
    """Append sine and cosine of the gait clock (2 values)."""
    torso: bool = part(lambda robot, config: joint_fields("torso", robot.torso_joints, robot, config))
    """Append angles and velocities of the torso's joints (2 values for one joint)."""
    projected_gravity: bool = part(lambda robot, config: [gravity_field(config)])
    """Append the direction of gravity in the body frame, as an IMU tells it (3 values)."""
    other_joints: bool = part(lambda robot, config: unseen_joint_fields(robot, config))
    """Append angles and velocities of the joints that are not in the observation yet."""
    contact_force: bool = part(lambda robot, config: [critic_field("contact_force", sources.CONTACT_FORCE, 2, 0.25)])
    """Append the force on each foot, for the critic only (2 values)."""
    friction: bool = hidden_part("friction")
    """Append the friction coefficient as it was drawn, for the critic only."""
    motor_strength: bool = hidden_part("motor_strength")
    """Append the strength of every motor, for the critic only."""
    added_mass: bool = hidden_part("added_mass", lambda robot: 1.0 / robot.base_mass)
    """Append the mass added to the base, as a share of its own, for the critic only."""
    latency: bool = hidden_part("latency")
    """Append the control steps from an action to its effect, for the critic only."""
    last_push: bool = hidden_part("last_push")
    """Append the last push of the episode and the time since then, for the critic only (3 values)."""
    center_of_mass: bool = hidden_part("center_of_mass", lambda robot: 50.0)
    """Append where the base's centre of mass lies, for the critic only (3 values)."""
    stiffness: bool = hidden_part("stiffness")
    """Append the factor on the stiffness of every servo, for the critic only."""
    damping: bool = hidden_part("damping")
    """Append the factor on the damping of every servo, for the critic only."""
    link_mass: bool = hidden_part("link_mass")
    """Append the factor on the mass of the link that each joint moves, for the critic only."""
    encoder_bias: bool = hidden_part("encoder_bias", lambda robot: 50.0)
    """Append the bias of every joint's encoder, for the critic only."""
    sensor_delay: bool = hidden_part("sensor_delay")
    """Append the control steps by which measurements are late, for the critic only."""
    impulse: bool = hidden_part("impulse", lambda robot: 1.0 / (GRAVITY * robot.mass))
    """Append the force of an impulse as a share of the robot's weight, for the critic only (3 values)."""
    critic_only: tuple[str, ...] = ()
    """Names of further parts that the actor does not see, such as base_height; the critic sees them without noise, and
    as they are whatever the faults of the sensors."""
    noise: bool = True
    """Add noise at all."""
    linear_velocity_scale: Scale = 2.0
    """Per m/s; for commands too."""
    angular_velocity_scale: Scale = 0.25
    """Per rad/s; for the commanded yaw rate too."""
    joint_position_scale: Scale = 1.0
    """Per rad away from the default pose."""
    joint_velocity_scale: Scale = 0.05
    """Per rad/s."""
    linear_velocity_noise: Noise = 0.1
    """m/s."""
    angular_velocity_noise: Noise = 0.15
    """rad/s."""
    joint_position_noise: Noise = 0.02
    """rad."""
    joint_velocity_noise: Noise = 0.2
    """rad/s."""
    height_noise: Noise = 0.01
    """m."""
    roll_pitch_noise: Noise = 0.03
    """rad."""
    gravity_noise: Noise = 0.03
    """Of each value of a unit vector."""
    contact_noise: Noise = 0.1
    """Of a contact reading between 0 and 1."""
    limit: Annotated[float, Range(1e-6, 1e6)] = 100.0
    """Observations are clipped to plus and minus this after scaling."""

    def __post_init__(self) -> None:
        check_ranges(self)


def joint_fields(
    name: str, joints: Sequence[str], robot: Robot, config: ObservationConfig
) -> tuple[ObservationField, ObservationField]:
    """Angles away from the default pose and velocities of some joints."""
    columns = robot.joint_indices(joints)
    default = [robot.default_joint_position[column] for column in columns]
    scale, noise = config.joint_position_scale, config.joint_position_noise
    return (
        ObservationField(f"{name}_position", sources.JOINT_POSITION, columns, scale, noise, default),
        ObservationField(
            f"{name}_velocity",
            sources.JOINT_VELOCITY,
            columns,
            config.joint_velocity_scale,
            config.joint_velocity_noise,
        ),
    )


def gravity_field(config: ObservationConfig) -> ObservationField:
    """The direction of gravity."""
    return ObservationField("projected_gravity", sources.PROJECTED_GRAVITY, range(3), noise=config.gravity_noise)


def unseen_joint_fields(robot: Robot, config: ObservationConfig) -> tuple[ObservationField, ...]:
    """The joints in none of the other parts, if there are any."""
    seen = {joint for _, joints in robot.observed_groups for joint in joints}
    seen.update(robot.torso_joints if config.torso else ())
    rest = [joint for joint in robot.joint_names if joint not in seen]
    return joint_fields("other_joints", rest, robot, config) if rest else ()


def critic_field(
    name: str, source: sources.Measured | sources.Known, width: int, scale: float = 1.0
) -> ObservationField:
    """All `width` values of a quantity that no robot measures."""
    return ObservationField(name, source, range(width), scale, critic_only=True)


def observation_fields(robot: Robot, config: ObservationConfig) -> tuple[ObservationField, ...]:
    """The parts of the observation in their order: 38 values for the biped without the optional parts.

    Raises:
        ValueError: two have the same name.
        ConfigurationError: `critic_only` names one that is not there.
    """
    linear, linear_noise = config.linear_velocity_scale, config.linear_velocity_noise
    angular, angular_noise = config.angular_velocity_scale, config.angular_velocity_noise
    always = (
        ObservationField("roll_pitch", sources.ROLL_PITCH_YAW, (0, 1), noise=config.roll_pitch_noise),
        ObservationField("angular_velocity_xy", sources.BASE_ANGULAR_VELOCITY, (0, 1), angular, angular_noise),
        ObservationField("angular_velocity_z", sources.BASE_ANGULAR_VELOCITY, (2,), angular, angular_noise),
        ObservationField("linear_velocity_xy", sources.BASE_LINEAR_VELOCITY, (0, 1), linear, linear_noise),
        ObservationField("base_height", sources.BASE_POSITION, (2,), noise=config.height_noise),
        ObservationField("command", sources.COMMAND, (0, 1, 2), (linear, linear, angular)),
        *(field for name, joints in robot.observed_groups for field in joint_fields(name, joints, robot, config)),
        ObservationField("foot_contact", sources.FOOT_CONTACT, (0, 1), noise=config.contact_noise),
        ObservationField("previous_action", sources.PREVIOUS_ACTION, range(robot.num_joints)),
    )
    optional = [
        field
        for name, part in entries(type(config), Part).items()
        if getattr(config, name)
        for field in part.fields(robot, config)
    ]
    fields = (*always, *optional)
    twice = [name for name, count in Counter(field.name for field in fields).items() if count > 1]
    if twice:
        raise ValueError(f"two parts of the observation have the name {twice[0]}")
    unknown = set(config.critic_only) - {field.name for field in fields}
    if unknown:
        names = ", ".join(field.name for field in fields)
        raise ConfigurationError(ObservationConfig, "critic_only", f"must be among {names}, not {min(unknown)}")
    return tuple(
        field._replace(critic_only=True, noise=0.0) if field.name in config.critic_only else field for field in fields
    )


def critic_only_columns(fields: Sequence[ObservationField]) -> tuple[int, ...]:
    """Columns of the observation vector that the actor does not see."""
    groups = [field.critic_only for field in fields for _ in range(field.width)]
    return tuple(itertools.compress(itertools.count(), groups))


def observation_slices(fields: tuple[ObservationField, ...]) -> dict[str, slice]:
    """Where each named part lies in the observation vector."""
    slices, start = {}, 0
    for field in fields:
        slices[field.name] = slice(start, start + field.width)
        start += field.width
    return slices


def observation_image(robot: Robot, fields: Sequence[ObservationField]) -> mirror.Image:
    """How the observation vector looks in the mirror.

    Raises:
        ValueError: a part has no mirror image, or shows one side of the robot without the other.
    """
    columns: list[int] = []
    signs: list[float] = []
    for field in fields:
        rule = field.source.mirror
        if rule is None:
            raise ValueError(f"the observation {field.name} does not say how it looks in the mirror: `mirror` is None")
        image = rule if isinstance(rule, mirror.Image) else rule(robot)
        start = len(columns)
        for column in field.columns:
            if column >= len(image.columns) or image.columns[column] not in field.columns:
                raise ValueError(f"the observation {field.name} lacks what column {column} looks like in the mirror")
            columns.append(start + field.columns.index(image.columns[column]))
            signs.append(image.signs[column])
    return mirror.Image(tuple(columns), tuple(signs))
