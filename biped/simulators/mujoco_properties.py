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
        """Begin with robots like `model`, an `MjModel`; `batch` is the `mjbatch.Batch` of it."""
        super().__init__(robot, torch.device("cpu"))
        self._batch = batch
        self._friction = batch.expand("geom_friction")
        self._gain, self._bias = batch.expand("actuator_gainprm"), batch.expand("actuator_biasprm")
        self._force_range = batch.expand("actuator_forcerange")
        self._mass, self._inertia = batch.expand("body_mass"), batch.expand("body_inertia")
        self._nominal_mass, self._nominal_inertia = model.body_mass.copy(), model.body_inertia.copy()
        self._base = model.body(robot.base_link).id
        feet = [model.body(name).id for name in robot.foot_links]
        self._foot_geoms = np.flatnonzero(np.isin(model.geom_bodyid, feet))

    def read(self) -> dict[str, Tensor]:
        """Every property as the solver holds it."""
        held = {
            "friction": self._friction[:, self._foot_geoms, 0].min(axis=1),
            "motor_strength": self._force_range[:, :, 1] / self._nominal_effort_limit.numpy(),
            "added_mass": self._mass[:, self._base] - self._nominal_mass[self._base],
        }
        return {name: torch.from_numpy(value).float() for name, value in held.items()}

    def _write_friction(self) -> None:
        self._friction[:, self._foot_geoms, 0] = self.value("friction").unsqueeze(-1).numpy()

    def _write_motors(self) -> None:
        strength = self.value("motor_strength")
        nominal = (self._nominal_stiffness, self._nominal_damping, self._nominal_effort_limit)
        stiffness, damping, limit = ((value * strength).numpy() for value in nominal)
        self._gain[:, :, 0] = stiffness
        self._bias[:, :, 1] = -stiffness
        self._bias[:, :, 2] = -damping
        self._force_range[:, :, 0] = -limit
        self._force_range[:, :, 1] = limit

    def _write_masses(self) -> None:
        self._mass[:] = self._nominal_mass
        self._mass[:, self._base] += self.value("added_mass").double().numpy()
        heavier = np.divide(
            self._mass, self._nominal_mass, out=np.ones_like(self._mass), where=self._nominal_mass > 0.0
        )
        self._inertia[:] = self._nominal_inertia * heavier[:, :, None]
        self._batch.set_const()
