"""Every variant changes the experiment, and the table joins the seeds."""

import pytest

from app.command_line import parse
from app.experiment import Experiment
from benchmarks.ablation import TAGS, VARIANTS, table
from benchmarks.ideas import IDEAS
from configs.presets import CPU


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_but_the_first_and_the_ideas_changes_the_experiment(variant: str) -> None:
    made = parse(Experiment, CPU, VARIANTS[variant], program="train.py", description="")
    assert (made == CPU) == (variant == "everything" or variant in IDEAS)


def test_the_table_joins_seeds() -> None:
    def run(*passed: float) -> dict[str, list[tuple[int, float]]]:
        return {tag: [(100 * (i + 1), value) for i, value in enumerate(passed)] for tag in TAGS[:1]} | {
            "eval/survival": [(200, passed[-1] / 8.0)]
        }

    result = table({"everything": [run(2.0, 8.0), run(5.0, 6.0)]}, 2)
    assert [str(column.header) for column in result.columns[1:3]] == ["100 steps", "200 steps"]
    assert [list(column.cells) for column in result.columns] == [
        ["everything"],
        ["3.5 (2-5)"],
        ["7.0 (6-8)"],
        ["87.5%"],
    ]
