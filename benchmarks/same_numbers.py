"""Whether two checkouts compute the same: `python -m benchmarks.same_numbers CHECKOUT [CHECKOUT]`.

Short trainings with fixed seeds, on an environment in plain tensors, run with the code of each checkout. One hash per
training is printed, over weights, Adam's moments, what a run continues from, and all metrics but those of time. A
change of structure leaves every hash as it is. Numbers depend on processor and PyTorch, so that hashes are compared on
one machine only. The exit code is 1 where two checkouts differ.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

import ppo
from ppo.checkpoint.folder import CheckpointFolder
from ppo.checkpoint.sb3_zip import read_zip
from ppo.env import Step
from ppo.hyperparameters import PPOConfig
from ppo.learner import Learner
from ppo.learning_rate import LearningRateConfig
from ppo.policy import PolicyConfig, RecurrentActorCritic
from ppo.processes import Processes
from ppo.report.console import Console
from ppo.report.logging import MetricsLogger
from ppo.runtime import Precision
from ppo.trainer import Budget, Trainer

NUM_ENVS, ITERATIONS, PROCESSES = 16, 6, 2
CONTINUED, TOGETHER = "stopped and continued", "two processes"
PPO = PPOConfig(n_steps=8, n_epochs=3, learning_rate=3e-3)
POLICY = PolicyConfig(lstm_hidden_size=16, n_lstm_layers=1, pi=(24,), vf=(20,))


@dataclass(frozen=True)
class Case:
    """One training."""

    ppo: PPOConfig = PPO
    policy: PolicyConfig = field(default_factory=lambda: POLICY)


ADAPTIVE = LearningRateConfig("adaptive", window=1, patience_high=1, patience_low=1, maximum=1e-2, cooldown_steps=0)
CASES: Mapping[str, Case] = {
    "plain": Case(),
    "two layers": Case(policy=replace(POLICY, n_lstm_layers=2)),
    "shared LSTM": Case(policy=replace(POLICY, critic="shared")),
    "linear critic": Case(policy=replace(POLICY, critic="linear")),
    "MLP in front": Case(policy=replace(POLICY, features=(12, 10), pi=(), vf=())),
    "hidden size of no vector": Case(policy=replace(POLICY, lstm_hidden_size=10, activation="tanh")),
    "one environment per minibatch": Case(replace(PPO, batch_size=PPO.n_steps)),
    "normalised observations": Case(replace(PPO, normalize_observation=True)),
    "raw advantages": Case(replace(PPO, normalize_advantage=False, vf_coef=0.5)),
    "clipped values": Case(replace(PPO, clip_range_vf=0.1)),
    "early stop": Case(replace(PPO, n_epochs=8, target_kl=0.004)),
    "adaptive learning rate": Case(replace(PPO, lr=ADAPTIVE)),
    "replay of 3": Case(replace(PPO, replay=3)),
    "replay of 2, shared LSTM": Case(replace(PPO, replay=2, clip_range_vf=0.2), replace(POLICY, critic="shared")),
    "replay of 3, all options": Case(
        replace(PPO, replay=3, normalize_observation=True, target_kl=0.02, lr=ADAPTIVE, batch_size=2 * PPO.n_steps),
        replace(POLICY, critic="linear", features=(12,)),
    ),
    CONTINUED: Case(),
    TOGETHER: Case(replace(PPO, replay=2, target_kl=0.05)),
}


class FallingEnv:
    """Repeat a number that is shown at the beginning of an episode; some fall, others run out of time.

    Args:
        num_envs: `N`.
        seed: of numbers and falls.
    """

    observation_dim, action_dim, episode_length = 3, 2, 11
    device = torch.device("cpu")

    def __init__(self, num_envs: int, seed: int) -> None:
        self.num_envs = num_envs
        self.action_low, self.action_high = torch.full((2,), -1.5), torch.full((2,), 1.0)
        self.generator = torch.Generator().manual_seed(seed)
        self.number, self.age = torch.zeros(num_envs), torch.zeros(num_envs, dtype=torch.int64)

    def reset(self) -> Tensor:
        """New episodes everywhere, of different ages so that time-outs do not come together."""
        self.number = torch.randn(self.num_envs, generator=self.generator)
        self.age = torch.arange(self.num_envs) % self.episode_length
        return self._observe()

    def step(self, action: Tensor) -> Step:
        """Compare `action` `[N, 2]` with the number."""
        error = (action - self.number.unsqueeze(1)).square().sum(1)
        self.age = self.age + 1
        terminated = torch.rand(self.num_envs, generator=self.generator) < 0.05
        truncated = (self.age >= self.episode_length) & ~terminated
        done, final_observation = terminated | truncated, self._observe()
        self.number = torch.where(done, torch.randn(self.num_envs, generator=self.generator), self.number)
        self.age = self.age.masked_fill(done, 0)
        metrics = {"tracking/error": error.mean(), "episode/fell": terminated.float().sum()}
        return Step(self._observe(), 1.0 - error, terminated, truncated, final_observation, metrics)

    def state_dict(self) -> dict[str, Any]:
        """Numbers, ages and the generator."""
        return {"number": self.number, "age": self.age, "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        """Continue where `state_dict` was taken; returns the observation `[N, 3]`."""
        self.number, self.age = state["number"].clone(), state["age"].clone()
        self.generator.set_state(state["generator"])
        return self._observe()

    def close(self) -> None:
        """Nothing is held."""

    def _observe(self) -> Tensor:
        shown = torch.where(self.age == 0, self.number, 0.0)
        return torch.stack((shown, self.age / self.episode_length, torch.ones_like(shown)), dim=1)


class Recorder(MetricsLogger):
    """Keeps the metrics of every iteration, apart from those of time."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []

    def log(self, metrics: Mapping[str, float], num_timesteps: int) -> None:
        """Keep them, as exact as they are."""
        self.logged.append({name: value for name, value in metrics.items() if name.split("/")[0] not in TIMES})

    def log_checkpoint(self, path: Path) -> None:
        """Nothing to keep."""


TIMES = ("time", "perf")


def train(case: Case, folder: Path, iterations: int, processes: Processes, start: Path | None = None) -> str:
    """Train, from a checkpoint if one is given, and hash what came of it."""
    env = FallingEnv(NUM_ENVS, seed=1 + processes.rank)
    steps = iterations * NUM_ENVS * case.ppo.n_steps * processes.count
    torch.manual_seed(1)
    recorder = Recorder()
    learner = Learner(
        env,
        RecurrentActorCritic(case.policy, env.observation_dim, env.action_dim),
        case.ppo,
        steps,
        precision=Precision.resolve("fp32", env.device),
        processes=processes,
        seed=1,
        facts={},
    )
    trainer = Trainer(
        learner,
        Budget(steps, save_freq=2**62),
        checkpoints=CheckpointFolder(folder, "model", warn=print, saved=lambda path: None),
        console=Console(total_timesteps=steps, stream=io.StringIO()),
        logger=recorder,
    )
    if start is not None and not learner.restore(read_zip(start)):
        raise RuntimeError(f"{start} does not continue exactly")
    trainer.train()
    results = [learner.policy.state_dict(), learner.optimizer.state_dict(), learner.collector.state_dict()]
    return digest([*results, learner.minibatch_generator.get_state(), recorder.logged, learner.n_updates])


def digest(value: Any) -> str:  # noqa: ANN401 - anything that a run consists of
    """Hash of tensors, numbers and words, in dicts and sequences."""
    if isinstance(value, Mapping):
        content = "".join(f"{key}:{digest(value[key])};" for key in sorted(value, key=str)).encode()
    elif isinstance(value, list | tuple):
        content = "".join(map(digest, value)).encode()
    elif isinstance(value, Tensor):
        content = repr((value.dtype, tuple(value.shape))).encode() + value.detach().contiguous().numpy().tobytes()
    else:
        content = repr(value).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def run(name: str, folder: Path) -> str:
    """Hash of one of the `CASES`."""
    case = CASES[name]
    if name == TOGETHER:
        spawn(train_together, args=(str(folder),), nprocs=PROCESSES)
        return digest([(folder / f"{rank}.txt").read_text() for rank in range(PROCESSES)])
    if name == CONTINUED:
        train(case, folder, ITERATIONS // 2, Processes())
        return train(case, folder, ITERATIONS, Processes(), start=folder / "model_final.zip")
    return train(case, folder, ITERATIONS, Processes())


def train_together(rank: int, folder: str) -> None:
    """One of the processes that train together; its hash goes to a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES)
    result = train(CASES[TOGETHER], Path(folder), ITERATIONS, Processes(rank, PROCESSES))
    Path(folder, f"{rank}.txt").write_text(result)
    dist.destroy_process_group()


def hashes_of(checkout: Path, only: str) -> dict[str, str]:
    """Hash of every training by name, computed by processes that find the packages of that checkout."""
    results: dict[str, str] = {}
    for kernels, suffix in (("1", ""), ("0", ", no kernels")):
        variables = {**os.environ, "PYTHONPATH": str(checkout), "PPO_KERNELS": kernels, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).resolve()), "--child", f"--only={only}", str(checkout)]
        done = subprocess.run(command, cwd=checkout, env=variables, stdout=subprocess.PIPE, text=True, check=True)
        results |= {name + suffix: value for name, value in json.loads(done.stdout.splitlines()[-1]).items()}
    return results


def own_hashes(checkout: Path, only: str) -> dict[str, str]:
    """The same with the packages that this process has found."""
    if not Path(str(ppo.__file__)).resolve().is_relative_to(checkout):
        raise RuntimeError(f"{ppo.__file__} is not the code in {checkout}")
    torch.set_num_threads(1)
    results = {}
    for name in CASES:
        if only in name:
            with tempfile.TemporaryDirectory() as folder:
                results[name] = run(name, Path(folder))
    return results


def main() -> int:
    """Print the hashes of all checkouts side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="+", type=Path, metavar="CHECKOUT", help="folder that holds ppo/")
    parser.add_argument("--only", default="", metavar="WORDS", help="trainings whose names contain these words")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    checkouts = [checkout.resolve() for checkout in options.checkouts]
    if options.child:
        print(json.dumps(own_hashes(checkouts[0], options.only)))
        return 0
    tables = [hashes_of(checkout, options.only) for checkout in checkouts]
    different = [name for name in tables[0] if len({table[name] for table in tables}) > 1]
    for name in tables[0]:
        print(*(table[name] for table in tables), "DIFFERENT" if name in different else "", name)
    return int(bool(different))


if __name__ == "__main__":
    raise SystemExit(main())
