"""How long one step of an exported policy takes on one CPU core: `python -m benchmarks.export_latency [--json FILE]`.

Of networks as the presets have them, untrained. In turn: the graph alone in onnxruntime, the whole exported runner from
sensor readings to joint targets, and the same network in PyTorch.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.experiment import Experiment, to_plain
from app.export.exporting import DEFAULT_OPSET, INSTALL, LIBRARIES, write_files
from app.load import Checkpoint
from benchmarks.measurement import (
    Measurement,
    interleave,
    machine,
    make_console,
    make_parser,
    make_table,
    parse,
    print_facts,
    spread,
    write_json,
)
from biped.robots.library import BIPED
from biped.task.observations import observation_fields
from configs.presets import PRESETS
from ppo.agent import TrainedAgent
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.checkpoint.sb3_zip import write_zip
from ppo.policy import RecurrentActorCritic

QUICK = {"networks": ["smoke"], "steps": 20, "repeats": 1}
GRAPH, RUNNER, PYTORCH = "policy.onnx in onnxruntime", "runner.py, from readings to targets", "PyTorch"
RATE = 50.0
"""Control steps/s of the robot."""


def untrained(experiment: Experiment, path: Path) -> RecurrentActorCritic:
    """Write a checkpoint of a fresh policy of this experiment; returns the policy."""
    torch.manual_seed(1)
    size = sum(field.width for field in observation_fields(BIPED, experiment.env.observations))
    policy = RecurrentActorCritic(experiment.policy, size, BIPED.num_joints)
    limit = experiment.env.actuators.action_limit
    model = Sb3Model(
        policy=experiment.policy,
        observation_dim=size,
        action_low=(-limit,) * BIPED.num_joints,
        action_high=(limit,) * BIPED.num_joints,
        parameters=dict(policy.state_dict()),
        optimizer=None,
        hyperparameters={},
        num_timesteps=0,
        n_updates=0,
        own_facts={"config": to_plain(experiment)},
    )
    write_zip(path, model)
    return policy


def contenders(experiment: Experiment, folder: Path) -> dict[str, Callable[[], object]]:
    """What takes one step of the network of an experiment, exported to `folder`, by name."""
    from app.export.files import exported_step, make_files
    from app.export.runner import Runner
    from ppo.checkpoint.sb3_zip import read_zip

    checkpoint = folder / "model.zip"
    policy = untrained(experiment, checkpoint)
    files = make_files(Checkpoint(checkpoint, read_zip(checkpoint)), BIPED, DEFAULT_OPSET)
    write_files(folder / "export", files)
    runner, graph = Runner(folder / "export"), exported_step(files["policy.onnx"])
    contract = runner.contract["observation"]
    observation = np.zeros((1, contract["size"]), dtype=np.float32)
    state = np.zeros(runner.contract["policy"]["inputs"]["h_in"], dtype=np.float32)
    readings = {name: np.zeros(len(contract["readings"][name]["values"]), np.float32) for name in runner.measured}
    agent, goes_on = TrainedAgent(policy, 1), torch.zeros(1, dtype=torch.bool)
    return {
        GRAPH: lambda: graph(observation, state, state),
        RUNNER: lambda: runner.step(readings, (0.5, 0.0, 0.0)),
        PYTORCH: lambda: agent(torch.from_numpy(observation), goes_on),
    }


def measure(step: Callable[[], object], steps: int, turn: int) -> Measurement:
    """Microseconds of one step: the median, and what one step in a hundred exceeds; `turn` is not looked at."""
    durations = np.empty(steps)
    for index in range(steps):
        begin = time.perf_counter()
        step()
        durations[index] = time.perf_counter() - begin
    median, slow = np.percentile(1e6 * durations, (50.0, 99.0))
    return {"median": float(median), "slow": float(slow)}


def rows(results: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> list[list[str]]:
    """One row per network and contender."""
    return [
        [f"{network}: {name}", str(spread(values["median"])), str(spread(values["slow"])), f"{share:.2%}"]
        for network, measured in results.items()
        for name, values in measured.items()
        for share in [spread(values["slow"]).median * 1e-6 * RATE]
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Time every network and print a table."""
    parser = make_parser("benchmarks.export_latency", __doc__, repeats=5, threads=False)
    names = list(PRESETS)
    parser.add_argument("--networks", nargs="+", choices=names, default=["cpu", "default"], help="those of presets")
    parser.add_argument("--steps", type=int, default=2000, help="of one measurement (default: 2000)")
    options = parse(parser, arguments, QUICK)
    if options.steps < 1:
        parser.error(f"--steps must be at least 1, not {options.steps}")
    if options.device.type != "cpu":
        parser.error("--device must be cpu: a robot's computer is what is measured")
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        parser.error(f"missing {' and '.join(missing)}: {INSTALL}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return compare(options)
    finally:
        torch.set_num_threads(threads)


def compare(options: Any) -> int:  # noqa: ANN401 - what argparse returns
    """Measure as the command line says; returns the exit code."""
    console, facts = make_console(), machine(options.device)
    shown = {"steps": options.steps, "repeats": options.repeats, "opset": DEFAULT_OPSET}
    print_facts(console, "Machine", facts)
    print_facts(console, "Settings", shown)
    results = {}
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            steps = contenders(PRESETS[network], Path(folder))
            measures = {name: partial(measure, step, options.steps) for name, step in steps.items()}
            report = partial(console.print, style="dim", highlight=False)
            results[network] = interleave(measures, options.repeats, progress=report)
    columns = ("network", "microseconds: median (range)", "slowest 1 %: above", f"of a step at {RATE:g}/s")
    console.print(make_table("One control step on one core", columns, rows(results)))
    write_json(options.json, {"command": options.command, "machine": facts, "settings": shown, "networks": results})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
