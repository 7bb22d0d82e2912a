"""The properties of every robot as MuJoCo holds them: fields of the model that mjbatch keeps apart for each robot.

MuJoCo's model and the batch are passed in, as only `biped/simulators/mujoco.py` imports their modules.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.properties import Properties


class MujocoProperties(Properties):
    """The properties of the robots of a batch."""

    def __init__(self, batch: Any, model: Any, robot: Robot) -> None:  # noqa: ANN401
        """Begin with robots like `model`, an `MjModel`, with friction 1; `batch` is the `mjbatch.Batch` of it."""
        super().__init__(robot, torch.device("cpu"))
        self._batch = batch
        self._friction = batch.expand("geom_friction")
        self._gain, self._bias = batch.expand("actuator_gainprm"), batch.expand("actuator_biasprm")
        self._force_range = batch.expand("actuator_forcerange")
        self._armature = batch.expand("dof_armature")
        self._joint_friction, self._joint_damping = batch.expand("dof_frictionloss"), batch.expand("dof_damping")
        self._mass, self._inertia = batch.expand("body_mass"), batch.expand("body_inertia")
        self._center, self._same_frame = batch.expand("body_ipos"), batch.expand("body_sameframe")
        self._nominal = {
            name: getattr(model, name).copy()
            for name in ("body_mass", "body_inertia", "body_ipos", "dof_armature", "dof_frictionloss", "dof_damping")
        }
        joints = [model.joint(name) for name in robot.joint_names]
        self._dofs = np.array([int(joint.dofadr[0]) for joint in joints])
        self._links = [int(joint.bodyid[0]) for joint in joints]
        # Links without a joint of their own are welded to the one that has it.
        mover = {link: index for index, link in enumerate(self._links)}
        self._moved = np.flatnonzero(np.isin(model.body_weldid, list(mover)))
        self._movers = np.array([mover[int(model.body_weldid[link])] for link in self._moved])
        self._base = model.body(robot.base_link).id
        feet = [model.body(name).id for name in robot.foot_links]
        self._foot_geoms = np.flatnonzero(np.isin(model.geom_bodyid, feet))
        self._write_friction()

    def read(self) -> dict[str, Tensor]:
        """Every property as the solver holds it."""
        strength = self._force_range[:, :, 1] / self._nominal_effort_limit.numpy()
        links, nominal = self._links, self._nominal
        held = {
            "friction": self._friction[:, self._foot_geoms, 0].min(axis=1),
            "motor_strength": strength,
            "stiffness": self._gain[:, :, 0] / strength / self._nominal_stiffness.numpy(),
            "damping": -self._bias[:, :, 2] / strength / self._nominal_damping.numpy(),
            "armature": self._armature[:, self._dofs] / nominal["dof_armature"][self._dofs],
            "joint_friction": (self._joint_friction - nominal["dof_frictionloss"])[:, self._dofs],
            "joint_damping": (self._joint_damping - nominal["dof_damping"])[:, self._dofs],
            "added_mass": self._mass[:, self._base] - nominal["body_mass"][self._base],
            "link_mass": self._mass[:, links] / nominal["body_mass"][links],
            "center_of_mass": self._center[:, self._base] - nominal["body_ipos"][self._base],
        }
        return {name: torch.from_numpy(value).float() for name, value in held.items()}

    def _write_friction(self) -> None:
        self._friction[:, self._foot_geoms, 0] = self.value("friction").unsqueeze(-1).numpy()

    def _write_motors(self) -> None:
        strength = self.value("motor_strength")
        nominal = (self._stiffness, self._damping, self._nominal_effort_limit)
        stiffness, damping, limit = ((value * strength).numpy() for value in nominal)
        self._gain[:, :, 0] = stiffness
        self._bias[:, :, 1] = -stiffness
        self._bias[:, :, 2] = -damping
        self._force_range[:, :, 0] = -limit
        self._force_range[:, :, 1] = limit

    def _write_joints(self) -> None:
        nominal, dofs = self._nominal, self._dofs
        self._armature[:, dofs] = nominal["dof_armature"][dofs] * self._double("armature")
        self._joint_friction[:, dofs] = nominal["dof_frictionloss"][dofs] + self._double("joint_friction")
        self._joint_damping[:, dofs] = nominal["dof_damping"][dofs] + self._double("joint_damping")
        self._batch.set_const()

    def _write_masses(self) -> None:
        nominal = self._nominal["body_mass"]
        self._mass[:] = nominal
        self._mass[:, self._base] += self._double("added_mass")
        factor = np.broadcast_to(self._double("link_mass"), (len(self._mass), len(self._dofs)))
        self._mass[:, self._moved] *= factor[:, self._movers]
        heavier = np.divide(self._mass, nominal, out=np.ones_like(self._mass), where=nominal > 0.0)
        self._inertia[:] = self._nominal["body_inertia"] * heavier[:, :, None]
        self._center[:, self._base] = self._nominal["body_ipos"][self._base] + self._double("center_of_mass")
        # The compiler notes where a link's frame and that of its mass are one, and the engine then looks no further.
        self._same_frame[:, self._base] = 0
        self._batch.set_const()

    def _double(self, name: str) -> Any:  # noqa: ANN401
        """A property in MuJoCo's precision."""
        return self.value(name).double().numpy()
