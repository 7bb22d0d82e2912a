"""Many copies of a robot on flat ground in Genesis, stepped together: build, act, step, read, masked reset.

The only module that imports `genesis`, and only once it is needed: the import alone takes 10-20 s.

Genesis writes the velocity of a free base as (linear in the world frame, angular in the **body** frame); positions and
quaternions (w x y z) are those of the base link in the world.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.config import CAMERA_OFFSET, GROUND_FRICTION, LARGEST_VALUE, SimulationConfig
from biped.simulators.environment_variables import unset_empty_variables
from biped.simulators.genesis_cache import settle_caches
from biped.simulators.genesis_model import morph
from biped.simulators.genesis_properties import GenesisProperties
from biped.simulators.state import State, even_index, rotate, rotate_inverse, state_from_rows
from ppo.env import Recorder

GENESIS_VERSION = "1.4"
"""The minor version of Genesis whose interface is used here."""
OPENGL_REMEDY = "on Debian and Ubuntu, apt install libgl1 libegl1 libxrender1"
"""For machines without a desktop, in particular containers."""


class GenesisSimulator:
    """`num_envs` robots, each alone on flat ground, with everything per robot: state, friction, motors, mass.

    Joint vectors stand in the order of `robot.joint_names`. All tensors lie on `device`. `step`, `read`, `reset` and
    `set_velocity` do not wait for the device, but for Genesis itself looking for errors every ten physics steps.

    Args:
        robot: what to simulate.
        num_envs: number of robots `N`.
        config: time steps and solver settings.
        device: `cpu` or a GPU; one per process.
        viewer: open a window that follows robot 0.
        camera: make `render` available.
        verbose: let Genesis log to the terminal.

    Raises:
        ValueError: if Genesis is missing or of another version, or the device, a display for the viewer or OpenGL for
            the camera is.
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
        if viewer and sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise ValueError("The viewer needs a display, and DISPLAY is not set; record a video instead.")
        gs = _start_genesis(device, config.performance_mode, verbose)
        self.robot = robot
        self.num_envs = num_envs
        self.device = device
        self.control_dt = config.control_dt
        self._genesis = gs
        self._viewer = viewer

        try:
            self._scene = gs.Scene(
                sim_options=gs.options.SimOptions(dt=config.control_dt, substeps=config.substeps),
                rigid_options=gs.options.RigidOptions(
                    enable_self_collision=config.self_collision,
                    max_collision_pairs=config.max_collision_pairs,
                    iterations=config.iterations,
                    tolerance=config.tolerance,
                    batch_links_info=True,
                    batch_dofs_info=True,
                ),
                vis_options=gs.options.VisOptions(
                    rendered_envs_idx=[0], background_color=(0.80, 0.86, 0.92), ambient_light=(0.35, 0.35, 0.35)
                ),
                viewer_options=gs.options.ViewerOptions(camera_pos=CAMERA_OFFSET, camera_lookat=(0.0, 0.0, 0.3)),
                show_viewer=viewer,
            )
        except gs.GenesisException as error:
            if not viewer:
                raise
            reason = " ".join(str(error).split()).partition(".")[0]
            raise ValueError(f"Genesis cannot open a window here ({reason}); record a video instead.") from error
        self._scene.add_entity(gs.morphs.Plane(), material=gs.materials.Rigid(friction=GROUND_FRICTION))
        self._entity = self._scene.add_entity(
            morph(gs, robot),
            # With a coefficient of 1 the friction ratio of a robot is its coefficient.
            material=gs.materials.Rigid(friction=1.0),
        )
        self._camera = self._scene.add_camera(res=(640, 480), fov=40, env_idx=0) if camera else None
        if not camera and not viewer:
            # Genesis would prepare to draw all the same, which fails on many a server with a GPU.
            self._scene.visualizer.rasterizer._context = None
        try:
            self._scene.build(n_envs=num_envs)
        except Exception as error:
            if not camera or not type(error).__module__.startswith("OpenGL."):
                raise
            reason = " ".join(str(error).split())
            raise ValueError(f"Genesis cannot render here ({reason}); {OPENGL_REMEDY}, or use MuJoCo") from error
        self._solver = self._scene.rigid_solver
        if viewer:
            self._scene.viewer.follow_entity(self._entity)

        joints = [self._entity.get_joint(name) for name in robot.joint_names]
        feet = [self._entity.get_link(name) for name in robot.foot_links]
        self._joint_dofs = even_index([joint.dofs_idx_local[0] for joint in joints], device)
        self._joint_qs = even_index([joint.qs_idx_local[0] for joint in joints], device)
        self._feet = even_index([foot.idx_local for foot in feet], device)
        self._base = self._entity.get_link(robot.base_link).idx_local

        self._sole_offset = torch.tensor(robot.sole_offsets, device=device)
        self._standing_pose = (
            torch.tensor([[0.0, 0.0, robot.nominal_base_height]], device=device).expand(num_envs, 3),
            torch.tensor([[1.0, 0.0, 0.0, 0.0]], device=device).expand(num_envs, 4),
            torch.tensor([robot.default_joint_position], device=device).expand(num_envs, -1),
        )
        self._target = self._standing_pose[2].clone()
        self._qpos = torch.zeros(num_envs, self._entity.n_qs, device=device)
        self._failed = torch.zeros(num_envs, dtype=torch.bool, device=device)
        # Tensors, as Genesis would copy numbers to the device at every call.
        self._base_index = torch.tensor([self._entity.get_link(robot.base_link).idx], device=device, dtype=torch.int32)
        self._no_torque = torch.zeros(num_envs, 1, 3, device=device)
        self._properties = GenesisProperties(self._entity, robot, device)
        self.set_properties({"motor_strength": torch.ones_like(self._target)})
        self.reset(~self._failed, *self._standing_pose)
        self._standing = self._values()[0].clone()

    def step(self, joint_target: Tensor) -> None:
        """Simulate one control step with the servos' position targets `joint_target` `[N, J]` in rad.

        Robots that failed must be `reset` before the next step. One that was not is put back to its standing pose here
        and stays reported as failed until it is reset.
        """
        self._target.copy_(joint_target)
        self._entity.control_dofs_position(self._target, self._joint_dofs)
        try:
            self._scene.step(update_visualizer=self._viewer)
        except self._genesis.GenesisException:
            # Genesis refuses to step any robot, before it has moved one, while an error of one is pending.
            failed = self._solver.get_error_envs_mask()
            if not failed.any():
                raise
            self.reset(failed, *self._standing_pose)
            self._failed |= failed
            self._scene.step(update_visualizer=self._viewer)

    def read(self) -> State:
        """State of all robots now. Where `failed` is set the other fields are those of a robot standing at the origin.

        `joint_torque` is the PD law at the present state, which the first physics step of the next control step would
        apply to the present targets. `foot_contact_force` is that of the last physics step, 0 after a reset.
        """
        values = self._values()
        # A comparison with NaN is false, so this also finds what is not finite.
        failed = self._failed | self._solver.get_error_envs_mask() | ~(values.abs().amax(dim=1) < LARGEST_VALUE)
        values = torch.where(failed.unsqueeze(1), self._standing, values)
        return state_from_rows(values, self.robot.num_joints, failed)

    def reset(self, mask: Tensor, base_position: Tensor, base_quaternion: Tensor, joint_position: Tensor) -> None:
        """Put the robots of `mask` `[N]` bool at rest in a new pose and clear their solver errors.

        Args:
            mask: the robots to move; the others are left as they are.
            base_position: `[N, 3]` m, world frame.
            base_quaternion: `[N, 4]` w x y z, unit length.
            joint_position: `[N, J]` rad; also their position targets until the next step.
        """
        self._qpos[:, :3] = base_position
        self._qpos[:, 3:7] = base_quaternion
        self._qpos[:, self._joint_qs] = joint_position
        self._entity.set_qpos(self._qpos, envs_idx=mask, zero_velocity=True)
        torch.where(mask.unsqueeze(1), joint_position, self._target, out=self._target)
        self._failed.masked_fill_(mask, False)

    def set_velocity(self, base_linear_velocity_world: Tensor, base_angular_velocity_world: Tensor) -> None:
        """Set the velocity of every base, `[N, 3]` m/s and `[N, 3]` rad/s in the world frame; joints keep theirs."""
        angular = rotate_inverse(self._entity.get_qpos()[:, 3:7], base_angular_velocity_world)
        self._entity.set_dofs_velocity(torch.cat((base_linear_velocity_world, angular), dim=1), slice(0, 6))

    def set_force(self, force: Tensor) -> None:
        """Pull every base at its centre of mass with `force` `[N, 3]` N, world frame, in the next control step."""
        self._solver.apply_links_external_wrench(
            force.unsqueeze(1), self._no_torque, self._base_index, ref=self._genesis.link_ref_frame.link_COM
        )

    def set_properties(self, values: Mapping[str, Tensor]) -> None:
        """Let robots differ in the properties `values`, by the names in `biped.simulators.properties.PROPERTIES`."""
        self._properties.set(values)

    def read_properties(self) -> dict[str, Tensor]:
        """Every property as the solver holds it."""
        return self._properties.read()

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue from here, on `device`.

        The constraint solver starts its iterations from the last solution, which no restored simulation has. The
        state is therefore also written back here: the solver forgets the last solution, and this simulation and one
        restored from the result continue alike, bit for bit on a CPU. Contact forces read 0 until the next step.
        """
        state = {
            "qpos": self._entity.get_qpos(),
            "velocity": self._entity.get_dofs_velocity(),
            "joint_target": self._target.clone(),
            **self._properties.state_dict(),
        }
        self._write_back(state)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            ValueError: if the state is that of another number of robots, of another robot or of another simulator.
        """
        expected = (self.num_envs, self._entity.n_qs)
        found = tuple(state["qpos"].shape) if "qpos" in state else None
        if found != expected:
            raise ValueError(
                f"The saved simulation has (robots, coordinates) {found}, this one {expected}; use the simulator, the "
                "number of environments and the robot it was saved with."
            )
        state = {name: value.to(self.device) for name, value in state.items()}
        self._properties.load_state_dict(state)
        self._target.copy_(state["joint_target"])
        self._failed.zero_()
        self._write_back(state)

    def record(self, recorder: Recorder) -> None:
        """Let `recorder` record `read`, which PyTorch's operators do alone; Genesis records its own kernels."""
        self.read = recorder(self.read, [self._properties.remembered])  # type: ignore[method-assign]

    def render(self, robot: int = 0) -> np.ndarray:
        """One frame `[480, 640, 3]` uint8 of robot 0, the only one that is drawn, the camera following it.

        Raises:
            ValueError: if the simulation was made without `camera`, or for another robot.
        """
        if self._camera is None or robot != 0:
            raise ValueError("This simulation has no camera for the robot; make it with camera=True, for robot 0 only.")
        base = self._entity.get_qpos()[0, :3].cpu().numpy()
        # The camera keeps its height, so that the robot is seen to bob and not the ground.
        target = np.array([base[0], base[1], 0.75 * self.robot.nominal_base_height])
        self._camera.set_pose(pos=target + np.array(CAMERA_OFFSET), lookat=target, up=(0.0, 0.0, 1.0))
        return np.array(self._camera.render(force_render=True)[0], dtype=np.uint8)

    def close(self) -> None:
        """Release the scene; the simulation is not used afterwards."""
        self._scene.destroy()

    def _values(self) -> Tensor:
        """What `read` reports of every robot in one row, in its order; failed robots as they are."""
        qpos = self._entity.get_qpos()
        velocity = self._entity.get_dofs_velocity()
        joint_position, joint_velocity = qpos[:, self._joint_qs], velocity[:, self._joint_dofs]
        torque = self._properties.torque(self._target, joint_position, joint_velocity)

        angular = self._entity.get_links_ang()
        sole = rotate(self._entity.get_links_quat(self._feet), self._sole_offset.expand(self.num_envs, 2, 3))
        foot_position = self._entity.get_links_pos(self._feet) + sole
        foot_velocity = self._entity.get_links_vel(self._feet) + torch.linalg.cross(angular[:, self._feet], sole)
        contact_force = self._entity.get_links_net_contact_force()[:, self._feet].norm(dim=-1)

        body = (qpos[:, :7], velocity[:, :3], angular[:, self._base], joint_position, joint_velocity, torque)
        return torch.cat((*body, *foot_position.unbind(1), *foot_velocity.unbind(1), contact_force), dim=1)

    def _write_back(self, state: Mapping[str, Tensor]) -> None:
        """Set coordinates and velocities of all robots, which clears the solver's last solution and its contacts."""
        self._entity.set_qpos(state["qpos"], zero_velocity=False)
        self._entity.set_dofs_velocity(state["velocity"])


def import_genesis(warn: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)) -> ModuleType:
    """Import Genesis, which takes 10-20 s; the constructor does it unless it has been done where there was time.

    Args:
        warn: told at the first import one line about each trouble with the caches of Genesis that makes it slow.

    Raises:
        ValueError: if Genesis is missing or of another version, or it cannot be imported.
    """
    remedy = f"pip install 'genesis-world=={GENESIS_VERSION}.*'"
    try:
        version = metadata.version("genesis-world")
    except metadata.PackageNotFoundError:
        raise ValueError(f"Genesis is not installed: {remedy}") from None
    if not version.startswith(f"{GENESIS_VERSION}."):
        raise ValueError(f"Genesis {version} is not supported: {remedy}")

    unset_empty_variables("GS_", "QD_", "PYOPENGL_")
    if "genesis" not in sys.modules:
        settle_caches(warn)
    # Importing Genesis replaces the hook that prints uncaught exceptions with one that prints them twice.
    excepthook = sys.excepthook
    try:
        import genesis as gs
    except Exception as error:  # Which one depends on the library that is missing.
        needs = f"it needs OpenGL even where nothing is drawn: {OPENGL_REMEDY}"
        raise ValueError(f"Genesis cannot be imported ({error}); {needs}") from error
    finally:
        sys.excepthook = excepthook
    module: ModuleType = gs
    return module


def _start_genesis(device: torch.device, performance_mode: bool, verbose: bool) -> ModuleType:
    """Import Genesis and initialise it once per process; returns the module.

    Raises:
        ValueError: if Genesis is missing or of another version, or does not run on `device`.
    """
    gs = import_genesis()
    if gs.backend is None:
        # No seed: it would be compiled into the kernels, so that every new one cost minutes.
        try:
            gs.init(
                # Not `gs.gpu`, which falls back to the CPU.
                backend=gs.cpu if device.type == "cpu" else gs.cuda,
                performance_mode=performance_mode,
                logging_level=logging.INFO if verbose else logging.ERROR,
            )
        except (gs.GenesisException, RuntimeError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ValueError(f"Genesis does not run on {device}: {reason}; use --device cpu") from error
    if gs.device.type != device.type or device.index not in (None, gs.device.index):
        raise ValueError(f"Genesis runs on {gs.device} in this process and cannot run on {device}.")
    return gs
