"""Many copies of a robot on flat ground in MuJoCo, stepped together by mjbatch on threads of the CPU.

The only module that imports `mujoco` and `mjbatch`, and only once they are needed. It is the equal of
`biped.simulators.genesis.GenesisSimulator` behind `biped.simulators.interface.Simulator`: the same robot, servos and
conventions. What differs:

- MuJoCo runs on the CPU only, in double precision, and compiles nothing: robots stand within a second.
- Its contacts are softer springs and dampers, and its friction is a pyramid or, if asked for, Coulomb's cone.
- The servos' damping is treated implicitly, so that long physics steps stay stable.
- Links that are fixed to the base stay bodies of their own, where Genesis makes them part of the base. What loads or
  pulls the base acts on the base link alone.
- A saved simulation keeps where the solver starts from, so that saving does not touch the one that goes on.

MuJoCo, as Genesis, writes the velocity of a free base as (linear in the world frame, angular in the **body** frame).
"""

import os
import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.config import LARGEST_VALUE, SimulationConfig
from biped.simulators.environment_variables import unset_empty_variables
from biped.simulators.mujoco_camera import RENDERING_REMEDY, Camera
from biped.simulators.mujoco_model import build_model, contact_sensor, sole_site
from biped.simulators.mujoco_properties import MujocoProperties
from biped.simulators.state import State, even_index, rotate, rotate_inverse, state_from_rows
from ppo.env import Recorder

REMEDY = "pip install mjbatch"
"""Brings the version of MuJoCo that it was built for."""


class MujocoSimulator:
    """`num_envs` robots, each alone on flat ground, with everything per robot: state, friction, motors, mass.

    Joint vectors stand in the order of `robot.joint_names`. All tensors lie on the CPU. As many threads simulate as
    PyTorch may use.

    Args:
        robot: what to simulate.
        num_envs: number of robots `N`.
        config: time steps and solver settings.
        device: `cpu`.
        viewer: refused; there for the sake of the common signature.
        camera: make `render` available.
        verbose: print MuJoCo's warnings. A robot that one is about has failed, whether it is printed or not.

    Raises:
        ValueError: if MuJoCo is missing, cannot render here, or a GPU or a viewer is asked for.
    """

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
        mujoco = import_mujoco(camera=camera, verbose=verbose)
        import mjbatch

        self.robot = robot
        self.num_envs = num_envs
        self.device = device
        self.control_dt = config.control_dt
        self._substeps = config.substeps
        model = build_model(mujoco, robot, config, visual=camera)
        self._camera = Camera(mujoco, model, 0.75 * robot.nominal_base_height) if camera else None
        self._batch = batch = mjbatch.Batch(model, num_envs, torch.get_num_threads())

        # Live views: what is written is the state, what is bound in single precision is copied out after every call.
        self._rows, self._warmstart = batch.bind("state"), batch.bind("qacc_warmstart")
        self._qpos, self._qvel, self._ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
        self._time, self._warning = batch.bind("time"), batch.bind("warning")
        self._wrench = batch.bind("xfrc_applied")
        self._link_velocity, self._center = batch.bind("cvel", np.float32), batch.bind("subtree_com", np.float32)
        self._site, self._sensor = batch.bind("site_xpos", np.float32), batch.bind("sensordata", np.float32)
        self._disabled = batch.expand("disableflags")
        self._properties = MujocoProperties(batch, model, robot)

        joints = [model.joint(name) for name in robot.joint_names]
        feet = [model.body(name) for name in robot.foot_links]
        self._joint_qs = even_index([int(joint.qposadr[0]) for joint in joints], device)
        self._joint_dofs = even_index([int(joint.dofadr[0]) for joint in joints], device)
        self._base = model.body(robot.base_link).id
        self._feet = even_index([foot.id for foot in feet], device)
        self._soles = even_index([model.site(sole_site(name)).id for name in robot.foot_links], device)
        sensors = np.array([model.sensor(contact_sensor(name)).adr[0] for name in robot.foot_links])
        self._contact_columns = sensors[:, None] + np.arange(3)
        bits = mujoco.mjtDisableBit
        self._kinematics_only = int(bits.mjDSBL_CONTACT | bits.mjDSBL_CONSTRAINT | bits.mjDSBL_SENSOR)

        self._target = torch.tensor([robot.default_joint_position]).repeat(num_envs, 1)
        self._contact_force = torch.zeros(num_envs, 2)
        self._failed = torch.zeros(num_envs, dtype=torch.bool)
        self._links_are_current = self._pulled = False
        self.set_properties({"motor_strength": torch.ones_like(self._target)})
        self.reset(
            ~self._failed,
            torch.tensor([[0.0, 0.0, robot.nominal_base_height]]).expand(num_envs, 3),
            torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(num_envs, 4),
            self._target,
        )
        self._standing = self._values()[:1].clone()

    def step(self, joint_target: Tensor) -> None:
        """Simulate one control step with the servos' position targets `joint_target` `[N, J]` in rad.

        A robot that failed stays as it is, and reported as failed, until it is reset.
        """
        self._target.copy_(joint_target)
        self._failed |= ~joint_target.isfinite().all(dim=1)
        self._ctrl[:] = joint_target.numpy()
        before = self._time.copy()
        moving = ~self._failed
        try:
            self._batch.step(moving.numpy(), nstep=self._substeps)
        except RuntimeError:
            # Names one robot that could not be stepped. It, and any other, is still where it was.
            self._failed |= moving & torch.from_numpy(self._time == before)
        # MuJoCo warns of a state beyond reason and of contacts that it had no room for, and goes on.
        self._failed |= torch.from_numpy(self._warning[:, :, 1].any(axis=1))
        if self._pulled:
            self._wrench[:, self._base, :3] = 0.0
            self._pulled = False
        force = torch.from_numpy(self._sensor[:, self._contact_columns])
        torch.where(moving.unsqueeze(1), force.norm(dim=-1), self._contact_force, out=self._contact_force)
        self._links_are_current = False

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
        if not mask.any():
            return
        pose = torch.cat((base_position, base_quaternion, joint_position), dim=1)
        finite = pose.isfinite().all(dim=1)
        self._failed = torch.where(mask, ~finite, self._failed)
        torch.where(mask.unsqueeze(1), joint_position, self._target, out=self._target)
        moved = (mask & finite).numpy()
        self._batch.reset(moved)
        coordinates = self._qpos[moved]
        coordinates[:, :7] = pose[moved, :7]
        torch.from_numpy(coordinates)[:, self._joint_qs] = pose[moved, 7:].double()
        self._qpos[moved] = coordinates
        self._contact_force[moved] = 0.0
        self._links_are_current = False

    def set_velocity(self, base_linear_velocity_world: Tensor, base_angular_velocity_world: Tensor) -> None:
        """Set the velocity of every base, `[N, 3]` m/s and `[N, 3]` rad/s in the world frame; joints keep theirs."""
        quaternion = torch.from_numpy(self._qpos[:, 3:7]).float()
        angular = rotate_inverse(quaternion, base_angular_velocity_world)
        self._qvel[:, :6] = torch.cat((base_linear_velocity_world, angular), dim=1).numpy()
        self._links_are_current = False

    def set_force(self, force: Tensor) -> None:
        """Pull every base at its centre of mass with `force` `[N, 3]` N, world frame, in the next control step."""
        self._wrench[:, self._base, :3] = force.numpy()
        self._pulled = True

    def set_properties(self, values: Mapping[str, Tensor]) -> None:
        """Let robots differ in the properties `values`, by the names in `biped.simulators.properties.PROPERTIES`."""
        self._properties.set(values)
        self._links_are_current = False

    def read_properties(self) -> dict[str, Tensor]:
        """Every property as the solver holds it."""
        return self._properties.read()

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue from here, bit for bit."""
        return {
            "physics": torch.from_numpy(self._rows.copy()),
            "foot_contact_force": self._contact_force.clone(),
            "joint_target": self._target.clone(),
            "failed": self._failed.clone(),
            **self._properties.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            ValueError: if the state is that of another number of robots, of another robot or of another simulator.
        """
        found = tuple(state["physics"].shape) if "physics" in state else None
        if found != self._rows.shape:
            raise ValueError(
                f"The saved simulation has (robots, numbers) {found}, this one {self._rows.shape}; use the simulator, "
                "the number of environments and the robot it was saved with."
            )
        self._properties.load_state_dict(state)
        self._target.copy_(state["joint_target"])
        self._failed.copy_(state["failed"])
        self._contact_force.copy_(state["foot_contact_force"])
        self._batch.reset()
        self._rows[:] = state["physics"].numpy()
        self._pulled = False
        self._links_are_current = False

    def record(self, recorder: Recorder) -> None:
        """There is nothing to record: MuJoCo simulates on the CPU."""

    def render(self, robot: int = 0) -> NDArray[np.uint8]:
        """One frame `[480, 640, 3]` uint8 of a robot, the camera following it.

        Raises:
            ValueError: if the simulation was made without `camera`.
        """
        if self._camera is None:
            raise ValueError("This simulation has no camera; make it with camera=True.")
        return self._camera.picture(self._qpos[robot])

    def close(self) -> None:
        """Release the camera; the simulation is not used afterwards."""
        if self._camera is not None:
            self._camera.close()

    def _values(self) -> Tensor:
        """What `read` reports of every robot in one row, in its order; failed robots as they are."""
        if not self._links_are_current:
            self._update_links()
        qpos, qvel = torch.from_numpy(self._qpos).float(), torch.from_numpy(self._qvel).float()
        joint_position, joint_velocity = qpos[:, self._joint_qs], qvel[:, self._joint_dofs]
        torque = self._properties.torque(self._target, joint_position, joint_velocity)
        angular = rotate(qpos[:, 3:7], qvel[:, 3:6])

        # `cvel` of a body is (angular, linear) as if it reached to the centre of mass of the whole robot.
        foot_position = torch.from_numpy(self._site)[:, self._soles]
        foot_velocity = torch.from_numpy(self._link_velocity)[:, self._feet]
        arm = foot_position - torch.from_numpy(self._center)[:, self._base].unsqueeze(1)
        foot_velocity = foot_velocity[..., 3:] + torch.linalg.cross(foot_velocity[..., :3], arm)
        body = (qpos[:, :7], qvel[:, :3], angular, joint_position, joint_velocity, torque)
        return torch.cat((*body, foot_position.flatten(1), foot_velocity.flatten(1), self._contact_force), dim=1)

    def _update_links(self) -> None:
        """Bring poses and velocities of the links up to the coordinates, which a step leaves one physics step ahead.

        mjbatch has no call for this alone. A forward pass without contacts is the cheapest that does it: a fifth of a
        step, where one with them takes half. It must not touch where the solver starts from.
        """
        warmstart = self._warmstart.copy()
        self._disabled[:] |= self._kinematics_only
        self._batch.forward((~self._failed).numpy())
        self._disabled[:] &= ~self._kinematics_only
        self._warmstart[:] = warmstart
        self._links_are_current = True


def import_mujoco(*, camera: bool = False, verbose: bool = False) -> ModuleType:
    """Import MuJoCo, for a `camera` ready to render without a display if there is none; `verbose` prints its warnings.

    Raises:
        ValueError: if it or mjbatch is missing or of the wrong version, or the OpenGL that MUJOCO_GL names is missing.
    """
    if find_spec("mujoco") is None or find_spec("mjbatch") is None:
        raise ValueError(f"MuJoCo is not installed: {REMEDY}")
    wanted = [text.partition("==")[2] for text in metadata.requires("mjbatch") or [] if text.startswith("mujoco==")]
    if wanted and metadata.version("mujoco") != wanted[0]:
        raise ValueError(
            f"MuJoCo {metadata.version('mujoco')} is installed, and mjbatch was built for {wanted[0]}: "
            f"pip install mujoco=={wanted[0]}"
        )
    unset_empty_variables("MUJOCO_", "PYOPENGL_")
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if camera and sys.platform == "linux" and not has_display:
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except Exception as error:  # Which one depends on the OpenGL library that is missing.
        raise ValueError(f"MuJoCo cannot be imported ({error}); {RENDERING_REMEDY}") from None
    # Its own way is to print them and to write a log file into the working folder.
    mujoco.set_mju_user_warning(print if verbose else lambda message: None)
    module: ModuleType = mujoco
    return module
