"""What helps against disturbances: `python -m benchmarks.robustness [--json FILE]`.

Latency, motor strength, mass and friction of a disturbed robot show the actor only in what comes of its actions.
The task of the `robust` or the `hardware` preset is learned by its network, by the same network with its memory erased
before every step, which makes it a feed-forward policy, and by its network with a curriculum: disturbances that grow
for 40 s. All are examined as `play.py --evaluate --disturbed` does. Trainings run side by side, one process each.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from app.build import Parts
from app.playing import main as play
from app.training import main as train
from benchmarks.measurement import machine, make_console, make_table, print_facts, write_json
from benchmarks.side_by_side import add_options, over_seeds, run_python
from configs.presets import DISTURBANCES
from ppo.policy import EvaluatedActions, RecurrentActorCritic, RecurrentState
from ppo.recurrence import EpisodeStarts, LstmState

CURRICULUM = "disturbances that grow"
KINDS = ("recurrent", "feed-forward", CURRICULUM)


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

    def evaluate_actions(
        self, observation: Tensor, state: RecurrentState, starts: EpisodeStarts, action: Tensor
    ) -> EvaluatedActions:
        """As the base class, from the zero state at every step."""
        assert starts.on_host is not None
        always = EpisodeStarts(torch.ones_like(starts.on_host), torch.ones_like(starts.on_device))
        return super().evaluate_actions(observation, state, always, action)


def main() -> int:
    """Train and examine all kinds over all seeds, and print what came of it."""
    if sys.argv[1:2] == ["child"]:
        return child(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=2_000_000, help="control steps of each training")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS, metavar="KIND", help=str(KINDS))
    parser.add_argument("--preset", default="robust", choices=sorted(DISTURBANCES), help="(default: robust)")
    add_options(parser)
    options = parser.parse_args()
    console = make_console()
    facts = machine(torch.device("cpu"))
    print_facts(console, "Machine", facts)

    def run(kind: str, seed: int, folder: Path) -> dict[str, Any]:
        run_python(
            [
                "-m",
                "benchmarks.robustness",
                "child",
                options.preset,
                kind,
                str(seed),
                str(options.timesteps),
                str(folder),
            ]
        )
        result: dict[str, Any] = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))
        return result

    def report(kind: str, seed: int, result: Mapping[str, Any]) -> None:
        survival = statistics.mean(entry["survival"] for entry in result["trials"])
        console.print(f"{kind}, seed {seed}: {survival:.1%} survived", highlight=False)

    results = over_seeds(options.kinds, options.seeds, options.jobs, run, report)
    console.print(table(results))
    if options.json is not None:
        write_json(
            options.json,
            {"machine": facts, "preset": options.preset, "timesteps": options.timesteps, "results": results},
        )
    return 0


def child(preset: str, kind: str, seed: str, timesteps: str, folder: str) -> int:
    """Train one policy and examine it, in a process of its own; leaves `<folder>.json`."""
    parts = Parts(policy=Forgetful) if kind == "feed-forward" else Parts()
    growth = ["--env.randomization.growth-s", "40" if kind == CURRICULUM else "0"]
    run = ["--preset", preset, "--processes", "1", "--log-dir", folder, "--exp-name", "run", "--seed", seed]
    code = train([*run, *growth, "--total-timesteps", timesteps, "--eval-freq", timesteps], parts)
    model = str(Path(folder) / "run" / "model_final.zip")
    examination = ["--evaluate", "--disturbed", "--disturbed-as", preset, "--json", f"{folder}.json", "--seed", "1000"]
    return code or play([model, *examination], parts)


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """One row per trial and one over all, survival and velocity error of each kind, mean over the seeds."""
    first, *_ = results.values()
    columns = ["commands, m/s"]
    for kind in results:
        columns += [f"{kind}\nsurvived", "velocity\nerror, m/s"]
    rows = []
    for index, trial in enumerate(first[0]["trials"]):
        row = [", then ".join("{:+.1f} {:+.1f}".format(*command) for command in trial["commands"])]
        for runs in results.values():
            row += cells([run["trials"][index] for run in runs])
        rows.append(row)
    totals = ["all"]
    for runs in results.values():
        totals += cells([entry for run in runs for entry in run["trials"]])
    return make_table(f"disturbed robots, mean of {len(first)} trainings", columns, [*rows, totals])


def cells(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Mean survival and mean velocity error, the larger of both axes, of examined trials."""
    errors = [max(entry["velocity_error_x"], entry["velocity_error_y"]) for entry in entries]
    return [f"{statistics.mean(entry['survival'] for entry in entries):.1%}", f"{statistics.mean(errors):.3f}"]


if __name__ == "__main__":
    sys.exit(main())
