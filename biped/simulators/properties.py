"""What can differ between robots of one model: their physical properties, set and read alike in both engines."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from biped.robots.robot import Robot
from ppo.env import Remembered


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
    # [N, J] factors on the proportional and the derivative gain of each servo, on top of its strength.
    "stiffness": Property(1.0, "motors"),
    "damping": Property(1.0, "motors"),
    # [N, J] factor on the inertia of each servo's rotor.
    "armature": Property(1.0, "joints"),
    # [N, J] N m of dry friction in each joint, more than in the model.
    "joint_friction": Property(0.0, "joints"),
    # [N, J] N m s/rad of viscous friction in each joint, more than in the model.
    "joint_damping": Property(0.0, "joints"),
    # [N] kg more on the base than in the model, its inertia growing in proportion.
    "added_mass": Property(0.0, "masses"),
    # [N, J] factor on mass and inertia of the link that each joint moves, and of what is fixed to that.
    "link_mass": Property(1.0, "masses"),
    # [N, 3] m by which the base's centre of mass lies elsewhere than in the model, in the body frame.
    "center_of_mass": Property(0.0, "masses"),
}
"""Shape, unit and meaning stand above each."""


class Properties(ABC):
    """The properties of `N` robots with `J` joints in one engine, and the PD law of their servos.

    What was never set is as in the model, but for friction, which is 1.
    """

    def __init__(self, robot: Robot, device: torch.device) -> None:
        """Begin with robots like the model."""
        self._values: dict[str, Tensor] = {}
        self._neutral = {name: torch.tensor(entry.neutral, device=device) for name, entry in PROPERTIES.items()}
        self._nominal_stiffness = torch.tensor(robot.stiffness, device=device)
        self._nominal_damping = torch.tensor(robot.damping, device=device)
        self._nominal_effort_limit = torch.tensor(robot.effort_limit, device=device)
        self._lowest_nominal_effort = -self._nominal_effort_limit
        # Of servos of strength 1, [J] or [N, J].
        self._stiffness, self._damping = self._nominal_stiffness, self._nominal_damping

    def set(self, values: Mapping[str, Tensor]) -> None:
        """Set the properties in `values`, by the names in `PROPERTIES`; the others stay as they are."""
        self._values = self._values | {name: value.clone() for name, value in values.items()}
        self._write(values)

    @property
    def remembered(self) -> Remembered:
        """What `torque` reads, and setting replaces."""
        return self, ("_values", "_stiffness", "_damping")

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
        torque = self._stiffness * (target - position) - self._damping * velocity
        limited = torch.clamp(torque, self._lowest_nominal_effort, self._nominal_effort_limit)
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
        self._stiffness = self._nominal_stiffness * self.value("stiffness")
        self._damping = self._nominal_damping * self.value("damping")
        writers = {
            "friction": self._write_friction,
            "motors": self._write_motors,
            "joints": self._write_joints,
            "masses": self._write_masses,
        }
        for group in dict.fromkeys(PROPERTIES[name].group for name in names):
            writers[group]()

    @abstractmethod
    def _write_friction(self) -> None: ...

    @abstractmethod
    def _write_motors(self) -> None: ...

    @abstractmethod
    def _write_joints(self) -> None: ...

    @abstractmethod
    def _write_masses(self) -> None: ...


def ratio(value: Tensor, nominal: Tensor) -> Tensor:
    """`value` as a multiple of `nominal`; 1 where that is 0 and no multiple is anything else."""
    return torch.where(nominal == 0.0, 1.0, value / nominal)
