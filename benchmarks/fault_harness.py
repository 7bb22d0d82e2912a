"""What the fault injections share: a small training, and a look at the folder that it left."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from ppo.checkpoint.folder import CheckpointFolder, newest_checkpoint
from ppo.checkpoint.sb3_model import CheckpointError
from ppo.checkpoint.sb3_zip import read_zip
from ppo.env import VecEnv
from ppo.hyperparameters import PPOConfig
from ppo.learner import Learner
from ppo.policy import PolicyConfig, RecurrentActorCritic
from ppo.processes import Processes
from ppo.report.console import Console
from ppo.runtime import Precision
from ppo.trainer import Budget, Trainer

PREFIX = "model"
PPO = PPOConfig(n_steps=8, n_epochs=1, learning_rate=3e-3, ent_coef=0.0)
POLICY = PolicyConfig(lstm_hidden_size=16, n_lstm_layers=1, pi=(32,), vf=(32,))


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    fault: str
    """What was done to the training."""
    repetitions: int
    """How often."""
    lost: int
    """Checkpoints that were reported as saved, should be there, and were not there or not readable."""
    unreadable: int
    """Files under a final name that could not be read."""
    resumed: int
    """Repetitions after which training continued from the newest checkpoint with finite weights."""
    outcome: str
    """What else was seen."""


class Survey(NamedTuple):
    """What a run folder holds."""

    steps: list[int]
    """Control steps of every readable checkpoint."""
    unreadable: int
    """Number of other files that are not hidden."""
    temporaries: list[Path]
    """Hidden files that an unfinished write left."""

    def lost(self, announced: Iterable[int], keep: int) -> int:
        """Number of announced checkpoints that are gone though fewer than `keep` readable ones are newer."""
        return sum(
            step not in self.steps and sum(other > step for other in self.steps) < keep for step in set(announced)
        )


def survey(folder: Path) -> Survey:
    """Read every file of a run folder."""
    steps, unreadable, temporaries = [], 0, []
    for path in folder.iterdir():
        if path.name.startswith("."):
            temporaries.append(path)
            continue
        try:
            steps.append(read_zip(path).num_timesteps)
        except CheckpointError:
            unreadable += 1
    return Survey(steps, unreadable, temporaries)


def make_trainer(
    env: VecEnv,
    checkpoints: CheckpointFolder,
    total_timesteps: int,
    *,
    save_freq: int = 1,
    ppo: PPOConfig = PPO,
    seed: int = 0,
) -> Trainer:
    """A training that saves after every update unless told otherwise."""
    torch.manual_seed(seed)
    learner = Learner(
        env,
        RecurrentActorCritic(POLICY, env.observation_dim, env.action_dim),
        ppo,
        total_timesteps,
        precision=Precision.resolve("fp32", env.device),
        processes=Processes(),
        seed=seed,
        facts={},
    )
    console = Console(total_timesteps=total_timesteps, stream=io.StringIO())
    return Trainer(learner, Budget(total_timesteps, save_freq), checkpoints=checkpoints, console=console)


def resumes(folder: Path, make_env: Callable[[], VecEnv], ppo: PPOConfig = PPO) -> bool:
    """Whether a new training continues from the newest checkpoint in `folder`, and saves finite weights."""
    try:
        _, model = newest_checkpoint(folder, PREFIX, lambda line: None)
    except CheckpointError:
        return False
    env = make_env()
    goal = model.num_timesteps + env.num_envs * ppo.n_steps
    saved: list[Path] = []
    checkpoints = CheckpointFolder(folder, PREFIX, warn=lambda line: None, saved=saved.append)
    trainer = make_trainer(env, checkpoints, goal, ppo=ppo)
    trainer.learner.restore(model)
    trainer.train()
    return bool(saved) and trainer.learner.num_timesteps == goal and weights_are_finite(trainer.learner)


def weights_are_finite(learner: Learner) -> bool:
    """Whether weights and optimiser hold neither infinite numbers nor NaN."""
    moments = [tensor for state in learner.optimizer.state_dict()["state"].values() for tensor in state.values()]
    return all(bool(tensor.isfinite().all()) for tensor in (*learner.policy.parameters(), *moments))
