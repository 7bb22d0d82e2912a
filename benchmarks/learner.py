"""Learning alone, without a simulator: `python -m benchmarks.learner [--json FILE]`.

This trainer, rsl_rl and sb3-contrib improve the same network on the same random rollouts, in turn. The rate of large
matrix products, measured in between, tells how fast any of them could be.
"""

import contextlib
import dataclasses
import io
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from benchmarks.adapters import (
    CONTENDERS,
    MODULES,
    OURS,
    RSL,
    SB3,
    RslVecEnv,
    make_sb3,
    make_trainer,
    observation_group,
    rsl_configuration,
)
from benchmarks.measurement import (
    INSTALL,
    Measurement,
    interleave,
    machine,
    make_console,
    make_parser,
    make_table,
    number,
    parse,
    print_facts,
    seconds,
    spread,
    synchronize,
    write_json,
)
from benchmarks.synthetic import Experience, ReplayEnv, random_experience
from ppo.policy import PolicyConfig
from ppo.runtime import Precision
from ppo.trainer import Trainer
from ppo.update import PPOConfig, update

NETWORKS = {
    "default": PolicyConfig(),
    "small": PolicyConfig(lstm_hidden_size=64, n_lstm_layers=1, pi=(128, 64), vf=(128, 64)),
    "tiny": PolicyConfig(lstm_hidden_size=8, n_lstm_layers=1, pi=(8,), vf=(8,)),
}
CEILING = "matrix products"
WARMUPS = 1
"""Rounds that do not count."""
MINIMUM_SECONDS = 0.3
"""s that one measurement of the matrix products lasts at least."""
QUICK = {"num_envs": 8, "n_steps": 4, "n_epochs": 2, "n_minibatches": 2, "repeats": 2, "networks": ["tiny"], "size": 64}


@dataclass(frozen=True)
class Settings:
    """What is learned from, apart from the network."""

    num_envs: int
    observation_dim: int
    action_dim: int
    end_probability: float
    """Chance that an episode ends, per control step."""
    ppo: PPOConfig
    device: torch.device
    precision: Precision

    @property
    def steps(self) -> int:
        """Control steps per rollout."""
        return self.num_envs * self.ppo.n_steps

    @property
    def minibatches(self) -> int:
        """Optimiser steps per epoch."""
        return self.num_envs // self.ppo.minibatch_envs(self.num_envs)

    def make_env(self) -> ReplayEnv:
        """The stage for the experience."""
        return ReplayEnv(self.num_envs, self.observation_dim, self.action_dim, self.device)


class Learner(Protocol):
    """One contender."""

    optimizer: torch.optim.Optimizer
    modules: Sequence[nn.Module]
    """The whole network."""
    updates: int
    """Updates in one call of `learn`."""

    def set_epochs(self, n_epochs: int) -> None:
        """Passes over the rollout in the next updates."""
        ...

    def fill(self, experience: Experience) -> None:
        """Act along the experience and store everything that the learner needs; not timed."""
        ...

    def learn(self) -> dict[str, float]:
        """Seconds of one `update` (all gradient steps), and of one `improve` (advantages and update)."""
        ...


class Ours:
    """`ppo.trainer.Trainer`; its improvement includes valuing the rollout, which the others do while they collect."""

    updates = 2

    def __init__(self, network: PolicyConfig, settings: Settings, folder: Path) -> None:
        self.settings, self.env = settings, settings.make_env()
        self.trainer: Trainer = make_trainer(self.env, network, settings.ppo, settings.precision, folder)
        self.optimizer: torch.optim.Optimizer = self.trainer.optimizer.adam
        self.modules: Sequence[nn.Module] = [self.trainer.policy]

    def set_epochs(self, n_epochs: int) -> None:
        """Change the hyper-parameters."""
        self.trainer.ppo = replace(self.trainer.ppo, n_epochs=n_epochs)

    def fill(self, experience: Experience) -> None:
        """Let the trainer collect."""
        self.trainer.observation = self.env.play(experience)
        self.trainer.collect()

    def learn(self) -> dict[str, float]:
        """Improve, then update once more from the state that the rollout began with."""
        trainer, device = self.trainer, self.settings.device
        start_state = trainer.rollout.start_state
        improve = seconds(trainer.improve, device)
        end_state, trainer.rollout.start_state = trainer.rollout.start_state, start_state
        episode_start, _ = trainer.rollout.flags_on_host()
        again = partial(
            update,
            trainer.policy,
            trainer.optimizer,
            trainer.rollout,
            episode_start,
            trainer.ppo,
            trainer.minibatch_generator,
            trainer.precision,
            trainer.processes,
        )
        alone = seconds(again, device)
        trainer.rollout.start_state = end_state
        return {"update": alone, "improve": improve}


class Sb3:
    """`sb3_contrib.RecurrentPPO.train`."""

    updates = 1

    def __init__(self, network: PolicyConfig, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.model = make_sb3(settings.make_env(), network, settings.ppo)
        self.optimizer: torch.optim.Optimizer = self.model.policy.optimizer
        self.modules: Sequence[nn.Module] = [self.model.policy]
        self.start = torch.ones(settings.num_envs, device=settings.device)
        self.last: tuple[Tensor, Tensor] | None = None

    def set_epochs(self, n_epochs: int) -> None:
        """Change the hyper-parameter."""
        self.model.n_epochs = n_epochs

    def fill(self, experience: Experience) -> None:
        """Store step by step, as its `collect_rollouts` does."""
        model, buffer = self.model, self.model.rollout_buffer
        model.policy.set_training_mode(False)
        buffer.reset()
        state = model._last_lstm_states
        with torch.no_grad():
            for t in range(self.settings.ppo.n_steps):
                observation = experience.observation[t]
                action, value, log_prob, after = model.policy(observation, state, self.start)
                buffer.add(
                    observation.cpu().numpy(),
                    action.cpu().numpy(),
                    experience.reward[t].cpu().numpy(),
                    self.start.cpu().numpy(),
                    value,
                    log_prob,
                    lstm_states=state,
                )
                state, self.start = after, experience.done[t].float()
            last = model.policy.predict_values(experience.observation[-1], state.vf, self.start)
        model._last_lstm_states = state
        self.last = last, self.start

    def learn(self) -> dict[str, float]:
        """Compute advantages, then train."""
        assert self.last is not None
        value, done = self.last
        advantages = partial(self.model.rollout_buffer.compute_returns_and_advantage, value, done.cpu().numpy())
        before = seconds(advantages, self.settings.device)
        alone = seconds(self.model.train, self.settings.device)
        return {"update": alone, "improve": before + alone}


class Rsl:
    """`rsl_rl.algorithms.PPO.update` with an LSTM for actor and critic each."""

    updates = 1

    def __init__(self, network: PolicyConfig, settings: Settings, folder: Path) -> None:
        from rsl_rl.algorithms import PPO

        self.settings = settings
        env = RslVecEnv(settings.make_env())
        configuration = rsl_configuration(network, settings.ppo, settings.num_envs, settings.precision)
        with contextlib.redirect_stdout(io.StringIO()):
            self.algorithm = PPO.construct_algorithm(env.get_observations(), env, configuration, str(settings.device))
        self.optimizer: torch.optim.Optimizer = self.algorithm.optimizer
        self.modules: Sequence[nn.Module] = [self.algorithm.actor, self.algorithm.critic]
        self.last: Tensor | None = None

    def set_epochs(self, n_epochs: int) -> None:
        """Change the hyper-parameter."""
        self.algorithm.num_learning_epochs = n_epochs

    def fill(self, experience: Experience) -> None:
        """Store step by step, as its runner does."""
        with torch.inference_mode():
            for t in range(self.settings.ppo.n_steps):
                self.algorithm.act(observation_group(experience.observation[t]))
                self.algorithm.process_env_step(
                    observation_group(experience.observation[t + 1]),
                    experience.reward[t],
                    experience.done[t].long(),
                    {"time_outs": experience.truncated[t]},
                )
        self.last = experience.observation[-1]

    def learn(self) -> dict[str, float]:
        """Compute advantages, then update."""
        assert self.last is not None
        last = observation_group(self.last)
        with torch.inference_mode():
            before = seconds(lambda: self.algorithm.compute_returns(last), self.settings.device)
        alone = seconds(self.algorithm.update, self.settings.device)
        return {"update": alone, "improve": before + alone}


LEARNERS: Mapping[str, Callable[[PolicyConfig, Settings, Path], Learner]] = {OURS: Ours, SB3: Sb3, RSL: Rsl}


def multiply_adds(modules: Sequence[nn.Module]) -> int:
    """Multiply-adds of one forward pass per control step: each element of each weight matrix is used once."""
    return sum(weight.numel() for module in modules for weight in module.parameters() if weight.dim() == 2)


def learning_flop(modules: Sequence[nn.Module], n_epochs: int) -> int:
    """Floating-point operations of the update's matrix products per control step of the rollout.

    A multiply-add counts as two. The backward pass needs two products for each of the forward pass, one for the
    gradient of the weights and one for that of the inputs; each epoch visits every control step once.
    """
    return 2 * 3 * multiply_adds(modules) * n_epochs


def matrix_product_rate(size: int, device: torch.device, dtype: torch.dtype) -> float:
    """GFLOP/s of products of square matrices of this size."""
    a, b = torch.randn(2, size, size, device=device, dtype=dtype).unbind()
    result = torch.empty_like(a)
    torch.mm(a, b, out=result)
    count, elapsed = 0, 0.0
    while elapsed < MINIMUM_SECONDS:
        elapsed += seconds(lambda: torch.mm(a, b, out=result), device)
        count += 1
    return 2.0 * size**3 * count / elapsed / 1e9


def measure_learner(learner: Learner, settings: Settings, turn: int) -> Measurement:
    """Control steps/s of one round, after checking that all gradient steps were taken, and the cores kept busy.

    On a CPU, fewer busy cores than threads mean that other programs, or waiting, took part in the time.
    The warm-up makes a single epoch.

    Raises:
        RuntimeError: the optimiser took another number of steps.
    """
    ppo, device = settings.ppo, settings.device
    learner.fill(
        random_experience(
            ppo.n_steps, settings.num_envs, settings.observation_dim, settings.end_probability, turn, device
        )
    )
    synchronize(device)
    n_epochs = ppo.n_epochs if turn >= WARMUPS else 1
    learner.set_epochs(n_epochs)
    taken = [0]

    def count(*_: object) -> None:
        taken[0] += 1

    hook = learner.optimizer.register_step_post_hook(count)
    begin, busy = time.perf_counter(), time.process_time()
    measured = learner.learn()
    cores = (time.process_time() - busy) / (time.perf_counter() - begin)
    hook.remove()
    expected = learner.updates * n_epochs * settings.minibatches
    if taken[0] != expected:
        raise RuntimeError(f"{taken[0]} gradient steps instead of {expected}")
    return {**{name: settings.steps / elapsed for name, elapsed in measured.items()}, "cores": cores}


def compare(
    network: PolicyConfig,
    settings: Settings,
    contenders: Sequence[str],
    repeats: int,
    size: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """All numbers about one network, as plain values."""
    dtype = torch.bfloat16 if settings.precision.name == "bf16" else torch.float32
    with tempfile.TemporaryDirectory() as folder:
        learners = {name: LEARNERS[name](network, settings, Path(folder)) for name in contenders}
        measures: dict[str, Callable[[int], Measurement]] = {
            name: partial(measure_learner, learner, settings) for name, learner in learners.items()
        }
        measures[CEILING] = lambda turn: {"gflop_per_second": matrix_product_rate(size, settings.device, dtype)}
        results = interleave(measures, repeats, warmups=WARMUPS, progress=progress)
    counts = {name: multiply_adds(learner.modules) for name, learner in learners.items()}
    if len(set(counts.values())) != 1:
        raise RuntimeError(f"the networks differ: {counts} multiply-adds")
    flop = learning_flop(next(iter(learners.values())).modules, settings.ppo.n_epochs)
    gflop_per_second = spread(results.pop(CEILING)["gflop_per_second"])
    return {
        "network": dataclasses.asdict(network),
        "multiply_adds_per_step": next(iter(counts.values())),
        "flop_per_step": flop,
        "gradient_steps": settings.ppo.n_epochs * settings.minibatches,
        "gflop_per_second": gflop_per_second._asdict(),
        "ceiling_steps_per_second": gflop_per_second.median * 1e9 / flop,
        "rounds": results,
    }


def table_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """One row per contender, and the ceiling."""
    ceiling, rates = result["ceiling_steps_per_second"], result["rounds"]
    ours = spread(rates[OURS]["update"]).median if OURS in rates else None
    rows = []
    for name, measured in rates.items():
        alone, whole = spread(measured["update"]), spread(measured["improve"])
        factor = "" if ours is None else f"{number(ours / alone.median)}x"
        cores = f"{spread(measured['cores']).median:.2f}"
        rows.append([name, str(alone), str(whole), f"{alone.median / ceiling:.1%}", factor, cores])
    gflop = result["gflop_per_second"]
    rows.append([f"ceiling: {CEILING} at {number(gflop['median'])} GFLOP/s", number(ceiling), "", "100%", "", ""])
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Time all contenders on all networks and print one table for each."""
    parser = make_parser("benchmarks.learner", __doc__, repeats=5)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["default", "small"])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32", help="of the network")
    parser.add_argument("--num-envs", type=int, default=64, help="environments (default: 64)")
    parser.add_argument("--n-steps", type=int, default=32, help="control steps per environment (default: 32)")
    parser.add_argument("--n-epochs", type=int, default=10, help="passes over the rollout (default: 10)")
    parser.add_argument("--n-minibatches", type=int, default=4, help="per pass (default: 4)")
    parser.add_argument("--end-probability", type=float, default=0.01, help="of an episode, per step (default: 0.01)")
    parser.add_argument("--size", type=int, default=None, help="of the large matrices (default: 2048, CUDA 8192)")
    options = parse(parser, arguments, QUICK)
    for name in options.contenders:
        if find_spec(MODULES[name]) is None:
            parser.error(f"--contenders {name} is not installed: {INSTALL}")
    try:
        settings = Settings(
            num_envs=options.num_envs,
            observation_dim=38,
            action_dim=9,
            end_probability=options.end_probability,
            ppo=replace(
                PPOConfig(),
                n_steps=options.n_steps,
                n_epochs=options.n_epochs,
                n_minibatches=options.n_minibatches,
            ),
            device=options.device,
            precision=Precision.resolve(options.precision, options.device),
        )
        settings.ppo.minibatch_envs(settings.num_envs)
    except ValueError as error:
        parser.error(str(error))
    size = options.size or (8192 if options.device.type == "cuda" else 2048)
    console, facts = make_console(), machine(options.device)
    shown = {
        "environments": settings.num_envs,
        "steps": options.n_steps,
        "epochs": options.n_epochs,
        "minibatches": options.n_minibatches,
        "observation": settings.observation_dim,
        "action": settings.action_dim,
        "precision": settings.precision.name,
        "episode ends per step": settings.end_probability,
        "repeats": options.repeats,
        "matrix size": size,
    }
    print_facts(console, "Machine", facts)
    print_facts(console, "Settings", shown)
    if settings.precision.name == "bf16" and SB3 in options.contenders:
        console.print("sb3-contrib has no bf16 and computes in fp32.")
    results = {}
    for name in options.networks:
        report = partial(console.print, style="dim", highlight=False)
        results[name] = compare(NETWORKS[name], settings, options.contenders, options.repeats, size, report)
        mega = results[name]["flop_per_step"] / 1e6
        title = f"{name} network, {number(mega)} MFLOP per control step; control steps/s: median (range)"
        columns = ("", "update", "advantages + update", "update / ceiling", "ours / theirs", "cores busy")
        console.print(make_table(title, columns, table_rows(results[name])))
    document = {"command": options.command, "machine": facts, "settings": shown, "networks": results}
    write_json(options.json, document)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
