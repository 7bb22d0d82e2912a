"""Which chart of the dashboard a value lands in."""

import re

import pytest

from app.dashboard import DASHBOARD


@pytest.mark.parametrize(
    ("tag", "titles"),
    [
        ("eval/points", ["examination, points"]),
        ("eval/mujoco/points", ["examination, points"]),
        ("eval/genesis/trials_passed", ["examination, passed"]),
        ("eval/commands_passed", ["examination, passed"]),
        ("eval/survival", ["examination, measures"]),
        ("eval/mujoco/survival", ["examination, measures"]),
        ("reward/alive", ["rewards per second"]),
    ],
)
def test_every_value_has_its_chart(tag: str, titles: list[str]) -> None:
    # TensorBoard matches from the beginning, and not to the end.
    charts = {title: patterns for charts in DASHBOARD.charts.values() for title, patterns in charts.items()}
    found = [title for title, patterns in charts.items() if any(re.match(pattern, tag) for pattern in patterns)]
    assert found == titles
