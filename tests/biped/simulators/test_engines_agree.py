"""The same robots, pushed about in the same way in both engines."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from biped.robots.library import BIPED
from biped.simulators.config import SimulationConfig, fine
from biped.simulators.genesis import GenesisSimulator
from biped.simulators.mujoco import MujocoSimulator
from biped.simulators.state import State
from tests.biped.simulators.motions import DEFAULT_POSITION, all_of, standing_pose
from tests.conftest import NUM_ENVS

pytestmark = pytest.mark.genesis


@pytest.fixture(scope="module", params=["coarse", "fine"])
def checked(request: pytest.FixtureRequest) -> Iterator[MujocoSimulator]:
    """In the steps that robots train in, and in those that a check is made in."""
    config = SimulationConfig() if request.param == "coarse" else fine(SimulationConfig())
    simulation = MujocoSimulator(BIPED, NUM_ENVS, config, torch.device("cpu"))
    yield simulation
    simulation.close()


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
        simulation.set_properties({"friction": torch.linspace(0.5, 1.2, NUM_ENVS)})
        simulation.set_properties({"motor_strength": strength})
        simulation.set_properties({"added_mass": torch.linspace(0.0, 0.4, NUM_ENVS)})
        simulation.reset(all_of(simulation), position, quaternion, joint_position)
    for step in range(steps):
        for simulation in (genesis, other):
            simulation.step(target(step * genesis.control_dt))
        states.append((genesis.read(), other.read()))
    return states


def test_in_the_air_both_engines_agree_to_rounding(
    genesis_simulation: GenesisSimulator,
) -> None:
    # With equal time steps, away from ground and joint limits, only masses, inertias, frames and servos could differ.
    simulation = MujocoSimulator(BIPED, NUM_ENVS, SimulationConfig(), torch.device("cpu"))
    phase = 2.0 * math.pi * torch.rand(NUM_ENVS, 9, generator=torch.Generator().manual_seed(0))

    def swing(seconds: float) -> Tensor:
        return DEFAULT_POSITION + 0.2 * (torch.sin(3.0 * math.pi * seconds + phase) - torch.sin(phase))

    states = both(genesis_simulation, simulation, 2.0, swing, 20)
    assert states[-1][0].joint_velocity.abs().max() > 1.5
    assert states[-1][0].base_angular_velocity.abs().max() > 1.0
    for genesis, ours in states:
        for name in State._fields:
            assert_close(getattr(ours, name), getattr(genesis, name), atol=1e-4, rtol=1e-4, msg=f"{name} differs")


def test_both_engines_agree_on_standing(genesis_simulation: GenesisSimulator, checked: MujocoSimulator) -> None:
    stand = DEFAULT_POSITION.repeat(NUM_ENVS, 1)
    genesis, ours = both(genesis_simulation, checked, BIPED.nominal_base_height, lambda seconds: stand, 100)[-1]
    assert_close(ours.base_position, genesis.base_position, atol=1e-3, rtol=0.0)
    assert_close(ours.roll_pitch_yaw, genesis.roll_pitch_yaw, atol=5e-3, rtol=0.0)
    assert_close(ours.joint_position, genesis.joint_position, atol=2e-3, rtol=0.0)
    assert_close(ours.joint_torque, genesis.joint_torque, atol=0.02, rtol=0.0)
    assert_close(ours.foot_position, genesis.foot_position, atol=1e-3, rtol=0.0)
    assert_close(ours.foot_contact_force, genesis.foot_contact_force, atol=0.1, rtol=0.0)


def test_both_engines_agree_on_squatting(genesis_simulation: GenesisSimulator, checked: MujocoSimulator) -> None:
    bent = torch.tensor([0.0, -0.15, 0.30, -0.15, 0.0, 0.15, -0.30, 0.15, 0.0])

    def squat(seconds: float) -> Tensor:
        return (DEFAULT_POSITION + math.sin(math.pi * seconds) ** 2 * bent).repeat(NUM_ENVS, 1)

    states = both(genesis_simulation, checked, BIPED.nominal_base_height, squat, 50)
    heights = [ours.base_position[0, 2].item() for _, ours in states]
    assert min(heights) < max(heights) - 0.02
    for genesis, ours in states:
        assert_close(ours.base_position, genesis.base_position, atol=3e-3, rtol=0.0)
        assert_close(ours.joint_position, genesis.joint_position, atol=0.01, rtol=0.0)
        assert_close(ours.roll_pitch_yaw, genesis.roll_pitch_yaw, atol=0.01, rtol=0.0)
