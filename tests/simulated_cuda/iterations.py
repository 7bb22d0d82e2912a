"""One iteration of a training, counted."""

import torch

from app.build import Parts
from app.experiment import Experiment
from biped.simulators.interface import Simulator
from ppo.env import Recorder
from ppo.learner import Learner
from ppo.processes import Processes
from ppo.runtime import Precision
from tests.simulated_cuda.counting import Counts, counted

TRANSFERS = {"to host ppo/rollout.py": 1, "to host ppo/metrics.py": 1}
"""The two that an iteration needs: where episodes start and run out of time, and the metrics."""
GRAPH_TRANSFERS = {"to host ppo/metrics.py": 1}
"""With graphs the host does not have to know where episodes end."""


def learner_of(experiment: Experiment, simulator: Simulator, recorder: Recorder | None = None) -> Learner:
    """The learner of an experiment with these robots."""
    parts, device = Parts(), torch.device("cuda", 0)
    env = parts.environment(simulator, experiment.env, seed=1)
    return Learner(
        env,
        parts.new_policy(experiment, env),
        experiment.ppo,
        experiment.total_timesteps,
        precision=Precision.resolve("auto", device),
        processes=Processes(device=device),
        seed=1,
        facts={},
        recorder=recorder,
    )


def count_iteration(learner: Learner) -> Counts:
    """What happens in an iteration, after those that may do what is done once, or record it."""
    for _ in range(4):
        with counted() as counts:
            learner.collector.collect(lambda: False)
            learner.read_metrics(learner.improve())
    return counts


def crossings(counts: Counts) -> dict[str, int]:
    """How often host and device wait for each other, by kind and file; the lines are printed."""
    print(counts.crossings().table())
    numbers: dict[str, int] = {}
    for (kind, place, _), number in counts.crossings().items():
        name = f"{kind} {place.split(':')[0]}"
        numbers[name] = numbers.get(name, 0) + number
    return numbers
