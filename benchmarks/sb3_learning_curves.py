"""Learning curves of sb3-contrib's RecurrentPPO and of this trainer: `python -m benchmarks.sb3_learning_curves`.

Both learn the same recall task, in the same tensors, with the same network, start weights and hyper-parameters.
"""

import argparse
import dataclasses
import io
import itertools
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import numpy as np
import numpy.typing as npt
import sb3_contrib
import torch
from sb3_contrib import RecurrentPPO
from torch import Tensor

from app.comparison.statistics import difference_interval
from benchmarks.adapters import Sb3VecEnv
from benchmarks.recall_env import RecallEnv
from ppo.checkpoint.atomic import atomic_write
from ppo.checkpoint.folder import CheckpointFolder
from ppo.env import Step
from ppo.hyperparameters import PPOConfig
from ppo.learner import Learner
from ppo.policy import PolicyConfig, RecurrentActorCritic
from ppo.processes import Processes
from ppo.report.console import Console
from ppo.runtime import Precision
from ppo.trainer import Budget, Trainer

Array = npt.NDArray[np.float64]

NUM_ENVS = 32
EPISODE_LENGTH = 8
POLICY = PolicyConfig(lstm_hidden_size=32, n_lstm_layers=1, pi=(32,), vf=(32,), activation="tanh")
PPO = PPOConfig(
    n_steps=16, batch_size=128, n_epochs=4, learning_rate=1e-3, ent_coef=0.0, vf_coef=0.5, max_grad_norm=0.5
)
EVALUATION_EPISODES = 1000
TRAINERS = ("sb3-contrib", "ours")


class RecordedEnv(RecallEnv):
    """The recall task, which keeps the mean return of the episodes that ended, one number per `EPISODE_LENGTH` steps.

    All episodes have the same length, so all end in the same step.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(NUM_ENVS, episode_length=EPISODE_LENGTH, seed=seed)
        self.rewards: list[float] = []

    def step(self, action: Tensor) -> Step:
        """One step of the task."""
        step = super().step(action)
        self.rewards.append(float(step.reward.mean()))
        return step

    def returns(self) -> Array:
        """Mean return of the episodes that ended at each multiple of `EPISODE_LENGTH` steps."""
        whole = len(self.rewards) // EPISODE_LENGTH * EPISODE_LENGTH
        returns: Array = np.array(self.rewards[:whole]).reshape(-1, EPISODE_LENGTH).sum(1)
        return returns


@dataclass(frozen=True)
class Run:
    """One training."""

    trainer: str
    """`sb3-contrib` or `ours`."""
    seed: int
    """Of weights, cues, exploration and minibatches."""
    returns: list[float]
    """Mean return of the episodes, every `EPISODE_LENGTH` steps of all environments."""
    start_return: float
    """Mean return of the untrained policy without exploration noise."""
    final_return: float
    """The same after training."""
    seconds: float
    """Processor time of the training."""


def train_sb3(env: RecordedEnv, seed: int, total_timesteps: int) -> tuple[RecurrentActorCritic, Callable[[], None]]:
    """sb3-contrib's policy as one of our networks, and what trains it."""
    model = RecurrentPPO(
        "MlpLstmPolicy",
        Sb3VecEnv(env),
        learning_rate=PPO.learning_rate,
        n_steps=PPO.n_steps,
        batch_size=PPO.batch_size,
        n_epochs=PPO.n_epochs,
        gamma=PPO.gamma,
        gae_lambda=PPO.gae_lambda,
        clip_range=PPO.clip_range,
        ent_coef=PPO.ent_coef,
        vf_coef=PPO.vf_coef,
        max_grad_norm=PPO.max_grad_norm,
        seed=seed,
        device="cpu",
        policy_kwargs={
            "activation_fn": torch.nn.Tanh,
            "net_arch": {"pi": list(POLICY.pi), "vf": list(POLICY.vf)},
            "lstm_hidden_size": POLICY.lstm_hidden_size,
            "n_lstm_layers": POLICY.n_lstm_layers,
        },
    )
    policy = RecurrentActorCritic(POLICY, env.observation_dim, env.action_dim)
    policy.load_state_dict(model.policy.state_dict())

    def train() -> None:
        model.learn(total_timesteps)
        policy.load_state_dict(model.policy.state_dict())

    return policy, train


def train_ours(env: RecordedEnv, seed: int, total_timesteps: int) -> tuple[RecurrentActorCritic, Callable[[], None]]:
    """Our policy, and what trains it."""
    torch.manual_seed(seed)
    policy = RecurrentActorCritic(POLICY, env.observation_dim, env.action_dim)

    def train() -> None:
        with TemporaryDirectory() as folder:
            learner = Learner(
                env,
                policy,
                PPO,
                total_timesteps,
                precision=Precision.resolve("fp32", env.device),
                processes=Processes(),
                seed=seed,
                facts={},
            )
            Trainer(
                learner,
                Budget(total_timesteps, save_freq=total_timesteps),
                checkpoints=CheckpointFolder(Path(folder), "model", warn=print, saved=lambda path: None),
                console=Console(total_timesteps=total_timesteps, stream=io.StringIO()),
            ).train()

    return policy, train


def run(trainer: str, seed: int, total_timesteps: int) -> Run:
    """Train once and evaluate before and after."""
    env = RecordedEnv(seed)
    policy, train = (train_ours if trainer == "ours" else train_sb3)(env, seed, total_timesteps)
    start_return = evaluate(policy)
    begin = time.process_time()
    train()
    seconds = time.process_time() - begin
    return Run(trainer, seed, env.returns().tolist(), start_return, evaluate(policy), seconds)


@torch.no_grad()
def evaluate(policy: RecurrentActorCritic) -> float:
    """Mean return over `EVALUATION_EPISODES` episodes, always the same ones, without exploration noise."""
    env = RecallEnv(EVALUATION_EPISODES, episode_length=EPISODE_LENGTH, seed=10**6)
    observation = env.reset()
    state = policy.initial_state(env.num_envs).actor
    episode_start = torch.ones(env.num_envs, dtype=torch.bool)
    total = 0.0
    for _ in range(EPISODE_LENGTH):
        action, _, state, _ = policy.act(observation, state, episode_start)
        step = env.step(action.clamp(env.action_low, env.action_high))
        observation, episode_start = step.observation, torch.zeros_like(episode_start)
        total += float(step.reward.mean())
    return total


def permutation_test(a: Array, b: Array) -> float:
    """Two-sided p-value of the difference in means, over all ways to deal the numbers into two groups of these sizes.

    Fisher, "The Design of Experiments", 1935.
    """
    pool = np.concatenate((a, b))
    observed = abs(a.mean() - b.mean())
    count = extreme = 0
    for chosen in itertools.combinations(range(len(pool)), len(a)):
        mask = np.isin(np.arange(len(pool)), chosen)
        extreme += abs(pool[mask].mean() - pool[~mask].mean()) >= observed - 1e-12
        count += 1
    return extreme / count


MEASURES: dict[str, Callable[[Run], float]] = {
    "final return, no exploration": lambda run: run.final_return,
    "training return, last tenth": lambda run: float(np.mean(run.returns[-len(run.returns) // 10 :])),
    "training return, whole run": lambda run: float(np.mean(run.returns)),
    "processor seconds": lambda run: run.seconds,
}


def table(runs: Sequence[Run]) -> str:
    """Means, standard deviations and tests of every measure, as a Markdown table."""
    generator = np.random.default_rng(0)
    lines = [
        f"| measure | {' | '.join(TRAINERS)} | difference (95 % interval) | p |",
        "|---|---|---|---|---|",
    ]
    for name, measure in MEASURES.items():
        theirs, ours = (np.array([measure(run) for run in runs if run.trainer == trainer]) for trainer in TRAINERS)
        interval = difference_interval(theirs, ours, generator)
        assert interval is not None, "at least two seeds"
        cells = [f"{group.mean():.3f} ± {group.std(ddof=1):.3f}" for group in (theirs, ours)]
        difference = f"{ours.mean() - theirs.mean():+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"
        lines.append(f"| {name} | {' | '.join(cells)} | {difference} | {permutation_test(theirs, ours):.3f} |")
    return "\n".join(lines)


def draw(runs: Sequence[Run], path: Path) -> None:
    """Draw the mean and the range over the seeds of each trainer's training return."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.0, 4.0), layout="constrained")
    for trainer, color in zip(TRAINERS, ("tab:orange", "tab:blue"), strict=True):
        curves = np.array([run.returns for run in runs if run.trainer == trainer])
        steps = np.arange(1, curves.shape[1] + 1) * NUM_ENVS * EPISODE_LENGTH
        axes.plot(steps, curves.mean(0), color=color, label=f"{trainer}, mean of {len(curves)} seeds")
        axes.fill_between(steps, curves.min(0), curves.max(0), color=color, alpha=0.2, linewidth=0.0)
    axes.axhline(1.0 - EPISODE_LENGTH, color="gray", linestyle="--", linewidth=1.0, label="best without memory")
    axes.set(xlabel="control steps", ylabel="return per episode", title="Recall task, training return")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train with both, print the comparison, draw the curves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sb3_learning_curves", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each kind (default: 5)")
    parser.add_argument("--total-timesteps", type=int, default=30_720, help="of each training (default: 30720)")
    parser.add_argument("--picture", type=Path, default=Path("docs/sb3_learning_curves.png"), help="PNG to write")
    parser.add_argument("--json", type=Path, help="write curves and settings there as well")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2, to have something to compare")
    torch.set_num_threads(1)
    runs = []
    for seed, trainer in itertools.product(range(1, options.seeds + 1), TRAINERS):
        runs.append(run(trainer, seed, options.total_timesteps))
        last = runs[-1]
        print(
            f"seed {seed}, {trainer}: return {last.start_return:.2f} before, {last.final_return:.2f} after training, "
            f"{last.seconds:.0f} s of processor time",
            flush=True,
        )
    print(f"\n{table(runs)}")
    draw(runs, options.picture)
    if options.json is not None:
        document = {
            "machine": platform.platform(),
            "torch": torch.__version__,
            "sb3_contrib": sb3_contrib.__version__,
            "num_envs": NUM_ENVS,
            "episode_length": EPISODE_LENGTH,
            "policy": dataclasses.asdict(POLICY),
            "ppo": dataclasses.asdict(PPO),
            "table": table(runs).splitlines(),
            "runs": [dataclasses.asdict(run) for run in runs],
        }
        with atomic_write(options.json) as file:
            file.write(json.dumps(document).encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
