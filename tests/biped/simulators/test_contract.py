"""What every engine must do, held by the same tests."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from biped.robots.library import BIPED
from tests.biped.simulators.motions import (
    WEIGHT,
    Simulator,
    all_of,
    flat,
    hold,
    lift,
    standing_pose,
    targets,
    trajectory,
)


def test_a_reset_is_read_back_exactly_and_joints_keep_their_order(simulation: Simulator) -> None:
    generator = torch.Generator().manual_seed(0)
    num_envs = simulation.num_envs
    position = torch.rand(num_envs, 3, generator=generator) + 1.0
    quaternion = torch.nn.functional.normalize(torch.randn(num_envs, 4, generator=generator), dim=-1)
    joint_position = 0.5 * torch.rand(num_envs, BIPED.num_joints, generator=generator)
    simulation.reset(all_of(simulation), position, quaternion, joint_position)
    state = simulation.read()
    assert torch.equal(state.base_position, position)
    assert torch.equal(state.base_quaternion, quaternion)
    assert torch.equal(state.joint_position, joint_position)
    assert not state.base_linear_velocity.any()
    assert not state.base_angular_velocity.any()
    assert not state.joint_velocity.any()
    assert not state.joint_torque.any()
    assert not state.foot_velocity.any()
    assert not state.failed.any()


def test_each_target_moves_the_joint_of_its_name(simulation: Simulator) -> None:
    joints = BIPED.num_joints
    lift(simulation)
    target = standing_pose(simulation.num_envs)[2]
    target[:joints] += 0.1 * torch.eye(joints)
    simulation.step(target)
    velocity = simulation.read().joint_velocity
    assert velocity[:joints].abs().argmax(dim=1).tolist() == list(range(joints))
    assert (velocity[:joints].diagonal() > 0.1).all()
    assert velocity[joints:].abs().max() < 1e-4


def test_the_feet_are_level_and_symmetric_in_the_default_pose(simulation: Simulator) -> None:
    foot_position = simulation.read().foot_position
    right, left = foot_position[:, 0], foot_position[:, 1]
    assert_close(left, right * torch.tensor([1.0, -1.0, 1.0]), atol=1e-6, rtol=0.0)
    assert_close(right[0], torch.tensor([0.02, -0.06, 0.0]), atol=2e-3, rtol=0.0)


def test_the_robot_stands_for_two_seconds_and_its_feet_carry_its_weight(simulation: Simulator) -> None:
    lowest = torch.full((simulation.num_envs,), math.inf)
    for _ in range(100):
        simulation.step(standing_pose(simulation.num_envs)[2])
        lowest = torch.minimum(lowest, simulation.read().base_position[:, 2])
    state = simulation.read()
    assert lowest.min() > 0.41
    assert state.roll_pitch_yaw.abs().max() < 0.15
    assert (state.foot_position - state.foot_position[:1]).abs().max() < 1e-3
    assert_close(state.foot_contact_force.sum(dim=1), torch.full((simulation.num_envs,), WEIGHT), rtol=0.01, atol=0.0)
    assert_close(state.foot_contact_force[:, 0], state.foot_contact_force[:, 1], rtol=0.01, atol=0.0)


@pytest.mark.parametrize("height", [BIPED.nominal_base_height, 1.0])
def test_a_mirrored_robot_moves_as_the_mirror_image(simulation: Simulator, height: float) -> None:
    generator = torch.Generator().manual_seed(0)
    num_envs, half = simulation.num_envs, simulation.num_envs // 2
    swap = [4, 5, 6, 7, 0, 1, 2, 3, 8]
    position, quaternion, joint_position = standing_pose(num_envs)
    position[:, 2] = height
    tilt = torch.tensor([1.0, 0.03, -0.02, 0.05])
    quaternion[:half] = tilt / tilt.norm()
    quaternion[half:] = quaternion[:half] * torch.tensor([1.0, -1.0, 1.0, -1.0])
    target = joint_position + 0.2 * torch.randn(num_envs, BIPED.num_joints, generator=generator)
    target[half:] = -target[:half, swap]
    simulation.reset(all_of(simulation), position, quaternion, joint_position)
    for _ in range(5):
        simulation.step(target)
    state = simulation.read()
    assert state.joint_velocity.abs().max() > 0.5
    axial, polar = torch.tensor([-1.0, 1.0, -1.0]), torch.tensor([1.0, -1.0, 1.0])

    def assert_mirrored(value: Tensor, mirrored: Tensor, atol: float) -> None:
        assert_close(value[half:], mirrored[:half], atol=atol, rtol=1e-3)

    assert_mirrored(state.base_position, state.base_position * polar, 1e-4)
    assert_mirrored(state.base_linear_velocity, state.base_linear_velocity * polar, 1e-3)
    assert_mirrored(state.base_angular_velocity, state.base_angular_velocity * axial, 1e-2)
    assert_mirrored(state.joint_position, -state.joint_position[:, swap], 1e-3)
    assert_mirrored(state.joint_velocity, -state.joint_velocity[:, swap], 1e-2)
    assert_mirrored(state.joint_torque, -state.joint_torque[:, swap], 1e-2)
    assert_mirrored(state.foot_position, state.foot_position.flip(1) * polar, 1e-3)
    assert_mirrored(state.foot_velocity, state.foot_velocity.flip(1) * polar, 1e-2)
    assert_mirrored(state.foot_contact_force, state.foot_contact_force.flip(1), 0.5)


def test_torques_follow_the_pd_law_up_to_the_limit(simulation: Simulator) -> None:
    strength = torch.linspace(0.6, 1.2, simulation.num_envs).unsqueeze(1).expand(-1, BIPED.num_joints)
    simulation.set_properties({"motor_strength": strength})
    lift(simulation)
    target = standing_pose(simulation.num_envs)[2]
    target[:, 3] += 0.2
    target[:, 8] += 3.0
    simulation.step(target)
    state = simulation.read()
    error = target[:, 3] - state.joint_position[:, 3]
    expected = strength[:, 3] * (15.0 * error - 0.8 * state.joint_velocity[:, 3])
    assert_close(state.joint_torque[:, 3], expected)
    assert_close(state.joint_torque[:, 8], 12.0 * strength[:, 8])


def test_foot_velocity_is_the_rate_of_foot_position(simulation: Simulator) -> None:
    lift(simulation)
    positions, velocities = [], []
    for _ in range(8):
        simulation.step(standing_pose(simulation.num_envs)[2] + 0.1)
        state = simulation.read()
        positions.append(state.foot_position)
        velocities.append(state.foot_velocity)
    moved = positions[-1] - positions[-2]
    mean_velocity = 0.5 * (velocities[-1] + velocities[-2])
    assert mean_velocity.norm(dim=-1).min() > 0.3
    assert_close(moved / simulation.control_dt, mean_velocity, atol=0.05, rtol=0.05)


def test_velocities_are_set_in_the_world_frame_and_joints_keep_theirs(simulation: Simulator) -> None:
    position, quaternion, joint_position = standing_pose(simulation.num_envs)
    position[:, 2] = 2.0
    quaternion[:] = 0.5  # x, y, z of the body are y, z, x of the world
    simulation.reset(all_of(simulation), position, quaternion, joint_position)
    simulation.step(joint_position + 0.1)
    before = simulation.read()
    linear = torch.tensor([1.0, 2.0, 3.0]).repeat(simulation.num_envs, 1)
    angular = torch.tensor([0.1, 0.2, 0.3]).repeat(simulation.num_envs, 1)
    simulation.reset(all_of(simulation), position, quaternion, joint_position)
    simulation.step(joint_position + 0.1)
    quaternion = simulation.read().base_quaternion
    simulation.set_velocity(linear, angular)
    state = simulation.read()
    assert torch.equal(state.joint_velocity, before.joint_velocity)
    assert_close(state.base_linear_velocity[0], torch.tensor([2.0, 3.0, 1.0]), atol=0.05, rtol=0.0)
    assert_close(state.base_angular_velocity[0], torch.tensor([0.2, 0.3, 0.1]), atol=0.01, rtol=0.0)
    before_step = state.base_position
    simulation.step(joint_position)
    moved = (simulation.read().base_position - before_step) / simulation.control_dt
    assert_close(moved[0], torch.tensor([1.0, 2.0, 3.0]), atol=0.3, rtol=0.0)


def test_a_masked_reset_leaves_the_other_robots_trajectories_unchanged(simulation: Simulator) -> None:
    joint_targets = targets(simulation.num_envs, 20)
    pose = standing_pose(simulation.num_envs)
    undisturbed = trajectory(simulation, joint_targets)
    simulation.reset(all_of(simulation), *pose)
    first = trajectory(simulation, joint_targets[:10])
    mask = torch.arange(simulation.num_envs) % 3 == 0
    simulation.reset(~all_of(simulation), *pose)
    simulation.reset(mask, *pose)
    assert torch.equal(simulation.read().joint_position[mask], pose[2][mask])
    second = trajectory(simulation, joint_targets[10:])
    assert torch.equal(torch.cat((first, second))[:, ~mask], undisturbed[:, ~mask])
    assert not torch.equal(second[:, mask], undisturbed[10:, mask])


@pytest.mark.parametrize("broken", [0, 1, 2], ids=["position", "quaternion", "joints"])
def test_a_failed_robot_is_reported_and_reset_alone(simulation: Simulator, broken: int) -> None:
    joint_targets = targets(simulation.num_envs, 12)
    pose = standing_pose(simulation.num_envs)
    undisturbed = trajectory(simulation, joint_targets)
    simulation.reset(all_of(simulation), *pose)
    failing = torch.arange(simulation.num_envs) % 5 == 2
    for index, target in enumerate(joint_targets):
        if index == 3:
            simulation.reset(
                failing, *(torch.full_like(part, math.nan) if part is pose[broken] else part for part in pose)
            )
        simulation.step(target)
        state = simulation.read()
        assert flat(state).isfinite().all()
        assert torch.equal(state.failed, failing if index == 3 else torch.zeros_like(failing))
        assert torch.equal(flat(state)[~failing], undisturbed[index, ~failing])
        simulation.reset(state.failed, *pose)
    assert simulation.read().base_position[:, 2].min() > 0.3


def test_a_failed_robot_that_is_not_reset_stays_reported_and_stops_nobody(simulation: Simulator) -> None:
    joint_targets = targets(simulation.num_envs, 15)
    pose = standing_pose(simulation.num_envs)
    undisturbed = trajectory(simulation, joint_targets)
    simulation.reset(all_of(simulation), *pose)
    failing = torch.arange(simulation.num_envs) == 5
    for index, target in enumerate(joint_targets):
        if index == 1:
            simulation.reset(failing, pose[0], pose[1], torch.full_like(pose[2], math.nan))
        simulation.step(target)
        state = simulation.read()
        assert flat(state).isfinite().all()
        assert torch.equal(state.failed, failing if index >= 1 else torch.zeros_like(failing))
        assert torch.equal(flat(state)[~failing], undisturbed[index, ~failing])
    simulation.reset(failing, *pose)
    assert not simulation.read().failed.any()


def test_a_target_that_is_no_number_fails_the_robot_it_was_for(simulation: Simulator) -> None:
    target = standing_pose(simulation.num_envs)[2]
    target[4, 3] = math.nan
    simulation.step(target)
    state = simulation.read()
    assert state.failed.nonzero().flatten().tolist() == [4]
    assert flat(state).isfinite().all()


def test_a_robot_beyond_all_bounds_has_failed(simulation: Simulator) -> None:
    position, quaternion, joint_position = standing_pose(simulation.num_envs)
    position[3, 0] = 1e5
    simulation.reset(all_of(simulation), position, quaternion, joint_position)
    state = simulation.read()
    assert state.failed.nonzero().flatten().tolist() == [3]
    assert torch.equal(state.base_position[3], torch.tensor([0.0, 0.0, BIPED.nominal_base_height]))


@pytest.mark.parametrize(("axis", "rate"), [(0, 0.8), (1, -0.6), (2, 1.5)])
def test_roll_pitch_and_yaw_turn_with_the_rates_about_the_axes(simulation: Simulator, axis: int, rate: float) -> None:
    lift(simulation)
    angular = torch.zeros(simulation.num_envs, 3)
    angular[:, axis] = rate
    simulation.set_velocity(torch.zeros(simulation.num_envs, 3), angular)
    state = hold(simulation, 1)
    assert_close(
        state.roll_pitch_yaw[:, axis],
        torch.full((simulation.num_envs,), rate * simulation.control_dt),
        rtol=0.1,
        atol=0,
    )
