"""The properties of every robot as Genesis holds them.

Genesis's entity is passed in, as only `biped/simulators/genesis.py` imports the module.
"""

from typing import Any

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.properties import Properties
from biped.simulators.state import even_index


class GenesisProperties(Properties):
    """The properties of the robots of an entity. Nothing here waits for the device, but setting is no work for steps.

    Setting a mass recomputes the inertial weights of all robots, which takes longer than a step.
    """

    def __init__(self, entity: Any, robot: Robot, device: torch.device) -> None:  # noqa: ANN401
        """Begin with robots like the model; `entity` is the `RigidEntity` of a scene that has been built."""
        super().__init__(robot, device)
        self._entity = entity
        self._dofs = even_index([entity.get_joint(name).dofs_idx_local[0] for name in robot.joint_names], device)
        self._foot_geoms = [geom.idx for name in robot.foot_links for geom in entity.get_link(name).geoms]
        self._base = entity.get_link(robot.base_link).idx_local
        self._nominal_mass = entity.get_links_mass().clone()
        self._nominal_inertia = entity.get_links_inertia().clone()

    def read(self) -> dict[str, Tensor]:
        """Every property as the solver holds it."""
        _, effort_limit = self._entity.get_dofs_force_range(self._dofs)
        mass = self._entity.get_links_mass()
        return {
            "friction": self._entity.solver.get_geoms_friction_ratio(self._foot_geoms).amin(dim=1),
            "motor_strength": effort_limit / self._nominal_effort_limit,
            "added_mass": mass[:, self._base] - self._nominal_mass[:, self._base],
        }

    def _write_friction(self) -> None:
        num_envs = len(self._nominal_mass)
        ratio = self.value("friction").unsqueeze(-1).repeat(1, len(self._foot_geoms))
        self._entity.solver.set_geoms_friction_ratio(ratio.expand(num_envs, -1), self._foot_geoms)

    def _write_motors(self) -> None:
        strength = self.value("motor_strength").expand(len(self._nominal_mass), len(self._nominal_stiffness))
        limit = self._nominal_effort_limit * strength
        self._entity.set_dofs_kp(self._nominal_stiffness * strength, self._dofs)
        self._entity.set_dofs_kv(self._nominal_damping * strength, self._dofs)
        self._entity.set_dofs_force_range(-limit, limit, self._dofs)

    def _write_masses(self) -> None:
        base = [self._base]
        nominal = self._nominal_mass[:, base]
        mass = nominal + self.value("added_mass").unsqueeze(-1)
        inertia = self._nominal_inertia[:, base] * (mass / nominal)[:, :, None, None]
        self._entity.set_links_mass(mass, base)
        self._entity.set_links_inertia(inertia, base)
