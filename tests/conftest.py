"""What all tests share: one Genesis simulation per process, as building one takes long."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch

from biped.robots.library import BIPED
from biped.simulators.config import SimulationConfig
from biped.simulators.genesis import GenesisSimulator
from tests.biped.simulators.motions import make_nominal

NUM_ENVS = 10


def pytest_configure(config: pytest.Config) -> None:
    """Give libraries that leave temporary files behind, as Stable-Baselines3's logger does, a folder that goes."""
    folder = tempfile.mkdtemp(prefix="biped-tests-")
    os.environ["TMPDIR"] = os.environ["SB3_LOGDIR"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(scope="session")
def used_genesis_simulation() -> Iterator[GenesisSimulator]:
    """Ten robots in Genesis on the CPU, in whatever state the last test left them."""
    if find_spec("genesis") is None:
        pytest.skip("genesis-world is not installed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    simulation = GenesisSimulator(BIPED, NUM_ENVS, SimulationConfig(), torch.device("cpu"))
    yield simulation
    simulation.close()
    torch.set_num_threads(threads)


@pytest.fixture
def genesis_simulation(used_genesis_simulation: GenesisSimulator) -> GenesisSimulator:
    """Ten robots like the model in Genesis on the CPU, standing at rest at the origin."""
    make_nominal(used_genesis_simulation)
    return used_genesis_simulation
