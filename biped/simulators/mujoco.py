"""Many copies of a robot on flat ground in MuJoCo: a second opinion on a policy that was trained in Genesis.

The only module that imports `mujoco`, and only once a `MujocoSimulator` is made. It takes the place of
`biped.simulators.genesis.GenesisSimulator`: the same robot, servos and conventions, MuJoCo's own contacts and solver,
in double precision, one robot after the other on one core.

MuJoCo, as Genesis, writes the velocity of a free base as (linear in the world frame, angular in the **body** frame).
"""

import copy
import math
import os
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.config import CAMERA_OFFSET, LARGEST_VALUE, SimulationConfig
from biped.simulators.environment_variables import unset_empty_variables
from biped.simulators.mujoco_model import build_model, sole_site
from biped.simulators.state import State, rotate, rotate_inverse, state_from_rows

LOWEST_VERSION = (3, 3, 3)
"""Of MuJoCo; it has all that is used here."""

LONGEST_STEP = 0.002
"""s; physics steps are divided further where they would be longer. It is MuJoCo's own default: a check of a policy
should not share the coarse steps that the policy was trained with, and a real servo's loop is that fast."""

REMEDY = "pip install 'mujoco>=3.3.3'"

RENDERING_REMEDY = (
    "set MUJOCO_GL to egl, osmesa or glfw, whichever is installed, or record the video with Genesis instead"
)

PICTURE_SIZE = 480, 640
"""Rows and columns of a frame."""


class MujocoSimulator:
    """`num_envs` robots, each alone on flat ground, with everything per robot: state, friction, motors, mass.

    Joint vectors stand in the order of `robot.joint_names`. All tensors lie on the CPU.

    Args:
        robot: what to simulate.
        num_envs: number of robots `N`.
        config: `control_dt`, the least number of `substeps`, and `self_collision`; the rest is for Genesis' solver.
        device: `cpu`.
        viewer: refused; there for the sake of the common signature.
        camera: make `render` available.
        verbose: print MuJoCo's warnings. A robot that one is about has failed, whether it is printed or not.

    Raises:
        ValueError: if MuJoCo is missing or too old, cannot render here, or a GPU or a viewer is asked for.
    """

    build_seconds: float
    """Time the constructor took, s."""

    def __init__(
        self,
        robot: Robot,
        num_envs: int,
        config: SimulationConfig,
        device: torch.device,
        *,
        viewer: bool = False,
        camera: bool = False,
        verbose: bool = False,
    ) -> None:
        if device.type != "cpu":
            raise ValueError(f"MuJoCo simulates on the CPU and cannot run on {device}; choose --device cpu.")
        if viewer:
            raise ValueError("There is no viewer for MuJoCo; record a video, or watch the robot in Genesis.")
        start = time.perf_counter()
        self._mujoco = mujoco = import_mujoco(camera=camera, verbose=verbose)
        self.robot = robot
        self.num_envs = num_envs
        self.device = device
        self.control_dt = config.control_dt
        self._substeps = max(config.substeps, math.ceil(config.control_dt / LONGEST_STEP - 1e-6))

        model = build_model(mujoco, robot, config.control_dt / self._substeps, config.self_collision, visual=camera)
        self._models = [model, *(copy.copy(model) for _ in range(num_envs - 1))]
        self._data = [mujoco.MjData(each) for each in self._models]
        # `mj_setConst` overwrites the state that it is given.
        self._scratch = mujoco.MjData(model)
        self._renderer = _make_renderer(mujoco, model) if camera else None

        joints = [model.joint(name) for name in robot.joint_names]
        feet = [model.body(name) for name in robot.foot_links]
        self._joint_qs = np.array([joint.qposadr[0] for joint in joints])
        self._joint_dofs = np.array([joint.dofadr[0] for joint in joints])
        self._base = model.body(robot.base_link).id
        self._feet = np.array([foot.id for foot in feet])
        self._soles = np.array([model.site(sole_site(name)).id for name in robot.foot_links])
        self._foot_geoms = np.flatnonzero(np.isin(model.geom_bodyid, self._feet))
        self._nominal_base_mass = float(model.body_mass[self._base])
        self._nominal_base_inertia = model.body_inertia[self._base].copy()

        self._stiffness = torch.tensor(robot.stiffness)
        self._damping = torch.tensor(robot.damping)
        self._effort_limit = torch.tensor(robot.effort_limit)
        self._target = torch.tensor([robot.default_joint_position]).repeat(num_envs, 1)
        self._strength = torch.ones_like(self._target)
        self._friction = torch.ones(num_envs)
        self._added_mass = torch.zeros(num_envs)
        self._contact_force = np.zeros((num_envs, 2))
        self._failed = torch.zeros(num_envs, dtype=torch.bool)
        self.set_motor_strength(self._strength)
        self.reset(
            ~self._failed,
            torch.tensor([[0.0, 0.0, robot.nominal_base_height]]).expand(num_envs, 3),
            torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(num_envs, 4),
            self._target,
        )
        self._standing = self._values()[:1].clone()
        self.build_seconds = time.perf_counter() - start

    def step(self, joint_target: Tensor) -> None:
        """Simulate one control step with the servos' position targets `joint_target` `[N, J]` in rad.

        A robot that failed stays as it is, and reported as failed, until it is reset.
        """
        self._target.copy_(joint_target)
        self._failed |= ~joint_target.isfinite().all(dim=1)
        target = joint_target.numpy()
        for index in (~self._failed).nonzero().flatten().tolist():
            model, data = self._models[index], self._data[index]
            data.ctrl[:] = target[index]
            self._mujoco.mj_step(model, data, self._substeps)
            # MuJoCo warns of a state beyond reason and of contacts that it had no room for, and goes on.
            if data.warning.number.any():
                self._failed[index] = True
                continue
            self._mujoco.mj_rnePostConstraint(model, data)
            self._contact_force[index] = np.linalg.norm(data.cfrc_ext[self._feet, 3:], axis=-1)
            self._update_kinematics(index)

    def read(self) -> State:
        """State of all robots now. Where `failed` is set the other fields are those of a robot standing at the origin.

        `joint_torque` is the PD law at the present state, which the first physics step of the next control step would
        apply to the present targets. `foot_contact_force` is that of the last physics step, 0 after a reset.
        """
        values = self._values()
        # A comparison with NaN is false, so this also finds what is not finite.
        failed = self._failed | ~(values.abs().amax(dim=1) < LARGEST_VALUE)
        values = torch.where(failed.unsqueeze(1), self._standing, values)
        return state_from_rows(values, self.robot.num_joints, failed)

    def reset(self, mask: Tensor, base_position: Tensor, base_quaternion: Tensor, joint_position: Tensor) -> None:
        """Put the robots of `mask` `[N]` bool at rest in a new pose; a pose that is not finite makes a robot fail.

        Args:
            mask: the robots to move; the others are left as they are.
            base_position: `[N, 3]` m, world frame.
            base_quaternion: `[N, 4]` w x y z, unit length.
            joint_position: `[N, J]` rad; also their position targets until the next step.
        """
        pose = torch.cat((base_position, base_quaternion, joint_position), dim=1)
        finite = pose.isfinite().all(dim=1)
        self._failed = torch.where(mask, ~finite, self._failed)
        torch.where(mask.unsqueeze(1), joint_position, self._target, out=self._target)
        values = pose.numpy()
        for index in (mask & finite).nonzero().flatten().tolist():
            data = self._data[index]
            self._mujoco.mj_resetData(self._models[index], data)
            data.qpos[:7] = values[index, :7]
            data.qpos[self._joint_qs] = values[index, 7:]
            self._contact_force[index] = 0.0
            self._update_kinematics(index)

    def set_velocity(self, base_linear_velocity_world: Tensor, base_angular_velocity_world: Tensor) -> None:
        """Set the velocity of every base, `[N, 3]` m/s and `[N, 3]` rad/s in the world frame; joints keep theirs."""
        quaternion = torch.from_numpy(np.stack([data.qpos[3:7] for data in self._data])).float()
        angular = rotate_inverse(quaternion, base_angular_velocity_world)
        velocity = torch.cat((base_linear_velocity_world, angular), dim=1).numpy()
        for index, data in enumerate(self._data):
            data.qvel[:6] = velocity[index]
            self._update_kinematics(index)

    def set_friction(self, friction: Tensor) -> None:
        """Set the coefficient of friction between feet and ground of every robot, `[N]`, at least `GROUND_FRICTION`."""
        self._friction.copy_(friction)
        for model, value in zip(self._models, friction.tolist(), strict=True):
            model.geom_friction[self._foot_geoms, 0] = value

    def set_motor_strength(self, strength: Tensor) -> None:
        """Scale both gains and the torque limit of every servo by `strength` `[N, J]`."""
        self._strength.copy_(strength)
        stiffness, damping, limit = (
            (value * strength).numpy() for value in (self._stiffness, self._damping, self._effort_limit)
        )
        for index, model in enumerate(self._models):
            model.actuator_gainprm[:, 0] = stiffness[index]
            model.actuator_biasprm[:, 1] = -stiffness[index]
            model.actuator_biasprm[:, 2] = -damping[index]
            model.actuator_forcerange[:, 0] = -limit[index]
            model.actuator_forcerange[:, 1] = limit[index]

    def set_added_mass(self, mass: Tensor) -> None:
        """Give every base `mass` `[N]` kg more than in the model, its inertia growing in proportion."""
        self._added_mass.copy_(mass)
        for model, added in zip(self._models, mass.tolist(), strict=True):
            total = self._nominal_base_mass + added
            model.body_mass[self._base] = total
            model.body_inertia[self._base] = self._nominal_base_inertia * (total / self._nominal_base_mass)
            self._mujoco.mj_setConst(model, self._scratch)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue from here, bit for bit."""
        kind = self._saved_state()
        physics = np.empty((self.num_envs, self._mujoco.mj_stateSize(self._models[0], kind)))
        for model, data, row in zip(self._models, self._data, physics, strict=True):
            self._mujoco.mj_getState(model, data, row, kind)
        return {
            "physics": torch.from_numpy(physics),
            "foot_contact_force": torch.from_numpy(self._contact_force.copy()),
            "joint_target": self._target.clone(),
            "friction": self._friction.clone(),
            "motor_strength": self._strength.clone(),
            "added_mass": self._added_mass.clone(),
            "failed": self._failed.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            ValueError: if the state is that of another number of robots, of another robot or of another simulator.
        """
        kind = self._saved_state()
        expected = self.num_envs, self._mujoco.mj_stateSize(self._models[0], kind)
        found = tuple(state["physics"].shape) if "physics" in state else None
        if found != expected:
            raise ValueError(
                f"The saved simulation has (robots, numbers) {found}, this one {expected}; use the simulator, the "
                "number of environments and the robot it was saved with."
            )
        self.set_friction(state["friction"])
        self.set_motor_strength(state["motor_strength"])
        self.set_added_mass(state["added_mass"])
        self._target.copy_(state["joint_target"])
        self._failed.copy_(state["failed"])
        self._contact_force[:] = state["foot_contact_force"].numpy()
        for index, row in enumerate(state["physics"].numpy()):
            self._mujoco.mj_resetData(self._models[index], self._data[index])
            self._mujoco.mj_setState(self._models[index], self._data[index], row, kind)
            self._update_kinematics(index)

    def render(self) -> NDArray[np.uint8]:
        """One frame `[480, 640, 3]` uint8 of robot 0, the camera following it.

        Raises:
            ValueError: if the simulation was made without `camera`.
        """
        if self._renderer is None:
            raise ValueError("This simulation has no camera; make it with camera=True.")
        camera = self._mujoco.MjvCamera()
        # The camera keeps its height, so that the robot is seen to bob and not the ground.
        camera.lookat = [*self._data[0].qpos[:2], 0.75 * self.robot.nominal_base_height]
        x, y, z = CAMERA_OFFSET
        camera.distance = np.linalg.norm(CAMERA_OFFSET)
        camera.azimuth = np.degrees(np.arctan2(-y, -x))
        camera.elevation = np.degrees(-np.arcsin(z / camera.distance))
        self._renderer.update_scene(self._data[0], camera)
        return np.array(self._renderer.render(), dtype=np.uint8)

    def close(self) -> None:
        """Release what MuJoCo holds; the simulation is not used afterwards."""
        if self._renderer is not None:
            self._renderer.close()
        self._data.clear()
        self._models.clear()

    def _values(self) -> Tensor:
        """What `read` reports of every robot in one row, in its order; failed robots as they are."""
        names = ("qpos", "qvel", "cvel", "subtree_com", "site_xpos")
        qpos, qvel, cvel, center, site = (
            torch.from_numpy(np.stack([getattr(data, name) for data in self._data])) for name in names
        )
        joint_position, joint_velocity = qpos[:, self._joint_qs], qvel[:, self._joint_dofs]
        torque = self._stiffness * (self._target - joint_position) - self._damping * joint_velocity
        torque = self._strength * torch.clamp(torque, -self._effort_limit, self._effort_limit)
        angular = rotate(qpos[:, 3:7], qvel[:, 3:6])

        # `cvel` of a body is (angular, linear) as if it reached to the centre of mass of the whole robot.
        foot_position, foot_velocity = site[:, self._soles], cvel[:, self._feet]
        arm = foot_position - center[:, self._base].unsqueeze(1)
        foot_velocity = foot_velocity[..., 3:] + torch.linalg.cross(foot_velocity[..., :3], arm)
        body = (qpos[:, :7], qvel[:, :3], angular, joint_position, joint_velocity, torque)
        contact_force = torch.from_numpy(self._contact_force)
        return torch.cat((*body, foot_position.flatten(1), foot_velocity.flatten(1), contact_force), dim=1).float()

    def _update_kinematics(self, index: int) -> None:
        """Bring poses and velocities of the links of one robot up to its coordinates, its contacts left as they are."""
        model, data = self._models[index], self._data[index]
        self._mujoco.mj_kinematics(model, data)
        self._mujoco.mj_comPos(model, data)
        self._mujoco.mj_comVel(model, data)

    def _saved_state(self) -> int:
        """Which parts of MuJoCo's state are saved: those that it integrates, and where its solver starts from."""
        kinds = self._mujoco.mjtState
        return int(kinds.mjSTATE_FULLPHYSICS) | int(kinds.mjSTATE_WARMSTART)


def _make_renderer(mujoco: ModuleType, model: Any) -> Any:  # noqa: ANN401
    """A renderer of the robots of `model`.

    Raises:
        ValueError: if there is no OpenGL to render with.
    """
    try:
        return mujoco.Renderer(model, *PICTURE_SIZE)
    except Exception as error:  # Which one depends on the OpenGL library that is missing.
        raise ValueError(f"MuJoCo cannot render here ({error}); {RENDERING_REMEDY}") from None


def import_mujoco(*, camera: bool = False, verbose: bool = False) -> ModuleType:
    """Import MuJoCo, for a `camera` ready to render without a display if there is none; `verbose` prints its warnings.

    Raises:
        ValueError: if it is missing or too old, or the OpenGL that MUJOCO_GL names is.
    """
    if find_spec("mujoco") is None:
        raise ValueError(f"MuJoCo is not installed: {REMEDY}")
    unset_empty_variables("MUJOCO_", "PYOPENGL_")
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if camera and sys.platform == "linux" and not has_display:
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except Exception as error:  # Which one depends on the OpenGL library that is missing.
        raise ValueError(f"MuJoCo cannot be imported ({error}); {RENDERING_REMEDY}") from None
    if tuple(int(part) for part in mujoco.__version__.split(".")[:3]) < LOWEST_VERSION:
        raise ValueError(f"MuJoCo {mujoco.__version__} is too old: {REMEDY}")
    # Its own way is to print them and to write a log file into the working folder.
    mujoco.set_mju_user_warning(print if verbose else lambda message: None)
    module: ModuleType = mujoco
    return module
