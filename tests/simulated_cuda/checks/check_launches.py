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
from ppo.policy import PolicyConfig
from tests.biped.simulators.fake_simulator import FakeSimulator
from tests.simulated_cuda.counting import LAUNCH, Counts, counted
from tests.simulated_cuda.iterations import learner_of

SIMULATOR = ("biped/simulators/", "tests/")
LIMITS = {"gpu": (261, 202), "default": (263, 225)}
"""By preset: launches per control step, launches per minibatch."""


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


@pytest.mark.parametrize("preset", LIMITS)
def test_launches(preset: str) -> None:
    experiment: Experiment = replace(PRESETS[preset], policy=narrow(PRESETS[preset].policy))
    learner = learner_of(experiment, FakeSimulator(64, torch.device("cuda", 0)))
    learner.collector.collect(lambda: False)
    learner.improve()
    with counted() as collecting:
        learner.collector.collect(lambda: False)
    experience, _ = learner.algorithm.prepare(learner.collector.experience)
    with counted() as updating:
        learner.algorithm.update(experience)
    steps = show(f"control step, preset {preset}", collecting, experiment.ppo.n_steps)
    minibatches = show(f"minibatch, preset {preset}", updating, learner.minibatches_per_update)
    most_steps, most_minibatches = LIMITS[preset]
    assert steps <= most_steps
    assert minibatches <= most_minibatches
