"""Whole iterations with Genesis underneath, as the presets for a GPU have them, with a small network."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from biped.robots.library import BIPED
from biped.simulators.genesis import GenesisSimulator
from configs.presets import GPU, PRESETS, SMOKE
from ppo.cuda.graphs import Graphs
from tests.biped.environments import EVERYTHING
from tests.simulated_cuda import genesis
from tests.simulated_cuda.iterations import GRAPH_TRANSFERS, TRANSFERS, count_iteration, crossings, learner_of

NUM_ENVS = 16
CHECKED_EVERY = 10
"""Physics steps between two looks of Genesis for errors, a constant of its own; `read` finds failed robots without."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[GenesisSimulator]:
    genesis.install()
    simulator = GenesisSimulator(BIPED, NUM_ENVS, SMOKE.simulation, torch.device("cuda", 0))
    yield simulator
    simulator.close()


EXPERIMENTS = {name: PRESETS[name] for name in ("default", "gpu")} | {"everything": replace(GPU, env=EVERYTHING)}
"""With every randomisation and disturbance in the last one."""


@pytest.mark.parametrize(("name", "graphs"), [*((name, False) for name in EXPERIMENTS), ("everything", True)])
def test_crossings(name: str, graphs: bool, simulator: GenesisSimulator) -> None:
    experiment = replace(EXPERIMENTS[name], policy=SMOKE.policy)
    assert experiment.simulation == SMOKE.simulation
    warnings: list[str] = []
    learner = learner_of(experiment, simulator, Graphs(warnings.append) if graphs else None)
    physics_steps = experiment.ppo.n_steps * experiment.simulation.substeps
    found = crossings(count_iteration(learner))
    waits = found.pop("wait biped/simulators/genesis.py")
    assert abs(waits - physics_steps / CHECKED_EVERY) < 1.0
    assert found == (GRAPH_TRANSFERS if graphs else TRANSFERS)
    assert warnings == []
    assert torch.isfinite(learner.policy.log_std).all()
