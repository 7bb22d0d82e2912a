"""What the memory of the learner is used for: `python -m benchmarks.memory [--json FILE]`.

Counts the bytes of real objects with few robots, and scales what grows with the robots.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from app.command_line import about
from benchmarks.adapters import CONTENDERS, MODULES, OURS, SB3
from benchmarks.learner import NETWORKS
from benchmarks.learners import LEARNERS, Learner, Ours, Settings
from benchmarks.measurement import (
    INSTALL,
    machine,
    make_console,
    make_parser,
    make_table,
    number,
    parse,
    print_facts,
    write_json,
)
from benchmarks.synthetic import Experience, random_experience
from ppo.hyperparameters import PPOConfig
from ppo.policy import PolicyConfig, RecurrentActorCritic, RecurrentState
from ppo.rollout import Rollout
from ppo.runtime import Precision

SAMPLE_ENVS = 32
"""Robots whose bytes are counted."""
GPU_BYTES = 24e9
"""Memory of the GPU that the estimate is compared with."""
QUICK = {"num_envs": 64, "network": "tiny", "n_steps": 8}
FLOAT, FLAG = 4, 1
"""Bytes of a float32 and of a bool."""


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes behind tensors, each piece of memory counted once however many tensors show it."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def array_bytes(arrays: Iterable[Any]) -> int:
    """Bytes of the numpy arrays among `arrays`."""
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


def rollout_bytes(rollout: Rollout, start_state: RecurrentState) -> int:
    """Bytes that a rollout of ours and the recurrent state before it hold."""
    return storage_bytes((*rollout.values(), *(tensor for state in start_state for tensor in state)))


def needed_bytes(length: int, num_envs: int, observation_dim: int, action_dim: int, state: int) -> int:
    """Bytes that a rollout cannot do without.

    Observation and final observation, action, log-probability, reward, value, advantage and return, three flags, and
    once the recurrent state.

    Args:
        length: `T`.
        num_envs: `N`.
        observation_dim: `D`.
        action_dim: `A`.
        state: numbers in the recurrent state of one environment.
    """
    step = FLOAT * (2 * observation_dim + action_dim + 5) + 3 * FLAG
    return num_envs * (length * step + FLOAT * state)


def rsl_bytes(storage: Any) -> int:  # noqa: ANN401
    """Bytes that a filled `rsl_rl.storage.RolloutStorage` holds."""
    tensors = [value for value in vars(storage).values() if isinstance(value, Tensor)]
    tensors += [*storage.observations.values(), *storage.distribution_params]
    tensors += [*storage.saved_hidden_state_a, *storage.saved_hidden_state_c]
    return storage_bytes(tensors)


def contender_bytes(name: str, learner: Learner) -> int:
    """Bytes of a contender's filled rollout storage."""
    if name == OURS:
        collector = learner.learner.collector  # type: ignore[attr-defined]
        return rollout_bytes(collector.rollout, collector.start_state)
    if name == SB3:
        return array_bytes(vars(learner.model.rollout_buffer).values())  # type: ignore[attr-defined]
    return rsl_bytes(learner.algorithm.storage)  # type: ignore[attr-defined]


class Saved(NamedTuple):
    """Bytes that a minibatch's forward pass keeps for its backward pass, apart from the parameters."""

    activations: int
    """Tensors of numbers."""
    workspace: int
    """Opaque bytes of the library's LSTM: oneDNN's on a CPU, cuDNN's on CUDA."""
    lstm: int
    """What the LSTMs need at least in the workspace's place: four gates and the cell state of every step."""


def saved_bytes(network: PolicyConfig, settings: Settings, copies: int) -> Saved:
    """Count what an update on one minibatch keeps; what its backward pass needs temporarily is left out.

    Args:
        network: its shape.
        settings: of the sample of environments.
        copies: how many times the sample is laid side by side.
    """
    whole = replace(
        settings,
        num_envs=settings.num_envs * copies,
        ppo=replace(settings.ppo, n_epochs=1, n_minibatches=1),
    )
    sample = sample_experience(settings)
    experience = Experience(
        **{
            item.name: getattr(sample, item.name).repeat(1, copies, *(1,) * (getattr(sample, item.name).dim() - 2))
            for item in fields(Experience)
        }
    )
    kept: dict[int, Tensor] = {}
    with tempfile.TemporaryDirectory() as folder:
        learner = Ours(network, whole, Path(folder))
        policy = learner.learner.policy
        weights = {parameter.untyped_storage().data_ptr() for parameter in policy.parameters()}

        def pack(tensor: Tensor) -> Tensor:
            # The tensor itself is kept, so that its memory is not given to another one meanwhile.
            if tensor.untyped_storage().data_ptr() not in weights:
                kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        learner.fill(experience)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            learner.learner.improve()
    workspace = storage_bytes(tensor for tensor in kept.values() if tensor.dtype == torch.uint8)
    layers = sum(part[0].shape[0] for part in policy.initial_state(1))
    lstm = FLOAT * 5 * layers * network.lstm_hidden_size * whole.steps
    return Saved(storage_bytes(kept.values()) - workspace, workspace, lstm)


def sample_experience(settings: Settings) -> Experience:
    """The random rollout whose bytes are counted."""
    return random_experience(
        settings.ppo.n_steps, settings.num_envs, settings.observation_dim, settings.end_probability, 0, settings.device
    )


def minibatch_bytes(network: PolicyConfig, settings: Settings, num_envs: float) -> Saved:
    """`saved_bytes` of a minibatch of `num_envs` environments, from those of one and of two samples.

    Not all of it need grow with the environments: a library may keep its own arrangement of the weights.
    """
    growth = num_envs / settings.num_envs - 1.0
    samples = zip(saved_bytes(network, settings, 1), saved_bytes(network, settings, 2), strict=True)
    return Saved(*(round(one + (two - one) * growth) for one, two in samples))


def weight_bytes(module: nn.Module) -> int:
    """Bytes of weights, gradients and Adam's two moments."""
    return 4 * sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def estimate(network: str, settings: Settings, num_envs: int, contenders: Sequence[str]) -> dict[str, Any]:
    """Bytes with `num_envs` robots, by what they are for.

    Args:
        network: name in `NETWORKS`.
        settings: those of the sample.
        num_envs: robots to scale to; a multiple of those of the sample.
        contenders: whose rollout storage is counted.
    """
    factor = num_envs / settings.num_envs
    experience = sample_experience(settings)
    storages = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in contenders:
            learner = LEARNERS[name](NETWORKS[network], settings, Path(folder))
            learner.fill(experience)
            storages[name] = round(contender_bytes(name, learner) * factor)
    policy = RecurrentActorCritic(NETWORKS[network], settings.observation_dim, settings.action_dim)
    policy = policy.to(settings.device)
    state = sum(tensor.shape[0] * tensor.shape[2] for part in policy.initial_state(1) for tensor in part)
    needed = needed_bytes(settings.ppo.n_steps, num_envs, settings.observation_dim, settings.action_dim, state)
    saved = minibatch_bytes(NETWORKS[network], settings, num_envs / settings.ppo.n_minibatches)
    weights = weight_bytes(policy)
    least = storages[OURS] + saved.activations + saved.lstm + weights
    return {
        "rollout_bytes": storages,
        "needed_bytes": needed,
        "minibatch_bytes": saved._asdict(),
        "weight_bytes": weights,
        "total_bytes_on_this_device": storages[OURS] + saved.activations + saved.workspace + weights,
        "total_bytes_at_least": least,
        "at_least_of_24_gb": least / GPU_BYTES,
    }


def table_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """One row per use of memory; then the others' storage."""
    needed, storages = result["needed_bytes"], result["rollout_bytes"]
    saved = result["minibatch_bytes"]
    names = {
        "rollout": storages[OURS],
        "activations of one minibatch": saved["activations"],
        "LSTM workspace of one minibatch, as counted on this device": saved["workspace"],
        "weights, gradients, Adam": result["weight_bytes"],
        "total on this device": result["total_bytes_on_this_device"],
    }
    if saved["workspace"]:
        names["gates and cell states, instead of the workspace"] = saved["lstm"]
        names["total with these: the least without recomputing"] = result["total_bytes_at_least"]
    rows = [[name, megabytes(size), f"{size / GPU_BYTES:.1%}", ""] for name, size in names.items()]
    rows[0][3] = f"{storages[OURS] / needed:.2f}"
    rows.append(["fields of a rollout", megabytes(needed), f"{needed / GPU_BYTES:.1%}", "1.00"])
    for name, size in storages.items():
        if name != OURS:
            rows.append([f"rollout of {name}", megabytes(size), f"{size / GPU_BYTES:.1%}", f"{size / needed:.2f}"])
    return rows


def megabytes(size: float) -> str:
    """Millions of bytes."""
    return number(size / 1e6)


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, scale and print."""
    parser = make_parser("benchmarks.memory", __doc__, repeats=None)
    parser.add_argument("--num-envs", type=int, default=16384, help="robots to estimate for (default: 16384)")
    parser.add_argument("--n-steps", type=int, default=32, help="control steps per rollout (default: 32)")
    parser.add_argument("--network", choices=NETWORKS, default="default", help="(default: default)")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32", help="of the network")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options = parse(parser, arguments, QUICK)
    contenders = list(dict.fromkeys((OURS, *options.contenders)))
    for name in contenders:
        if find_spec(MODULES[name]) is None:
            parser.error(f"--contenders {name} is not installed: {INSTALL}")
    if options.num_envs < 1 or options.num_envs % SAMPLE_ENVS or options.n_steps < 2:
        parser.error(f"--num-envs must be a multiple of {SAMPLE_ENVS}, --n-steps at least 2")
    try:
        with about(f"--precision {options.precision}"):
            precision = Precision.resolve(options.precision, options.device)
    except ValueError as error:
        parser.error(str(error))
    settings = Settings(
        num_envs=SAMPLE_ENVS,
        observation_dim=38,
        action_dim=9,
        end_probability=0.01,
        ppo=replace(PPOConfig(), n_steps=options.n_steps),
        device=options.device,
        precision=precision,
    )
    result = estimate(options.network, settings, options.num_envs, contenders)
    console, facts = make_console(), machine(options.device)
    shown = {
        "robots": options.num_envs,
        "steps": options.n_steps,
        "minibatches": settings.ppo.n_minibatches,
        "network": options.network,
        "precision": precision.name,
        "counted with robots": SAMPLE_ENVS,
    }
    print_facts(console, "Machine", facts)
    print_facts(console, "Settings", shown)
    title = "Memory of the learner, computed; the simulator and the backward pass's own come on top"
    columns = ("", "MB", "of 24 GB", "x the fields' bytes")
    console.print(make_table(title, columns, table_rows(result)))
    write_json(options.json, {"command": options.command, "machine": facts, "settings": shown, "memory": result})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
