"""The policy that comes with the project walks."""

from dataclasses import replace

import pytest

from app.experiment import from_plain
from app.load import SHIPPED_POLICY
from biped.env import BipedEnv
from biped.examination.criteria import WalkingCriteria
from biped.examination.examination import examination_config, examine
from biped.examination.gait_meter import GaitSummary
from biped.examination.trials import constant
from biped.simulators.genesis import GenesisSimulator
from ppo.agent import TrainedAgent
from ppo.checkpoint.sb3_zip import read_zip
from ppo.policy import RecurrentActorCritic

TRIALS = constant((0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (-0.3, 0.0, 0.0), (0.0, 0.2, 0.0), (0.3, 0.2, 0.0))


def test_it_is_a_small_plain_checkpoint() -> None:
    assert SHIPPED_POLICY.stat().st_size < 2_000_000
    model = read_zip(SHIPPED_POLICY)
    assert model.own_state is None
    assert not (model.optimizer or {}).get("state")


def summaries_of(simulation: GenesisSimulator, *, pushes: bool) -> list[GaitSummary]:
    """Two robots for each of as many commands as the shared robots can be divided by."""
    model = read_zip(SHIPPED_POLICY)
    assert model.own_facts is not None
    experiment = from_plain(model.own_facts["config"])
    env = BipedEnv(simulation, examination_config(experiment.env, 10.0, pushes=pushes), seed=1)
    policy = RecurrentActorCritic(model.policy, env.observation_dim, env.action_dim)
    policy.load_state_dict(model.parameters)
    return examine(TrainedAgent(policy, env.num_envs), env, TRIALS, seconds=10.0, warmup_s=2.0)


@pytest.mark.genesis
def test_it_walks(genesis_simulation: GenesisSimulator) -> None:
    # Two robots deviate more than the mean of the 64 that the criteria are made for.
    criteria = replace(WalkingCriteria(), velocity_error=0.1, duty_asymmetry=0.1)
    summaries = summaries_of(genesis_simulation, pushes=False)
    assert [criteria.shortfalls(summary) for summary in summaries] == [()] * len(TRIALS)


@pytest.mark.genesis
def test_it_stays_up_when_it_is_pushed(genesis_simulation: GenesisSimulator) -> None:
    summaries = summaries_of(genesis_simulation, pushes=True)
    assert sum(summary.survival for summary in summaries) / len(TRIALS) >= 0.9
