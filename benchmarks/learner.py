"""Learning alone, without a simulator: `python -m benchmarks.learner [--json FILE]`.

This trainer, rsl_rl and sb3-contrib improve the same network on the same random rollouts, in turn. The rate of large
matrix products, measured in between, tells how fast any of them could be.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from app.command_line import about
from benchmarks.adapters import CONTENDERS, MODULES, OURS, SB3
from benchmarks.learners import LEARNERS, Learner, Settings
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
from benchmarks.synthetic import random_experience
from ppo.hyperparameters import PPOConfig
from ppo.policy import PolicyConfig
from ppo.runtime import Precision

NETWORKS = {
    "default": PolicyConfig(),
    "small": PolicyConfig(lstm_hidden_size=64, n_lstm_layers=1, pi=(128, 64), vf=(128, 64)),
    "tiny": PolicyConfig(lstm_hidden_size=8, n_lstm_layers=1, pi=(8,), vf=(8,)),
}
CEILING = "matrix products"
WARMUPS = 3
"""Rounds that do not count."""
MINIMUM_SECONDS = 0.3
"""s that one measurement of the matrix products lasts at least."""
QUICK = {"num_envs": 8, "n_steps": 4, "n_epochs": 2, "n_minibatches": 2, "repeats": 2, "networks": ["tiny"], "size": 64}


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
        with about(f"--precision {options.precision}"):
            precision = Precision.resolve(options.precision, options.device)
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
            precision=precision,
        )
        with about(f"--num-envs {settings.num_envs}"):
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
