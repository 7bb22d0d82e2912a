"""The examination in the page."""

import dataclasses

import pytest

from app.report.markup import escape, signed
from app.report.tables import MEASURED_BY, comparison_table, examination_tables, missed_rows, passed, shortfalls
from biped.examination.criteria import WalkingCriteria
from biped.examination.examination import ROWS
from biped.examination.gait_meter import GaitSummary
from biped.examination.trials import COURSE, STRAIGHT, SUDDEN_CHANGES, TURNING, WALKING, Trial

NUMBERS = {
    field.name: 0.0
    for field in dataclasses.fields(GaitSummary)
    if field.name not in ("trial", "seconds", "standing", "robots")
}
GOOD = GaitSummary(
    trial=Trial((STRAIGHT,)),
    seconds=10.0,
    standing=False,
    robots=4,
    **NUMBERS | {"survival": 1.0, "alternation": 1.0, "foot_clearance": 0.05},
)


def test_every_requirement_shows_in_a_row_that_there_is() -> None:
    standing = dataclasses.replace(GOOD, trial=WALKING[0], standing=True)
    others = [dataclasses.replace(GOOD, trial=trial) for trial in (SUDDEN_CHANGES, COURSE, *TURNING)]
    names = {one.name for summary in (GOOD, standing, *others) for one in WalkingCriteria().requirements(summary)}
    assert names == set(MEASURED_BY)
    assert {field for fields in MEASURED_BY.values() for field in fields} <= {field for field, _, _ in ROWS}


def test_what_falls_short_is_marked_without_colours_and_said_in_words() -> None:
    criteria = WalkingCriteria()
    bad = dataclasses.replace(GOOD, velocity_error_x=0.2)
    assert missed_rows(criteria.requirements(bad)) == {"velocity_error_x"}
    table = examination_tables([GOOD, bad], criteria, "<caption>")
    assert table.count("misses the criterion") == 1
    assert '<span class="missed">0.200' in table
    assert "&lt;caption&gt;" in table
    assert shortfalls([GOOD], criteria) == ""
    assert "<strong>x +0.50</strong>: forward velocity error 0.200 is above 0.05" in shortfalls([GOOD, bad], criteria)
    assert passed([GOOD, bad], criteria) == 1
    both = comparison_table({"genesis": [GOOD], "mujoco": [bad]}, criteria)
    assert both.count("misses the criterion") == 1
    assert both.count("<tr>") == 3


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [(-0.0004, "+.3f", "0.000"), (0.0, "+.2f", "0.00"), (-1.5, "+.1f", "\N{MINUS SIGN}1.5"), (2.0, "+.0f", "+2")],
)
def test_numbers_have_a_sign_where_there_is_something(value: float, form: str, text: str) -> None:
    assert signed(value, form) == text


def test_whatever_a_name_holds_stays_text() -> None:
    assert escape("<b>&\"'") == "&lt;b&gt;&amp;&quot;&#x27;"
    assert escape("\udce4\x1b[31m") == "\\udce4\\x1b[31m"
