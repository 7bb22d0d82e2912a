"""The policy that comes with the project walks."""

import pytest

from biped.env import BipedEnv
from biped.evaluation import evaluate, evaluation_config
from biped.metrics import DISTURBED_CRITERIA, WalkingCriteria
from biped.simulation import Simulation
from configs.experiment import from_plain
from play import SHIPPED_POLICY
from ppo.agent import TrainedAgent
from ppo.policy import RecurrentActorCritic
from ppo.sb3_zip import read_zip

FORWARD, BACKWARD, LEFT, STAND = (0.5, 0.0, 0.0), (-0.3, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, 0.0, 0.0)


def test_it_is_a_small_plain_checkpoint() -> None:
    assert SHIPPED_POLICY.stat().st_size < 2_000_000
    model = read_zip(SHIPPED_POLICY)
    assert (model.optimizer, model.native_state) == (None, None)


@pytest.mark.genesis
@pytest.mark.parametrize("pushes", [False, True])
def test_it_walks(genesis_simulation: Simulation, pushes: bool) -> None:
    model = read_zip(SHIPPED_POLICY)
    assert model.native is not None
    experiment = from_plain(model.native["config"])
    env = BipedEnv(genesis_simulation, evaluation_config(experiment.env, 10.0, pushes=pushes), seed=1)
    policy = RecurrentActorCritic(model.policy, env.observation_dim, env.action_dim)
    policy.load_state_dict(model.parameters)
    criteria = DISTURBED_CRITERIA if pushes else WalkingCriteria()
    # As many commands as the shared robots can be divided by.
    commands = (STAND, FORWARD, BACKWARD, LEFT, (0.3, 0.2, 0.0))
    summaries = evaluate(TrainedAgent(policy, env.num_envs, None), env, commands, seconds=10.0, warmup_s=2.0)
    assert [criteria.shortfalls(summary) for summary in summaries] == [()] * len(commands)
