"""What memory buys under hidden parameters: `python -m benchmarks.what_memory_buys [--json FILE]`.

Latency, motor strength, mass and friction of a disturbed robot show in no observation, only in what comes of actions.
The same network is trained twice in the task of the `robust` preset, once with its memory erased before every step,
which makes it a feed-forward policy, and then examined as `play.py --evaluate --disturbed` does. The two trainings run
side by side, one process each.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import play
import train
from benchmarks.measurement import machine, print_facts, write_json
from ppo.policy import Evaluation, RecurrentActorCritic, RecurrentState
from ppo.recurrence import EpisodeStarts, LstmState

KINDS = ("recurrent", "feed-forward")


class Forgetful(RecurrentActorCritic):
    """The same network without memory: for its LSTMs every step is the first one of an episode."""

    def act(
        self, observation: Tensor, state: LstmState, episode_start: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, LstmState, Tensor]:
        """As the base class, from the zero state."""
        return super().act(observation, state, torch.ones_like(episode_start), noise)

    def critic_step(
        self, observation: Tensor, state: LstmState, episode_start: Tensor, actor_latent: Tensor
    ) -> tuple[Tensor, LstmState]:
        """As the base class, from the zero state."""
        return super().critic_step(observation, state, torch.ones_like(episode_start), actor_latent)

    def evaluate(self, observation: Tensor, state: RecurrentState, starts: EpisodeStarts, action: Tensor) -> Evaluation:
        """As the base class, from the zero state at every step."""
        always = EpisodeStarts(torch.ones_like(starts.on_host), torch.ones_like(starts.on_device))
        return super().evaluate(observation, state, always, action)


def main() -> int:
    """Train and examine both kinds over all seeds, and print what came of it."""
    if sys.argv[1:2] == ["child"]:
        return child(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=2_000_000, help="control steps of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    options = parser.parse_args()
    console = Console()
    facts = machine(torch.device("cpu"))
    print_facts(console, "Machine", facts)
    results: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            command = [sys.executable, "-m", "benchmarks.what_memory_buys", "child"]
            files = {kind: Path(folder) / f"{kind}_{seed}" for kind in KINDS}
            running = [
                subprocess.Popen([*command, kind, str(seed), str(options.timesteps), str(files[kind])])
                for kind in KINDS
            ]
            codes = [process.wait() for process in running]
            if any(codes):
                return 1
            for kind in KINDS:
                results[kind].append(json.loads(files[kind].with_suffix(".json").read_text(encoding="utf-8")))
    console.print(table(results))
    if options.json is not None:
        write_json(options.json, {"machine": facts, "timesteps": options.timesteps, "results": results})
    return 0


def child(kind: str, seed: str, timesteps: str, folder: str) -> int:
    """Train one policy and examine it, in a process of its own; leaves `<folder>.json`."""
    torch.set_num_threads(1)
    if kind == "feed-forward":
        train.RecurrentActorCritic = play.RecurrentActorCritic = Forgetful  # type: ignore[attr-defined]
    run = ["--preset", "robust", "--processes", "1", "--log-dir", folder, "--exp-name", kind, "--seed", seed]
    code = train.main([*run, "--total-timesteps", timesteps, "--eval-freq", timesteps])
    model = str(Path(folder) / kind / "model_final.zip")
    examination = ["--evaluate", "--disturbed", "--json", f"{folder}.json", "--seed", "1000"]
    return code or play.main([model, *examination])


def table(results: dict[str, list[dict[str, Any]]]) -> Table:
    """One row per command, survival and velocity error of both kinds, mean over the seeds."""
    seeds = len(results[KINDS[0]])
    result = Table(title=f"disturbed robots, mean of {seeds} trainings")
    result.add_column("command, m/s")
    for kind in KINDS:
        result.add_column(f"{kind}\nsurvived", justify="right")
        result.add_column("velocity\nerror, m/s", justify="right")
    for index, first in enumerate(results[KINDS[0]][0]["commands"]):
        row = ["{:+.1f} {:+.1f}".format(*first["command"])]
        for kind in KINDS:
            entries = [one["commands"][index] for one in results[kind]]
            survival = statistics.mean(entry["survival"] for entry in entries)
            errors = [max(entry["velocity_error_x"], entry["velocity_error_y"]) for entry in entries]
            row += [f"{survival:.1%}", f"{statistics.mean(errors):.3f}"]
        result.add_row(*row)
    return result


if __name__ == "__main__":
    sys.exit(main())
