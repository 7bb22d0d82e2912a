"""The examination as tables of a page."""

from collections.abc import Sequence

from app.report.markup import escape, items, signed, table
from biped.examination.criteria import Requirement, WalkingCriteria
from biped.examination.examination import COLUMNS, COMPARED, ROWS, Results
from biped.examination.gait_meter import GaitSummary
from biped.examination.trials import title

MEASURED_BY = {
    "survival": ("survival",),
    "time on each foot": ("duty_right", "duty_left"),
    "drift": ("drift_speed",),
    "alternation": ("alternation",),
    "foot clearance": ("foot_clearance",),
    "forward velocity error": ("velocity_error_x",),
    "sideways velocity error": ("velocity_error_y",),
    "yaw rate error": ("yaw_rate_error",),
    "duty asymmetry": ("duty_asymmetry",),
    "turn off course in 10 s": ("yaw_drift",),
}
"""Rows of the table in which each requirement shows."""


def examination_tables(summaries: Sequence[GaitSummary], criteria: WalkingCriteria, caption: str) -> str:
    """One column per trial, one row per measure; what misses a criterion is marked. `COLUMNS` trials in a table."""
    return "".join(
        _table(summaries[first : first + COLUMNS], criteria, caption if first == 0 else "the same, further trials")
        for first in range(0, len(summaries), COLUMNS)
    )


def _table(summaries: Sequence[GaitSummary], criteria: WalkingCriteria, caption: str) -> str:
    missed = [missed_rows(criteria.requirements(summary)) for summary in summaries]
    rows = [
        [
            escape(name),
            *(_cell(getattr(one, field), form, field in bad) for one, bad in zip(summaries, missed, strict=True)),
        ]
        for field, name, form in ROWS
    ]
    rows.append(["<strong>meets the criteria</strong>", *(_passes(one, criteria) for one in summaries)])
    head = ["command, m/s, rad/s", *(escape(title(one.trial)).replace(", ", "<br>") for one in summaries)]
    return table(head, rows, caption)


def missed_rows(requirements: Sequence[Requirement]) -> set[str]:
    """Fields of `GaitSummary` in which one sees what is missed."""
    return {field for one in requirements if not one.met for field in MEASURED_BY[one.name]}


def shortfalls(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> str:
    """Every criterion that is missed, in words; empty without any."""
    lines = [(title(one.trial), "; ".join(criteria.shortfalls(one))) for one in summaries]
    return (
        items([f"<strong>{escape(name)}</strong>: {escape(words)}" for name, words in lines if words])
        if any(words for _, words in lines)
        else ""
    )


def comparison_table(results: Results, criteria: WalkingCriteria) -> str:
    """Of every trial one row per simulator, one below the other."""
    compared = [row for row in ROWS if row[0] in COMPARED]
    rows = []
    for summaries in zip(*results.values(), strict=True):
        name = escape(title(summaries[0].trial))
        for simulator, summary in zip(results, summaries, strict=True):
            bad = missed_rows(criteria.requirements(summary))
            cells = (_cell(getattr(summary, field), form, field in bad) for field, _, form in compared)
            rows.append([name, escape(simulator), *cells, _passes(summary, criteria)])
            name = ""
    head = ["command, m/s, rad/s", "engine", *(escape(name) for _, name, _ in compared), "meets the criteria"]
    return table(head, rows, "the same robots in both engines")


def passed(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> int:
    """How many trials meet the criteria."""
    return sum(map(criteria.passes, summaries))


def _cell(value: float, form: str, missed: bool) -> str:
    text = escape(signed(value, form))
    return f'<span class="missed">{text} <abbr title="misses the criterion">&#10007;</abbr></span>' if missed else text


def _passes(summary: GaitSummary, criteria: WalkingCriteria) -> str:
    return "&#10003; yes" if criteria.passes(summary) else '<span class="missed">&#10007; no</span>'
