"""`play.py --compare`: from the runs that are named to a page about them."""

import datetime
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.command_line import about, can_be_written, fail
from app.comparison.figures import learning_curves
from app.comparison.finding import find_runs
from app.comparison.groups import Group, Grouping, differences, group_runs
from app.comparison.run_log import trials_of_examinations
from app.comparison.tables import (
    configuration_table,
    machines_table,
    milestones_table,
    results_table,
    runs_table,
    seeds_words,
)
from app.next_command import command
from app.play_flags import PlayOptions
from app.report.drawing import style
from app.report.markup import escape, facts, items, paragraph
from app.report.page import Section, figure, page
from ppo.checkpoint.atomic import atomic_write

PAGE = Path("comparison.html")
"""Where the page goes if `--report` does not say."""


def compare(options: PlayOptions) -> int:
    """Write the page about the runs that the options name; returns the exit code."""
    path = options.report or PAGE
    if not can_be_written(path):
        fail(f"{path} cannot be written; choose another file with --report")
    try:
        with about("--compare"):
            runs = find_runs(options.compare, options.log_dir, lambda line: print(line, file=sys.stderr))
            grouping = group_runs(runs)
    except ValueError as error:
        fail(str(error))
    for group in grouping.groups:
        print(f"{group.label}: {', '.join(f'seed {run.experiment.seed}' for run in group.runs)}")
    for line in left_out_lines(grouping):
        print(line)
    content = document(grouping, options, path).encode("utf-8", errors="replace")
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        print(f"error: {path}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"wrote {path} ({len(content) / 1e6:.1f} MB)", flush=True)
    return 0


def left_out_lines(grouping: Grouping) -> list[str]:
    """Which runs are not shown, and why."""
    return [
        f"left out: {dropped.folder}, which has the configuration and the seed of {kept.folder}"
        for dropped, kept in grouping.left_out
    ]


def document(grouping: Grouping, options: PlayOptions, path: Path) -> str:
    """The page as text."""
    groups = grouping.groups
    robot = groups[0].runs[0].experiment.robot
    title = f"Comparison of trainings: {Path(robot).stem}"
    places = {"--report": path} | ({} if options.log_dir == PlayOptions.log_dir else {"--log-dir": options.log_dir})
    words = command("play.py", "--compare", *options.compare, options=places)
    rows = [
        *((group.letter, escape(f"{group.name}, {seeds_words(group)}")) for group in groups),
        ("robot", escape(robot)),
        ("date", escape(f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}")),
        ("to make it again", f"<code>{escape(words)}</code>"),
    ]
    notes = items([escape(line) for line in left_out_lines(grouping)]) if grouping.left_out else ""
    with style():
        sections = list(all_sections(groups))
    return page(title, f"<h1>{escape(title)}</h1>\n{facts(rows)}{notes}", sections)


def all_sections(groups: Sequence[Group]) -> Iterator[Section]:
    """The parts of the page in their order."""
    yield Section("learning", "Learning", figure(learning_curves(groups)))
    yield Section("results", "Results", results_table(groups))
    yield Section("milestones", "Trials passed", milestones(groups))
    yield Section("configuration", "What differs", configuration(groups))
    yield Section("runs", "Runs", runs_table(groups))
    yield Section("versions", "Versions", machines_table(groups))


def milestones(groups: Sequence[Group]) -> str:
    """When how many trials were passed, or why that cannot be told."""
    runs = [run for group in groups for run in group.runs]
    if all(run.passed is None for run in runs):
        return paragraph("No run was examined while it trained; --eval-freq examines it.")
    return milestones_table(groups, trials_of_examinations(runs[0].experiment))


def configuration(groups: Sequence[Group]) -> str:
    """In what the groups differ."""
    if len(groups) == 1:
        return paragraph("All runs have the same configuration, but for the seed.")
    if not differences(group.runs[0].experiment for group in groups):
        return paragraph("No flag differs; the versions below may.")
    return configuration_table(groups)
