"""Each idea does what its name says, and nothing else."""

import pytest
import torch

from benchmarks.ideas import (
    GROWTH_STEPS,
    IDEAS,
    GrowingCommands,
    SmoothedVelocityEnv,
)
from biped.env_config import EnvConfig
from biped.task.commands import CommandConfig
from biped.task.rewards import RewardConfig
from biped.task.terminations import EpisodeEnd
from tests.biped.simulators.fake_simulator import FakeSimulator


def test_commands_grow_to_their_whole_range() -> None:
    config = CommandConfig(linear_velocity_x=(-1.0, 1.0))
    env = IDEAS["commands that grow"].environment(FakeSimulator(4096), EnvConfig(commands=config), 0)
    commands = env.commands
    assert isinstance(commands, GrowingCommands)
    due, waiting = torch.zeros(4096, dtype=torch.long), torch.ones(4096, dtype=torch.long)
    commands.step(due)
    assert commands.value[:, 0].abs().max().item() == pytest.approx(0.3, abs=1e-3)
    for _ in range(GROWTH_STEPS - 1):
        commands.step(waiting)
    commands.step(due)
    assert commands.value[:, 0].abs().max().item() == pytest.approx(1.0, abs=1e-3)


def test_the_velocity_that_is_paid_for_is_smoothed_within_an_episode() -> None:
    simulator = FakeSimulator(2)
    env = SmoothedVelocityEnv(
        simulator, EnvConfig(rewards=RewardConfig(foot_alternation=0, sinusoidal_motion=0)), seed=0
    )
    env.reset()
    end = EpisodeEnd(*(torch.zeros(2, dtype=torch.bool) for _ in EpisodeEnd._fields))

    def paid(x: float, z: float) -> torch.Tensor:
        velocity = torch.tensor([[x, 0.0, z]] * 2)
        env.state = env.state._replace(base_linear_velocity=velocity)
        return env._reward_inputs(env.state, torch.zeros(2, 9), end).state.base_linear_velocity

    assert paid(0.6, 0.1).tolist() == torch.tensor([[0.6, 0.0, 0.1]] * 2).tolist()
    env._began = torch.tensor([False, True])
    torch.testing.assert_close(paid(0.0, 0.3), torch.tensor([[0.58, 0.0, 0.3], [0.0, 0.0, 0.3]]))
