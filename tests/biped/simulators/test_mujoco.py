import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from biped.robots.robot import BIPED
from biped.simulators import mujoco as mujoco_simulation
from biped.simulators.config import SimulationConfig
from biped.simulators.genesis import GenesisSimulator
from biped.simulators.interface import Simulator
from biped.simulators.mujoco import MujocoSimulator
from biped.simulators.state import State, rotate
from tests.biped.simulators.test_genesis import DEFAULT_POSITION, WEIGHT, flat, standing_pose, targets

mujoco = pytest.importorskip("mujoco")

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


def hold(simulation: Simulator, steps: int) -> State:
    """Hold the default pose for a number of control steps."""
    for _ in range(steps):
        simulation.step(DEFAULT_POSITION.repeat(NUM_ENVS, 1))
    return simulation.read()


def trajectory(simulation: Simulator, joint_targets: Tensor) -> Tensor:
    """Everything read along `joint_targets` `[steps, N, J]`, in one tensor `[steps, N, ...]`."""
    rows = []
    for target in joint_targets:
        simulation.step(target)
        rows.append(flat(simulation.read()))
    return torch.stack(rows)


def lift(simulation: Simulator) -> None:
    """Put all robots high up in the air, at rest."""
    position, quaternion, joint_position = standing_pose(NUM_ENVS)
    position[:, 2] = 2.0
    simulation.reset(EVERY, position, quaternion, joint_position)


def test_every_link_has_the_mass_of_the_urdf(simulation: MujocoSimulator) -> None:
    links = ElementTree.parse(BIPED.asset).getroot().findall("link")
    nominal = {link.attrib["name"]: float(link.find("inertial/mass").attrib["value"]) for link in links}  # type: ignore[union-attr]
    model = simulation._models[-1]
    masses = {model.body(index).name: model.body_mass[index] for index in range(1, model.nbody)}
    assert masses == pytest.approx(nominal)
    assert model.body_mass.sum() == pytest.approx(2.9)


def test_rotors_and_friction_of_the_joints_are_those_of_the_robot(simulation: MujocoSimulator) -> None:
    model = simulation._models[-1]
    for index, name in enumerate(BIPED.joint_names):
        (dof,) = model.joint(name).dofadr
        assert model.dof_armature[dof] == BIPED.armature[index]
        assert model.dof_damping[dof] == 0.05
    assert not model.dof_armature[:6].any()
    assert not model.dof_damping[:6].any()


def test_a_lifted_robot_falls_freely(simulation: MujocoSimulator) -> None:
    lift(simulation)
    seconds, time_step = 0.4, 0.002
    state = hold(simulation, 20)
    # In steps of h, speed first, a body falls g t (t + h) / 2.
    assert_close(
        state.base_position[:, 2], torch.full((NUM_ENVS,), 2.0 - GRAVITY * seconds * (seconds + time_step) / 2)
    )
    assert_close(state.base_linear_velocity[:, 2], torch.full((NUM_ENVS,), -GRAVITY * seconds))
    assert_close(state.joint_position, DEFAULT_POSITION.repeat(NUM_ENVS, 1))


def test_a_reset_is_read_back_exactly_and_joints_keep_their_order(simulation: MujocoSimulator) -> None:
    generator = torch.Generator().manual_seed(0)
    hold(simulation, 3)
    position = torch.rand(NUM_ENVS, 3, generator=generator) + 1.0
    quaternion = torch.nn.functional.normalize(torch.randn(NUM_ENVS, 4, generator=generator), dim=-1)
    joint_position = 0.5 * torch.rand(NUM_ENVS, BIPED.num_joints, generator=generator)
    simulation.reset(EVERY, position, quaternion, joint_position)
    state = simulation.read()
    assert torch.equal(state.base_position, position)
    assert torch.equal(state.base_quaternion, quaternion)
    assert torch.equal(state.joint_position, joint_position)
    for value in (state.base_linear_velocity, state.base_angular_velocity, state.joint_velocity, state.joint_torque):
        assert not value.any()
    assert not state.foot_velocity.any()
    assert not state.foot_contact_force.any()
    assert not state.failed.any()


def test_each_target_moves_the_joint_of_its_name(simulation: MujocoSimulator) -> None:
    lift(simulation)
    joints = BIPED.num_joints
    target = standing_pose(NUM_ENVS)[2]
    target[:joints] += 0.1 * torch.eye(joints)
    simulation.step(target)
    velocity = simulation.read().joint_velocity
    assert velocity[:joints].abs().argmax(dim=1).tolist() == list(range(joints))
    assert (velocity[:joints].diagonal() > 0.1).all()
    assert velocity[joints:].abs().max() < 1e-4


def test_servos_follow_the_pd_law_up_to_their_limit(simulation: MujocoSimulator) -> None:
    strength = torch.linspace(0.6, 1.2, NUM_ENVS).unsqueeze(1).expand(-1, BIPED.num_joints)
    simulation.set_motor_strength(strength)
    lift(simulation)
    target = standing_pose(NUM_ENVS)[2]
    target[:, 3] += 0.2
    target[:, 8] += 3.0
    simulation.step(target)
    state = simulation.read()
    error = target[:, 3] - state.joint_position[:, 3]
    assert_close(state.joint_torque[:, 3], strength[:, 3] * (15.0 * error - 0.8 * state.joint_velocity[:, 3]))
    assert_close(state.joint_torque[:, 8], 12.0 * strength[:, 8])
    # What MuJoCo itself applied in the last physics step: the limit, and at the ankle the law of a moment before.
    applied = torch.tensor([list(data.qfrc_actuator[simulation._joint_dofs]) for data in simulation._data])
    assert_close(applied[:, 8].float(), 12.0 * strength[:, 8])
    assert_close(applied[:, 3].float(), state.joint_torque[:, 3], rtol=0.0, atol=0.3)
    assert (applied[:, 3] > 0.2).all()


def test_a_servo_at_its_limit_cannot_tell_how_far_the_target_is(simulation: MujocoSimulator) -> None:
    lift(simulation)
    target = standing_pose(NUM_ENVS)[2]
    target[:, 8] += torch.tensor([0.7, 3.0, 6.0, 30.0, -0.7, -3.0, -6.0, -30.0, 0.0, 0.0])
    simulation.step(target)
    velocity = simulation.read().joint_velocity[:, 8]
    assert_close(velocity[1:4], velocity[1].expand(3))
    assert_close(velocity[5:8], -velocity[1].expand(3), atol=1e-4, rtol=1e-4)
    assert 0.0 < velocity[0] < velocity[1] - 0.1


def test_the_robot_stands_for_two_seconds_and_its_feet_carry_its_weight(simulation: MujocoSimulator) -> None:
    state = hold(simulation, 100)
    assert state.base_position[:, 2].min() > 0.41
    assert state.roll_pitch_yaw.abs().max() < 0.15
    expected = torch.tensor([[0.02, -0.06, 0.0], [0.02, 0.06, 0.0]]).expand(NUM_ENVS, 2, 3)
    assert_close(state.foot_position, expected, atol=2e-3, rtol=0.0)
    assert_close(state.foot_contact_force, torch.full((NUM_ENVS, 2), WEIGHT / 2.0), rtol=0.01, atol=0.0)


def test_velocities_are_set_in_the_world_frame_and_read_in_the_body_frame(simulation: MujocoSimulator) -> None:
    position, quaternion, joint_position = standing_pose(NUM_ENVS)
    position[:, 2] = 2.0
    quaternion[:] = 0.5  # x, y, z of the body are y, z, x of the world
    simulation.reset(EVERY, position, quaternion, joint_position)
    linear = torch.tensor([1.0, 2.0, 3.0]).repeat(NUM_ENVS, 1)
    angular = torch.tensor([0.1, 0.2, 0.3]).repeat(NUM_ENVS, 1)
    simulation.set_velocity(linear, angular)
    before = simulation.read()
    assert_close(before.base_linear_velocity[0], torch.tensor([2.0, 3.0, 1.0]))
    assert_close(before.base_angular_velocity[0], torch.tensor([0.2, 0.3, 0.1]))
    assert not before.joint_velocity.any()
    # A point of a turning body is as fast as the base and the arm's turning.
    arm = before.foot_position - before.base_position.unsqueeze(1)
    turning = torch.linalg.cross(angular.unsqueeze(1).expand(-1, 2, -1), arm)
    assert_close(before.foot_velocity, linear.unsqueeze(1) + turning, atol=1e-5, rtol=1e-5)
    simulation.step(joint_position)
    after = simulation.read()
    moved = (after.base_position - before.base_position) / simulation.control_dt
    assert_close(moved[0], torch.tensor([1.0, 2.0, 3.0]), atol=0.12, rtol=0.0)
    # Where each axis of the body went: its change is the cross product with the angular velocity in the world.
    for axis in torch.eye(3).unsqueeze(1):
        here, there = (rotate(state.base_quaternion[:1], axis) for state in (before, after))
        turned = (there - here) / simulation.control_dt
        assert_close(turned, torch.linalg.cross(angular[:1], 0.5 * (here + there)), atol=0.03, rtol=0.0)


@pytest.mark.parametrize(("axis", "rate"), [(0, 0.8), (1, -0.6), (2, 1.5)])
def test_roll_pitch_and_yaw_turn_with_the_rates_about_the_axes(
    simulation: MujocoSimulator, axis: int, rate: float
) -> None:
    lift(simulation)
    angular = torch.zeros(NUM_ENVS, 3)
    angular[:, axis] = rate
    simulation.set_velocity(torch.zeros(NUM_ENVS, 3), angular)
    state = hold(simulation, 1)
    assert_close(state.roll_pitch_yaw[:, axis], torch.full((NUM_ENVS,), rate * simulation.control_dt), rtol=0.1, atol=0)


def test_foot_velocity_is_the_rate_of_foot_position(simulation: MujocoSimulator) -> None:
    lift(simulation)
    positions, velocities = [], []
    for _ in range(8):
        simulation.step(DEFAULT_POSITION.repeat(NUM_ENVS, 1) + 0.1)
        state = simulation.read()
        positions.append(state.foot_position)
        velocities.append(state.foot_velocity)
    moved = positions[-1] - positions[-2]
    mean_velocity = 0.5 * (velocities[-1] + velocities[-2])
    assert mean_velocity.norm(dim=-1).min() > 0.3
    assert_close(moved / simulation.control_dt, mean_velocity, atol=0.02, rtol=0.02)


def test_added_mass_weighs_on_the_feet_and_setting_it_twice_adds_once(simulation: MujocoSimulator) -> None:
    mass = torch.linspace(0.0, 0.4, NUM_ENVS)
    simulation.set_added_mass(mass)
    simulation.set_added_mass(mass)
    force = hold(simulation, 100).foot_contact_force.sum(dim=1)
    assert_close(force, WEIGHT + GRAVITY * mass, rtol=0.01, atol=0.0)


def test_weaker_motors_sag_more(simulation: MujocoSimulator) -> None:
    strength = torch.linspace(0.7, 1.2, NUM_ENVS)
    simulation.set_motor_strength(strength.unsqueeze(1).expand(-1, BIPED.num_joints))
    assert (hold(simulation, 75).base_position[:, 2].diff() > 0.0).all()


def test_feet_slide_further_the_lower_their_friction(simulation: MujocoSimulator) -> None:
    simulation.set_friction(torch.tensor([0.05, 0.2, 0.8]).repeat(4)[:NUM_ENVS])
    before = hold(simulation, 25).foot_position
    velocity = torch.zeros(NUM_ENVS, 3)
    velocity[:, 1] = 0.6
    simulation.set_velocity(velocity, torch.zeros(NUM_ENVS, 3))
    slid = (hold(simulation, 15).foot_position - before)[:3, :, 1].mean(dim=1)
    assert slid[0] > 2.0 * slid[2]
    assert slid[0] > slid[1] > slid[2]


@pytest.mark.parametrize("self_collision", [False, True])
def test_legs_pass_through_each_other_unless_told_otherwise(self_collision: bool) -> None:
    simulation = MujocoSimulator(BIPED, 1, SimulationConfig(self_collision=self_collision), CPU)
    position, quaternion, joint_position = standing_pose(1)
    position[:, 2] = 2.0
    joint_position[:, 0], joint_position[:, 4] = 0.3, -0.3
    simulation.reset(torch.ones(1, dtype=torch.bool), position, quaternion, joint_position)
    simulation.step(joint_position)
    assert simulation.read().foot_contact_force.any().item() is self_collision


def test_a_masked_reset_leaves_the_other_robots_trajectories_unchanged(simulation: MujocoSimulator) -> None:
    joint_targets = targets(NUM_ENVS, 20)
    pose = standing_pose(NUM_ENVS)
    undisturbed = trajectory(simulation, joint_targets)
    simulation.reset(EVERY, *pose)
    first = trajectory(simulation, joint_targets[:10])
    mask = torch.arange(NUM_ENVS) % 3 == 0
    simulation.reset(~EVERY, *pose)
    simulation.reset(mask, *pose)
    assert torch.equal(simulation.read().joint_position[mask], pose[2][mask])
    second = trajectory(simulation, joint_targets[10:])
    assert torch.equal(torch.cat((first, second))[:, ~mask], undisturbed[:, ~mask])
    assert not torch.equal(second[:, mask], undisturbed[10:, mask])


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


def test_a_restored_simulation_continues_bit_for_bit(simulation: MujocoSimulator) -> None:
    joint_targets = targets(NUM_ENVS, 40)
    simulation.set_friction(torch.linspace(0.4, 1.2, NUM_ENVS))
    simulation.set_motor_strength(torch.linspace(0.8, 1.2, NUM_ENVS).unsqueeze(1).expand(-1, 9))
    simulation.set_added_mass(torch.linspace(0.0, 0.4, NUM_ENVS))
    trajectory(simulation, joint_targets[:15])
    saved = simulation.state_dict()
    now = flat(simulation.read())
    continued = trajectory(simulation, joint_targets[15:])
    simulation.load_state_dict(saved)
    assert torch.equal(flat(simulation.read()), now)
    assert torch.equal(trajectory(simulation, joint_targets[15:]), continued)

    other = MujocoSimulator(BIPED, NUM_ENVS, SimulationConfig(), CPU)
    trajectory(other, joint_targets[:7])
    other.load_state_dict(saved)
    assert torch.equal(trajectory(other, joint_targets[15:]), continued)


def test_a_state_of_another_number_of_robots_or_of_genesis_is_refused(simulation: MujocoSimulator) -> None:
    saved = simulation.state_dict()
    with pytest.raises(ValueError, match=r"\(3, \d+\), this one \(10, \d+\)"):
        simulation.load_state_dict({name: value[:3] for name, value in saved.items()})
    with pytest.raises(ValueError, match="use the simulator"):
        simulation.load_state_dict({"qpos": torch.zeros(NUM_ENVS, 16)})


def both(
    genesis: GenesisSimulator, other: MujocoSimulator, height: float, target: Callable[[float], Tensor], steps: int
) -> list[tuple[State, State]]:
    """States of robots of different strength and mass in both engines along `target`, a function of time in s."""
    position, quaternion, joint_position = standing_pose(NUM_ENVS)
    position[:, 2] = height
    generator = torch.Generator().manual_seed(0)
    strength = 0.8 + 0.4 * torch.rand(NUM_ENVS, 9, generator=generator)
    strength[:, 4:8] = strength[:, :4]
    states = []
    for simulation in (genesis, other):
        simulation.set_friction(torch.linspace(0.5, 1.2, NUM_ENVS))
        simulation.set_motor_strength(strength)
        simulation.set_added_mass(torch.linspace(0.0, 0.4, NUM_ENVS))
        simulation.reset(EVERY, position, quaternion, joint_position)
    for step in range(steps):
        for simulation in (genesis, other):
            simulation.step(target(step * genesis.control_dt))
        states.append((genesis.read(), other.read()))
    return states


@pytest.mark.genesis
def test_in_the_air_both_engines_agree_to_rounding(
    genesis_simulation: GenesisSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With equal time steps, away from ground and joint limits, only masses, inertias, frames and servos could differ.
    monkeypatch.setattr(mujoco_simulation, "LONGEST_STEP", math.inf)
    simulation = MujocoSimulator(BIPED, NUM_ENVS, SimulationConfig(), CPU)
    phase = 2.0 * math.pi * torch.rand(NUM_ENVS, 9, generator=torch.Generator().manual_seed(0))

    def swing(seconds: float) -> Tensor:
        return DEFAULT_POSITION + 0.2 * (torch.sin(3.0 * math.pi * seconds + phase) - torch.sin(phase))

    states = both(genesis_simulation, simulation, 2.0, swing, 20)
    assert states[-1][0].joint_velocity.abs().max() > 1.5
    assert states[-1][0].base_angular_velocity.abs().max() > 1.0
    for genesis, ours in states:
        for name in State._fields:
            assert_close(getattr(ours, name), getattr(genesis, name), atol=1e-4, rtol=1e-4, msg=f"{name} differs")


@pytest.mark.genesis
def test_both_engines_agree_on_standing(genesis_simulation: GenesisSimulator, simulation: MujocoSimulator) -> None:
    stand = DEFAULT_POSITION.repeat(NUM_ENVS, 1)
    genesis, ours = both(genesis_simulation, simulation, BIPED.nominal_base_height, lambda seconds: stand, 100)[-1]
    assert_close(ours.base_position, genesis.base_position, atol=1e-3, rtol=0.0)
    assert_close(ours.roll_pitch_yaw, genesis.roll_pitch_yaw, atol=5e-3, rtol=0.0)
    assert_close(ours.joint_position, genesis.joint_position, atol=2e-3, rtol=0.0)
    assert_close(ours.joint_torque, genesis.joint_torque, atol=0.02, rtol=0.0)
    assert_close(ours.foot_position, genesis.foot_position, atol=1e-3, rtol=0.0)
    assert_close(ours.foot_contact_force, genesis.foot_contact_force, atol=0.1, rtol=0.0)


@pytest.mark.genesis
def test_both_engines_agree_on_squatting(genesis_simulation: GenesisSimulator, simulation: MujocoSimulator) -> None:
    bent = torch.tensor([0.0, -0.15, 0.30, -0.15, 0.0, 0.15, -0.30, 0.15, 0.0])

    def squat(seconds: float) -> Tensor:
        return (DEFAULT_POSITION + math.sin(math.pi * seconds) ** 2 * bent).repeat(NUM_ENVS, 1)

    states = both(genesis_simulation, simulation, BIPED.nominal_base_height, squat, 50)
    heights = [ours.base_position[0, 2].item() for _, ours in states]
    assert min(heights) < max(heights) - 0.02
    for genesis, ours in states:
        assert_close(ours.base_position, genesis.base_position, atol=3e-3, rtol=0.0)
        assert_close(ours.joint_position, genesis.joint_position, atol=0.01, rtol=0.0)
        assert_close(ours.roll_pitch_yaw, genesis.roll_pitch_yaw, atol=0.01, rtol=0.0)


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
    with pytest.raises(ValueError, match="MuJoCo is not installed: pip install 'mujoco>="):
        MujocoSimulator(BIPED, 2, SimulationConfig(), CPU)


def test_an_old_mujoco_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mujoco, "__version__", "3.3.2")
    with pytest.raises(ValueError, match=r"MuJoCo 3\.3\.2 is too old: pip install 'mujoco>="):
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
