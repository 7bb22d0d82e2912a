"""An environment whose steps are recorded does the same: bit for bit, with everything that can happen in between."""

from dataclasses import replace
from typing import NoReturn

import pytest
import torch
from torch import Tensor

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.examination.examination import examination_config, examine
from biped.examination.gait_meter import GaitSummary
from biped.examination.trials import SUDDEN_CHANGES, WALKING
from biped.simulators.genesis import GenesisSimulator
from ppo.cuda.graphs import Graphs
from ppo.env import Step
from tests.biped.environments import EVERYTHING, PLAIN, assert_same_steps, make_env, random_actions
from tests.ppo.cuda.simulated_graphs import SimulatedGraphs

STEPS = 60
GROWING = replace(EVERYTHING, randomization=replace(EVERYTHING.randomization, growth_s=0.6))


def refuse(warning: str) -> NoReturn:
    raise AssertionError(warning)


def copied(step: Step) -> Step:
    tensors = {name: value.clone() for name, value in step._asdict().items() if isinstance(value, Tensor)}
    return step._replace(**tensors, metrics={name: value.clone() for name, value in step.metrics.items()})


CONFIGS = {"everything": EVERYTHING, "growing": GROWING, "plain": PLAIN, "reference": EnvConfig()}


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_are_the_same(name: str) -> None:
    record = SimulatedGraphs()
    environments = [make_env(CONFIGS[name]) for _ in range(2)]
    environments[0][0].record(Graphs(refuse, record))
    saved = None
    for t, action in enumerate(random_actions(STEPS)):
        steps = []
        for env, simulator in environments:
            simulator.overrides = {"failed": torch.tensor([True, False, True, False])} if t == 17 else {}
            if t == 25:
                env.set_command(torch.tensor([0.3, 0.1, 0.0]))
            if t == 33:
                env.set_command(None)
            if t == 38:
                env.reset_some(torch.tensor([False, True, False, False]))
            if t == 45 and saved is not None:
                env.load_state_dict(saved)
            steps.append(copied(env.step(action)))
        assert_same_steps(*steps)
        if t == 20:
            saved = environments[0][0].state_dict()
    # Before and after the simulation, for each of the longest delays on the way to two steps.
    assert len(record.made) == (2 * 3 if name == "growing" else 2)


@pytest.mark.genesis
def test_reading_genesis_is_recorded(genesis_simulation: GenesisSimulator) -> None:
    env = BipedEnv(genesis_simulation, EVERYTHING, seed=3)
    env.reset()
    saved, actions = env.state_dict(), random_actions(40, genesis_simulation.num_envs)
    expected = [env.step(action) for action in actions]
    record = SimulatedGraphs()
    env.record(Graphs(refuse, record))
    try:
        env.load_state_dict(saved)
        for action, step in zip(actions, expected, strict=True):
            assert_same_steps(env.step(action), step)
    finally:
        # Others use the same robots.
        del genesis_simulation.read
    assert [graph.replays for graph in record.made] == [38, 38, 38]


def test_an_examination_of_recorded_robots_finds_the_same() -> None:
    trials = (*WALKING[:3], SUDDEN_CHANGES)

    def examined(recorder: Graphs | None) -> list[GaitSummary]:
        env, _ = make_env(examination_config(EnvConfig(), 3.0), num_envs=2 * len(trials))
        if recorder is not None:
            env.record(recorder)
        weights = torch.randn(env.observation_dim, env.action_dim, generator=torch.Generator().manual_seed(1))
        return examine(lambda observation, _: 0.3 * observation @ weights, env, trials, seconds=3.0, warmup_s=1.0)

    record = SimulatedGraphs()
    expected = examined(None)
    assert [repr(one) for one in examined(Graphs(refuse, record))] == [repr(one) for one in expected]
    assert {graph.replays for graph in record.made} == {148}
