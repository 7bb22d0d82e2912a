"""What every engine must do with the properties of robots, held by the same tests."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from biped.robots.library import BIPED
from biped.simulators.properties import PROPERTIES
from tests.biped.simulators.motions import (
    WEIGHT,
    Simulator,
    all_of,
    hold,
    lift,
    make_nominal,
    standing_pose,
    targets,
    trajectory,
)


def drawn_properties(num_envs: int) -> dict[str, Tensor]:
    """Every property, different in every robot and joint."""
    generator, joints = torch.Generator().manual_seed(0), BIPED.num_joints
    return {
        "friction": 0.4 + torch.rand(num_envs, generator=generator),
        "motor_strength": 0.6 + torch.rand(num_envs, joints, generator=generator),
        "stiffness": 0.8 + 0.4 * torch.rand(num_envs, joints, generator=generator),
        "damping": 0.8 + 0.4 * torch.rand(num_envs, joints, generator=generator),
        "armature": 0.8 + 0.4 * torch.rand(num_envs, joints, generator=generator),
        "joint_friction": 0.05 * torch.rand(num_envs, joints, generator=generator),
        "joint_damping": 0.1 * torch.rand(num_envs, joints, generator=generator),
        "added_mass": torch.linspace(0.0, 0.4, num_envs),
        "link_mass": 0.9 + 0.2 * torch.rand(num_envs, joints, generator=generator),
        "center_of_mass": 0.02 * torch.randn(num_envs, 3, generator=generator),
    }


def assert_held(simulation: Simulator, values: dict[str, Tensor]) -> None:
    held = simulation.read_properties()
    for name in PROPERTIES:
        assert_close(held[name], values[name], msg=lambda text, name=name: f"{name}: {text}")  # type: ignore[misc]


def test_properties_are_read_back_and_survive_a_reset(simulation: Simulator) -> None:
    values = drawn_properties(simulation.num_envs)
    assert values.keys() == PROPERTIES.keys()
    simulation.set_properties(values)
    assert_held(simulation, values)
    simulation.reset(all_of(simulation), *standing_pose(simulation.num_envs))
    assert_held(simulation, values)


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_is_set_alone_and_saved_alone(simulation: Simulator, name: str) -> None:
    neutral = {name: torch.full_like(value, PROPERTIES[name].neutral) for name, value in drawn_properties(10).items()}
    value = drawn_properties(simulation.num_envs)[name]
    before = simulation.state_dict()
    simulation.set_properties({name: value})
    assert_held(simulation, neutral | {name: value})
    saved = simulation.state_dict()
    assert torch.equal(saved[name], value)
    simulation.load_state_dict({key: state for key, state in before.items() if key not in PROPERTIES})
    assert_held(simulation, neutral)
    simulation.load_state_dict(saved)
    assert_held(simulation, neutral | {name: value})


def test_added_mass_weighs_on_the_feet_and_setting_it_twice_adds_once(simulation: Simulator) -> None:
    mass = torch.linspace(0.0, 0.4, simulation.num_envs)
    simulation.set_properties({"added_mass": mass})
    simulation.set_properties({"added_mass": mass})
    force = hold(simulation, 100).foot_contact_force.sum(dim=1)
    assert_close(force, WEIGHT + 9.81 * mass, rtol=0.01, atol=0.0)


def test_weaker_motors_sag_more(simulation: Simulator) -> None:
    strength = torch.linspace(0.7, 1.2, simulation.num_envs)
    simulation.set_properties({"motor_strength": strength.unsqueeze(1).expand(-1, BIPED.num_joints)})
    height = hold(simulation, 75).base_position[:, 2]
    assert (height.diff() > 0.0).all()


def test_feet_slide_further_the_lower_their_friction(simulation: Simulator) -> None:
    friction = torch.tensor([0.05, 0.2, 0.8]).repeat(4)[: simulation.num_envs]
    simulation.set_properties({"friction": friction})
    before = hold(simulation, 25).foot_position
    velocity = torch.zeros(simulation.num_envs, 3)
    velocity[:, 1] = 0.6
    simulation.set_velocity(velocity, torch.zeros(simulation.num_envs, 3))
    slid = (hold(simulation, 15).foot_position - before)[:3, :, 1].mean(dim=1)
    assert slid[0] > 2.0 * slid[2]
    assert slid[0] > slid[1] > slid[2]


def test_a_restored_simulation_continues_bit_for_bit(simulation: Simulator) -> None:
    joint_targets = targets(simulation.num_envs, 60)
    simulation.set_properties(drawn_properties(simulation.num_envs))
    trajectory(simulation, joint_targets[:20])
    before = simulation.read()
    saved = simulation.state_dict()
    after = simulation.read()
    assert torch.equal(before.base_quaternion, after.base_quaternion)
    assert torch.equal(before.joint_velocity, after.joint_velocity)
    continued = trajectory(simulation, joint_targets[20:])

    make_nominal(simulation)
    trajectory(simulation, joint_targets[:7])
    simulation.load_state_dict(saved)
    assert torch.equal(simulation.read().joint_torque, after.joint_torque)
    assert torch.equal(trajectory(simulation, joint_targets[20:]), continued)


def per_joint(simulation: Simulator, factor: Tensor) -> Tensor:
    """One number `[N]` for all joints of each robot."""
    return factor.unsqueeze(1).expand(-1, BIPED.num_joints)


def test_heavier_links_weigh_on_the_feet(simulation: Simulator) -> None:
    factor = torch.linspace(0.9, 1.2, simulation.num_envs)
    simulation.set_properties({"link_mass": per_joint(simulation, factor)})
    force = hold(simulation, 100).foot_contact_force.sum(dim=1)
    assert_close(force, 9.81 * (BIPED.base_mass + (BIPED.mass - BIPED.base_mass) * factor), rtol=0.01, atol=0.0)


def test_mass_further_to_the_left_weighs_on_the_left_foot(simulation: Simulator) -> None:
    offset = torch.zeros(simulation.num_envs, 3)
    offset[:, 1] = torch.linspace(-0.02, 0.02, simulation.num_envs)
    simulation.set_properties({"center_of_mass": offset})
    force = hold(simulation, 100).foot_contact_force
    assert ((force[:, 1] - force[:, 0]).diff() > 0.0).all()
    assert force[-1, 1] - force[-1, 0] > 0.5


def test_mass_further_ahead_tilts_the_robot_forwards(simulation: Simulator) -> None:
    offset = torch.zeros(simulation.num_envs, 3)
    offset[:, 0] = torch.linspace(-0.02, 0.02, simulation.num_envs)
    simulation.set_properties({"center_of_mass": offset})
    assert (hold(simulation, 75).roll_pitch_yaw[:, 1].diff() > 0.0).all()


def test_the_gains_differ_apart(simulation: Simulator) -> None:
    strength, stiffness, damping = (
        per_joint(simulation, torch.linspace(low, high, simulation.num_envs))
        for low, high in ((0.8, 1.2), (1.3, 0.7), (0.5, 2.0))
    )
    simulation.set_properties({"motor_strength": strength, "stiffness": stiffness, "damping": damping})
    lift(simulation)
    target = standing_pose(simulation.num_envs)[2]
    target[:, 3] += 0.2
    simulation.step(target)
    state = simulation.read()
    error = target[:, 3] - state.joint_position[:, 3]
    law = 15.0 * stiffness[:, 3] * error - 0.8 * damping[:, 3] * state.joint_velocity[:, 3]
    assert_close(state.joint_torque[:, 3], strength[:, 3] * law)


@pytest.mark.parametrize(
    ("name", "values"), [("armature", (1.0, 5.0)), ("joint_friction", (0.0, 1.0)), ("joint_damping", (0.0, 2.0))]
)
def test_what_hinders_a_joint_slows_it(simulation: Simulator, name: str, values: tuple[float, float]) -> None:
    simulation.set_properties({name: per_joint(simulation, torch.linspace(*values, simulation.num_envs))})
    lift(simulation)
    target = standing_pose(simulation.num_envs)[2]
    target[:, 8] += 0.2
    for _ in range(2):
        simulation.step(target)
    velocity = simulation.read().joint_velocity[:, 8]
    assert (velocity.diff() < 0.0).all()
    assert velocity[-1] < 0.75 * velocity[0]


def test_dry_friction_lets_a_joint_that_is_pulled_less_only_creep(simulation: Simulator) -> None:
    friction = torch.full((simulation.num_envs,), 0.5)
    friction[0] = 0.0
    simulation.set_properties({"joint_friction": per_joint(simulation, friction)})
    lift(simulation)
    target = standing_pose(simulation.num_envs)[2]
    target[:, 8] += 0.02  # 0.3 N m
    for _ in range(5):
        simulation.step(target)
    moved = simulation.read().joint_position[:, 8]
    assert moved[0] > 0.015
    assert moved[1:].abs().max() < 0.2 * moved[0]


def test_a_force_acts_for_one_control_step(simulation: Simulator) -> None:
    lift(simulation)
    carried = torch.arange(simulation.num_envs) % 2 == 0
    force = torch.zeros(simulation.num_envs, 3)
    force[carried, 2] = WEIGHT
    for _ in range(5):
        simulation.set_force(force)
        hold(simulation, 1)
    speed = simulation.read().base_linear_velocity[:, 2]
    assert speed[carried].abs().max() < 0.05
    assert_close(speed[~carried], torch.full_like(speed[~carried], -9.81 * 0.1), rtol=0.01, atol=0.0)
    falling = hold(simulation, 5).base_linear_velocity[:, 2]
    assert_close(falling - speed, torch.full_like(speed, -9.81 * 0.1), rtol=0.1, atol=0.0)


def test_a_force_of_another_step_is_not_saved(simulation: Simulator) -> None:
    joint_targets = targets(simulation.num_envs, 20)
    trajectory(simulation, joint_targets[:5])
    saved = simulation.state_dict()
    expected = trajectory(simulation, joint_targets[5:])
    simulation.set_force(torch.full((simulation.num_envs, 3), 5.0))
    pulled = trajectory(simulation, joint_targets[:5])
    simulation.load_state_dict(saved)
    assert pulled.isfinite().all()
    assert torch.equal(trajectory(simulation, joint_targets[5:]), expected)
