"""Short trainings on small environments, for tests of the loop and of what takes part in it."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ppo.checkpoint.folder import CheckpointFolder
from ppo.env import Recorder, Step, VecEnv
from ppo.hyperparameters import PPOConfig
from ppo.layers import Layers
from ppo.learner import Learner
from ppo.policy import FASTEST, PolicyConfig, RecurrentActorCritic
from ppo.processes import Processes
from ppo.report.console import Console
from ppo.runtime import Precision, PrecisionName
from ppo.trainer import Budget, Trainer
from tests.ppo.environments import TrackingEnv

PPO = PPOConfig(n_steps=8, n_epochs=4, learning_rate=3e-3, ent_coef=0.0)
QUICK = replace(PPO, n_minibatches=1, n_epochs=6, learning_rate=1e-2)
POLICY = PolicyConfig(lstm_hidden_size=16, n_lstm_layers=1, pi=(32,), vf=(32,))


def make_trainer(
    env: VecEnv,
    folder: Path,
    total_timesteps: int,
    *,
    ppo: PPOConfig = PPO,
    seed: int = 0,
    keep: int | None = None,
    processes: Processes | None = None,
    precision: PrecisionName = "auto",
    policy: PolicyConfig = POLICY,
    layers: Layers = FASTEST,
    recorder: Recorder | None = None,
) -> Trainer:
    """A silent training that saves every thousand control steps."""
    torch.manual_seed(seed)
    folder.mkdir(exist_ok=True)
    learner = Learner(
        env,
        RecurrentActorCritic(policy, env.observation_dim, env.action_dim, layers).to(env.device),
        ppo,
        total_timesteps,
        precision=Precision.resolve(precision, env.device),
        processes=processes or Processes(device=env.device),
        seed=seed,
        facts={},
        recorder=recorder,
    )
    console = Console(total_timesteps=total_timesteps, stream=io.StringIO())
    checkpoints = CheckpointFolder(folder, "model", keep=keep, warn=console.message, saved=lambda path: None)
    return Trainer(learner, Budget(total_timesteps, save_freq=1000), checkpoints=checkpoints, console=console)


def mean_return(trainer: Trainer) -> float:
    """Of the last episodes."""
    sums, count = trainer.learner.collector.episodes.sums()
    return float(sums[0] / count)


class MeddlingEnv(TrackingEnv):
    """Does something in one step."""

    def __init__(self, at_step: int, meddle: Callable[[Step], Step]) -> None:
        super().__init__(16)
        self.at_step, self.meddle, self.count = at_step, meddle, 0

    def step(self, action: Tensor) -> Step:
        self.count += 1
        step = super().step(action)
        return self.meddle(step) if self.count == self.at_step else step
