"""What is printed of a checkpoint that is played and of an examination, and the JSON file of the latter."""

from collections.abc import Sequence

from rich.console import Console

from app.load import Checkpoint
from app.play_flags import PlayOptions
from biped.examination.criteria import DISTURBED_CRITERIA, WalkingCriteria
from biped.examination.examination import WARMUP_S, Results, comparison, tables, to_json
from biped.examination.gait_meter import GaitSummary
from biped.examination.trials import title
from ppo.checkpoint.atomic import atomic_write


def announce(options: PlayOptions, checkpoint: Checkpoint | None) -> str:
    """One line that says who acts."""
    if checkpoint is None or options.agent != "trained":
        return f"{options.agent} actions"
    return f"{checkpoint.path}, trained for {checkpoint.model.num_timesteps:,} control steps"


def asked_for(options: PlayOptions) -> WalkingCriteria:
    """What the robots of an examination must reach."""
    return DISTURBED_CRITERIA if options.disturbed else WalkingCriteria()


def conditions(options: PlayOptions, engine: str, summaries: Sequence[GaitSummary]) -> str:
    """In one line, how robots were examined in an engine."""
    # What a trial took is a sum of control steps, so it is not exactly what was asked for.
    longer = any(summary.seconds > options.duration + 1e-6 for summary in summaries)
    return (
        f"{summaries[0].robots} {'disturbed ' if options.disturbed else ''}robots per trial for "
        f"{options.duration:g} s in {engine}{', longer where a trial says so' if longer else ''}; "
        f"the first {WARMUP_S:g} s count for survival and course only"
    )


def show_examination(options: PlayOptions, checkpoint: Checkpoint | None, results: Results) -> None:
    """Print a table per engine and what falls short, compare the engines, and write the JSON file."""
    criteria = asked_for(options)
    # Narrower, the columns of all commands would not fit.
    console = Console(width=max(Console().width, 100))
    for engine, summaries in results.items():
        print(conditions(options, engine, summaries))
        for table in tables(summaries, criteria):
            console.print(table)
        for summary in summaries:
            for shortfall in criteria.shortfalls(summary):
                print(f"{title(summary.trial)}: {shortfall}")
        passed = sum(map(criteria.passes, summaries))
        result = "PASS" if passed == len(summaries) else "FAIL"
        print(f"{result}: {passed} of {len(summaries)} trials meet the criteria")
    if len(results) > 1:
        print("the same robots, side by side")
        console.print(comparison(results, criteria))
    if options.json is not None:
        facts = {
            "checkpoint": str(checkpoint.path) if checkpoint else None,
            "num_timesteps": checkpoint.model.num_timesteps if checkpoint else None,
            "agent": options.agent,
            "deterministic": options.deterministic,
            "simulator": options.simulator,
            "disturbed": options.disturbed,
            "disturbed_as": options.disturbed_as if options.disturbed else None,
            "seconds": options.duration,
            "warmup_seconds": WARMUP_S,
            "seed": options.seed,
        }
        with atomic_write(options.json) as file:
            file.write(to_json(results, criteria, facts).encode())
