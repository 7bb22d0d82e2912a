"""The properties of every robot as Genesis holds them.

Genesis's entity is passed in, as only `biped/simulators/genesis.py` imports the module.
"""

from typing import Any

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.properties import Properties, ratio
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
        moved = [entity.get_joint(name).link for name in robot.joint_names]
        self._links = [link.idx_local for link in moved]
        # Links without a joint of their own are fixed to the one that has it.
        mover = {link.idx: index for index, link in enumerate(moved)}
        self._movers = {link.idx_local: mover[top] for link in entity.links if (top := _top(link)) in mover}
        self._nominal_mass = entity.get_links_mass().clone()
        self._nominal_inertia = entity.get_links_inertia().clone()
        self._nominal_center = entity.get_links_COM([self._base])[:, 0].clone()
        self._nominal_armature = torch.tensor([robot.armature], device=device).repeat(len(self._nominal_mass), 1)
        self._nominal_friction = entity.get_dofs_frictionloss(self._dofs).clone()
        self._nominal_joint_damping = entity.get_dofs_damping(self._dofs).clone()
        entity.set_dofs_armature(self._nominal_armature, self._dofs)

    def read(self) -> dict[str, Tensor]:
        """Every property as the solver holds it."""
        entity, dofs = self._entity, self._dofs
        strength = entity.get_dofs_force_range(dofs)[1] / self._nominal_effort_limit
        mass = entity.get_links_mass()
        return {
            "friction": entity.solver.get_geoms_friction_ratio(self._foot_geoms).amin(dim=1),
            "motor_strength": strength,
            "stiffness": entity.get_dofs_kp(dofs) / strength / self._nominal_stiffness,
            "damping": ratio(entity.get_dofs_kv(dofs) / strength, self._nominal_damping),
            "armature": ratio(entity.get_dofs_armature(dofs), self._nominal_armature),
            "joint_friction": entity.get_dofs_frictionloss(dofs) - self._nominal_friction,
            "joint_damping": entity.get_dofs_damping(dofs) - self._nominal_joint_damping,
            "added_mass": mass[:, self._base] - self._nominal_mass[:, self._base],
            "link_mass": mass[:, self._links] / self._nominal_mass[:, self._links],
            "center_of_mass": entity.get_links_COM([self._base])[:, 0] - self._nominal_center,
        }

    def _write_friction(self) -> None:
        num_envs = len(self._nominal_mass)
        friction = self.value("friction").unsqueeze(-1).repeat(1, len(self._foot_geoms))
        self._entity.solver.set_geoms_friction_ratio(friction.expand(num_envs, -1), self._foot_geoms)

    def _write_motors(self) -> None:
        strength = self.value("motor_strength").expand_as(self._nominal_armature)
        limit = self._nominal_effort_limit * strength
        self._entity.set_dofs_kp(self._stiffness * strength, self._dofs)
        self._entity.set_dofs_kv(self._damping * strength, self._dofs)
        self._entity.set_dofs_force_range(-limit, limit, self._dofs)

    def _write_joints(self) -> None:
        self._entity.set_dofs_armature(self._nominal_armature * self.value("armature"), self._dofs)
        self._entity.set_dofs_frictionloss(self._nominal_friction + self.value("joint_friction"), self._dofs)
        self._entity.set_dofs_damping(self._nominal_joint_damping + self.value("joint_damping"), self._dofs)

    def _write_masses(self) -> None:
        moved = list(self._movers)
        mass = self._nominal_mass.clone()
        mass[:, self._base] += self.value("added_mass")
        factor = self.value("link_mass").expand_as(self._nominal_armature)
        mass[:, moved] *= factor[:, list(self._movers.values())]
        inertia = self._nominal_inertia * ratio(mass, self._nominal_mass)[:, :, None, None]
        links = [self._base, *moved]
        self._entity.set_links_mass(mass[:, links], links)
        self._entity.set_links_inertia(inertia[:, links], links)
        center = self._nominal_center + self.value("center_of_mass")
        self._entity.set_links_COM(center.unsqueeze(1), [self._base])


def _top(link: Any) -> int:  # noqa: ANN401
    """Index of the link that has a joint, among this one and those that it is fixed to."""
    while link.n_dofs == 0 and link.parent_idx >= 0:
        link = link.solver.links[link.parent_idx]
    return int(link.idx)
