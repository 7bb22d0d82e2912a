"""Robots in both engines."""

from collections.abc import Iterator

import pytest
import torch

from biped.robots.library import BIPED
from biped.simulators.config import SimulationConfig
from biped.simulators.mujoco import MujocoSimulator
from tests.biped.simulators.motions import Simulator, make_nominal
from tests.conftest import NUM_ENVS


@pytest.fixture(scope="module")
def used_mujoco_simulation() -> Iterator[MujocoSimulator]:
    """As many robots in MuJoCo as in Genesis, in whatever state the last test left them."""
    simulation = MujocoSimulator(BIPED, NUM_ENVS, SimulationConfig(), torch.device("cpu"))
    yield simulation
    simulation.close()


@pytest.fixture
def mujoco_simulation(used_mujoco_simulation: MujocoSimulator) -> MujocoSimulator:
    """Robots like the model in MuJoCo, standing at rest at the origin."""
    make_nominal(used_mujoco_simulation)
    return used_mujoco_simulation


@pytest.fixture(params=["mujoco", pytest.param("genesis", marks=pytest.mark.genesis)])
def simulation(request: pytest.FixtureRequest) -> Simulator:
    """Nominal robots standing at rest at the origin."""
    simulation: Simulator = request.getfixturevalue(f"{request.param}_simulation")
    return simulation
