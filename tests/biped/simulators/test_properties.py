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
    make_nominal,
    standing_pose,
    targets,
    trajectory,
)


def drawn_properties(num_envs: int) -> dict[str, Tensor]:
    """Every property, different in every robot and joint."""
    generator = torch.Generator().manual_seed(0)
    return {
        "friction": 0.4 + torch.rand(num_envs, generator=generator),
        "motor_strength": 0.6 + torch.rand(num_envs, BIPED.num_joints, generator=generator),
        "added_mass": torch.linspace(0.0, 0.4, num_envs),
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
