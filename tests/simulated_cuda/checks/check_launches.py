"""How many operators a GPU is told of: in a control step, the simulator apart, and in a minibatch.

Each takes some microseconds of the host, whatever its size, so these numbers bound the speed with few robots. A limit
here is what the code needs today; a number above it wants a reason, one below it a lower limit.
"""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from app.experiment import Experiment
from configs.presets import PRESETS
from ppo.cuda.graphs import Graphs
from ppo.policy import PolicyConfig
from tests.biped.simulators.fake_simulator import FakeSimulator
from tests.simulated_cuda.counting import LAUNCH, Counts, counted
from tests.simulated_cuda.iterations import learner_of

SIMULATOR = ("biped/simulators/", "tests/")
LIMITS = {
    ("gpu", False): (261, 202),
    ("default", False): (263, 225),
    ("gpu", True): (38, 39.2),
    ("default", True): (38, 38.8),
}
"""By preset, and whether CUDA graphs are used: launches per control step, launches per minibatch. A graph counts as
one; the state that this simulator gives has to be copied to where graphs read it, which Genesis's has not."""


def narrow(policy: PolicyConfig) -> PolicyConfig:
    """The same layers, narrow: their number counts, not their width."""
    return replace(policy, lstm_hidden_size=16, pi=(16,) * len(policy.pi), vf=(16,) * len(policy.vf))


def show(title: str, counts: Counts, units: int) -> float:
    """Print launches per unit by file, the simulator's not; returns their sum."""
    files: Counter[str] = Counter()
    for happening, number in counts.items():
        if happening.kind == LAUNCH and not happening.place.startswith(SIMULATOR):
            files[happening.place.split(":")[0]] += number
    total = files.total() / units
    print(f"\n{total:8.1f}  launches per {title}")
    for file, number in files.most_common():
        print(f"{number / units:8.1f}  {file}")
    return total


@pytest.mark.parametrize(("preset", "graphs"), LIMITS)
def test_launches(preset: str, graphs: bool) -> None:
    experiment: Experiment = replace(PRESETS[preset], policy=narrow(PRESETS[preset].policy))
    warnings: list[str] = []
    simulator = FakeSimulator(64, torch.device("cuda", 0))
    learner = learner_of(experiment, simulator, Graphs(warnings.append) if graphs else None)
    # Graphs are recorded in the first of them.
    for _ in range(3 if graphs else 1):
        learner.collector.collect(lambda: False)
        learner.improve()
    assert warnings == []
    with counted() as collecting:
        learner.collector.collect(lambda: False)
    experience, _ = learner.algorithm.prepare(learner.collector.experience)
    with counted() as updating:
        learner.algorithm.update(experience)
    title = f"preset {preset}{' with CUDA graphs' if graphs else ''}"
    steps = show(f"control step, {title}", collecting, experiment.ppo.n_steps)
    minibatches = show(f"minibatch, {title}", updating, learner.minibatches_per_update)
    most_steps, most_minibatches = LIMITS[preset, graphs]
    assert steps <= most_steps
    assert minibatches <= most_minibatches
