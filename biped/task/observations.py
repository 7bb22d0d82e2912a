"""The observation vector: named slices, their order, scales and noise."""

import itertools
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.state import State
from ppo.value_ranges import Range, check_ranges

HIP_JOINTS = ("right_hip1", "right_hip2", "left_hip1", "left_hip2")
KNEE_JOINTS = ("right_knee", "left_knee")
ANKLE_JOINTS = ("right_ankle", "left_ankle")
TORSO_JOINTS = ("revolute_torso",)
Scale = Annotated[float, Range(-1e6, 1e6)]
Noise = Annotated[float, Range(0.0, 1e6)]


@dataclass(frozen=True)
class ObservationConfig:
    """What is observed, with what noise, in what scale.

    Noise is uniform between plus and minus the given amplitude of the physical quantity, and added before scaling.
    """

    clock: bool = False
    """Append sine and cosine of the gait clock (2 values)."""
    torso: bool = False
    """Append angle and velocity of the torso joint (2 values)."""
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
    contact_noise: Noise = 0.1
    """Of a contact reading between 0 and 1."""
    limit: Annotated[float, Range(1e-6, 1e6)] = 100.0
    """Observations are clipped to plus and minus this after scaling."""

    def __post_init__(self) -> None:
        check_ranges(self)


class ObservationField(NamedTuple):
    """One named part of the observation vector."""

    name: str
    source: str
    """The quantity that the values come from."""
    columns: tuple[int, ...]
    """The columns of that quantity; one for each value."""
    scale: tuple[float, ...]
    """Factor on each value."""
    noise: float
    """Noise amplitude of the unscaled quantity."""

    @property
    def width(self) -> int:
        """Number of values."""
        return len(self.columns)


def observation_fields(robot: Robot, config: ObservationConfig) -> tuple[ObservationField, ...]:
    """The parts of the observation in their order: 38 values for nine joints without the optional parts."""

    def field(
        name: str, source: str, columns: tuple[int, ...], scale: float = 1.0, noise: float = 0.0
    ) -> ObservationField:
        return ObservationField(name, source, columns, (scale,) * len(columns), noise)

    def joints(name: str, names: tuple[str, ...]) -> tuple[ObservationField, ObservationField]:
        columns = robot.joint_indices(names)
        position, velocity = f"{name}_position", f"{name}_velocity"
        return (
            field(position, "joint_position", columns, config.joint_position_scale, config.joint_position_noise),
            field(velocity, "joint_velocity", columns, config.joint_velocity_scale, config.joint_velocity_noise),
        )

    linear, linear_noise = config.linear_velocity_scale, config.linear_velocity_noise
    angular, angular_noise = config.angular_velocity_scale, config.angular_velocity_noise
    return (
        field("roll_pitch", "roll_pitch_yaw", (0, 1), noise=config.roll_pitch_noise),
        field("angular_velocity_xy", "base_angular_velocity", (0, 1), angular, angular_noise),
        field("angular_velocity_z", "base_angular_velocity", (2,), angular, angular_noise),
        field("linear_velocity_xy", "base_linear_velocity", (0, 1), linear, linear_noise),
        field("base_height", "base_position", (2,), noise=config.height_noise),
        ObservationField("command", "command", (0, 1, 2), (linear, linear, angular), 0.0),
        *joints("hip", HIP_JOINTS),
        *joints("knee", KNEE_JOINTS),
        *joints("ankle", ANKLE_JOINTS),
        field("foot_contact", "foot_contact", (0, 1), noise=config.contact_noise),
        field("previous_action", "previous_action", tuple(range(robot.num_joints))),
        *((field("clock", "clock", (0, 1)),) if config.clock else ()),
        *(joints("torso", TORSO_JOINTS) if config.torso else ()),
    )


def observation_slices(fields: tuple[ObservationField, ...]) -> dict[str, slice]:
    """Where each named part lies in the observation vector."""
    slices, start = {}, 0
    for field in fields:
        slices[field.name] = slice(start, start + field.width)
        start += field.width
    return slices


class Observer:
    """Builds observation vectors `[N, D]`: one concatenation of all sources, then one choice of columns.

    What the sensors measure, `[N, M]`, is kept apart from what the robot knows by itself (command, contacts, action,
    clock), so that the end of an episode and the beginning of the next can be observed in one step.
    """

    def __init__(self, robot: Robot, config: ObservationConfig, generator: torch.Generator) -> None:
        """Prepare the columns, scales and noise for `robot`; noise comes from `generator`."""
        device = generator.device
        self.fields = observation_fields(robot, config)
        """The parts in their order."""
        self.slices = observation_slices(self.fields)
        """Where each part lies."""
        self.dim = sum(field.width for field in self.fields)
        """`D`."""
        widths = {
            "roll_pitch_yaw": 3,
            "base_angular_velocity": 3,
            "base_linear_velocity": 3,
            "base_position": 3,
            "joint_position": robot.num_joints,
            "joint_velocity": robot.num_joints,
            "command": 3,
            "foot_contact": 2,
            "previous_action": robot.num_joints,
            "clock": 2,
        }
        starts = dict(zip(widths, (0, *itertools.accumulate(widths.values())), strict=False))
        columns, offset, scale, noise = [], [], [], []
        for field in self.fields:
            for column, factor in zip(field.columns, field.scale, strict=True):
                columns.append(starts[field.source] + column)
                offset.append(robot.default_joint_position[column] if field.source == "joint_position" else 0.0)
                scale.append(factor)
                noise.append(factor * field.noise)
        self._columns = torch.tensor(columns, device=device)
        self._offset = torch.tensor(offset, device=device)
        self._scale = torch.tensor(scale, device=device)
        self._noise = torch.tensor(noise, device=device)
        self._config = config
        self._generator = generator

    def draw_noise(self, num_envs: int) -> Tensor:
        """Noise `[N, D]` for one observation of each of `N` robots, in its scale."""
        noise = torch.zeros(num_envs, self.dim, device=self._noise.device)
        if self._config.noise:
            noise.uniform_(-1.0, 1.0, generator=self._generator).mul_(self._noise)
        return noise

    def measure(self, state: State) -> Tensor:
        """What the sensors would measure without noise, `[N, M]`."""
        return torch.cat(
            (
                state.roll_pitch_yaw,
                state.base_angular_velocity,
                state.base_linear_velocity,
                state.base_position,
                state.joint_position,
                state.joint_velocity,
            ),
            dim=1,
        )

    def measure_at_rest(self, base_position: Tensor, joint_position: Tensor) -> Tensor:
        """The same `[N, M]` for robots at rest, upright with heading 0, given `[N, 3]` m and `[N, J]` rad."""
        still = torch.zeros_like(base_position)
        return torch.cat((still, still, still, base_position, joint_position, torch.zeros_like(joint_position)), dim=1)

    def __call__(
        self,
        measurement: Tensor,
        *,
        command: Tensor,
        foot_contact: Tensor,
        previous_action: Tensor,
        clock: Tensor | None,
        noise: Tensor,
    ) -> Tensor:
        """Observe.

        Args:
            measurement: `[N, M]` from `measure` or `measure_at_rest`.
            command: `[N, 3]` m/s, m/s, rad/s.
            foot_contact: `[N, 2]` readings of the contact sensors, 0 to 1.
            previous_action: `[N, J]`.
            clock: `[N, 2]` sine and cosine of the gait clock; needed if it is observed.
            noise: `[N, D]` from `draw_noise`.

        Returns:
            `[N, D]`.
        """
        sources = [measurement, command, foot_contact, previous_action]
        if clock is not None:
            sources.append(clock)
        observation = torch.cat(sources, dim=1).index_select(1, self._columns)
        observation.sub_(self._offset).mul_(self._scale).add_(noise)
        return observation.clamp_(-self._config.limit, self._config.limit)
