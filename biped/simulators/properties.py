"""What can differ between robots of one model: their physical properties, set and read alike in both engines."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from biped.robots.robot import Robot


class Property(NamedTuple):
    """A physical property of every robot."""

    neutral: float
    """Its value in robots like the model."""
    group: str
    """Properties of one group are written together, as they share what the solver holds."""


PROPERTIES: Mapping[str, Property] = {
    # [N] coefficient between the feet and the ground, at least GROUND_FRICTION.
    "friction": Property(1.0, "friction"),
    # [N, J] factor on both gains and the torque limit of each servo.
    "motor_strength": Property(1.0, "motors"),
    # [N] kg more on the base than in the model, its inertia growing in proportion.
    "added_mass": Property(0.0, "masses"),
}
"""Shape, unit and meaning stand above each."""


class Properties(ABC):
    """The properties of `N` robots with `J` joints in one engine, and the PD law of their servos.

    What was never set is as in the model.
    """

    def __init__(self, robot: Robot, device: torch.device) -> None:
        """Begin with robots like the model."""
        self._values: dict[str, Tensor] = {}
        self._neutral = {name: torch.tensor(entry.neutral, device=device) for name, entry in PROPERTIES.items()}
        self._nominal_stiffness = torch.tensor(robot.stiffness, device=device)
        self._nominal_damping = torch.tensor(robot.damping, device=device)
        self._nominal_effort_limit = torch.tensor(robot.effort_limit, device=device)

    def set(self, values: Mapping[str, Tensor]) -> None:
        """Set the properties in `values`, by the names in `PROPERTIES`; the others stay as they are."""
        self._values.update((name, value.clone()) for name, value in values.items())
        self._write(values)

    @abstractmethod
    def read(self) -> dict[str, Tensor]:
        """Every property as the solver holds it."""

    def torque(self, target: Tensor, position: Tensor, velocity: Tensor) -> Tensor:
        """Torques `[N, J]` N m of the servos by the PD law.

        Args:
            target: `[N, J]` rad.
            position: `[N, J]` rad.
            velocity: `[N, J]` rad/s.
        """
        torque = self._nominal_stiffness * (target - position) - self._nominal_damping * velocity
        limited = torch.clamp(torque, -self._nominal_effort_limit, self._nominal_effort_limit)
        return self.value("motor_strength") * limited

    def value(self, name: str) -> Tensor:
        """A property as it was set, or a single number where it never was."""
        return self._values.get(name, self._neutral[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of what was set."""
        return {name: value.clone() for name, value in self._values.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Return to what was set when `state_dict` was taken; `state` may hold other things as well."""
        before = self._values
        self._values = {name: state[name].clone() for name in PROPERTIES if name in state}
        self._write(before | self._values)

    def _write(self, names: Mapping[str, Tensor]) -> None:
        """Hand the groups of the properties `names` to the solver."""
        writers = {"friction": self._write_friction, "motors": self._write_motors, "masses": self._write_masses}
        for group in dict.fromkeys(PROPERTIES[name].group for name in names):
            writers[group]()

    @abstractmethod
    def _write_friction(self) -> None: ...

    @abstractmethod
    def _write_motors(self) -> None: ...

    @abstractmethod
    def _write_masses(self) -> None: ...
