"""What is shown of several trainings, in a file and at the end."""

import io

import pytest
from rich.console import Console

from app.seeds.screen import Board, results
from tests.app.comparison.runs import log_run
from tests.app.seeds.test_plan import SMALL, planned

PROGRESS = "384/1,152 steps (33.3%)  1,667 steps/s"


def test_in_a_file_every_line_says_whose_it_is() -> None:
    stream = io.StringIO()
    with Board(["seed 1", "seed 2"], stream) as board:
        board.message("training 2 seeds")
        board.say("seed 2", "training in logs/walk_seed2")
        board.say("seed 1", PROGRESS)
        board.end("seed 1", "complete")
    assert stream.getvalue().splitlines() == [
        "training 2 seeds",
        "seed 2: training in logs/walk_seed2",
        f"seed 1: {PROGRESS}",
        "seed 1: complete",
    ]


@pytest.mark.parametrize("progress", [PROGRESS, "learning: step 3 of 40, 0:00:12 so far"])
def test_on_a_terminal_progress_stays_in_its_line(progress: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Board(["seed 1", "seed 2"], stream) as board:
        board.say("seed 1", "training in logs/walk_seed1")
        board.say("seed 1", progress)
        board.say("seed 1", "saved model.zip")
    shown = stream.getvalue()
    assert "seed 1: saved model.zip\n" in shown
    assert f"seed 1: {progress}" not in shown
    assert f"seed 1  {progress}" in shown
    assert "seed 2  waiting" in shown


def test_the_table_tells_of_every_seed_what_its_log_does() -> None:
    runs = planned(*SMALL, "--seeds", "2", "-e", "walk")
    log_run("walk_seed1", seed=1, passed=[(500, 2.0), (1000, 7.0)])
    table = results(runs, {1: "complete", 2: "failed with exit code 1"})
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(table)
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    assert [cells for cells in lines if cells] == [
        ["1", "complete", "7 of 10", "1,000", "0:00:20", "logs/walk_seed1"],
        ["2", "failed with exit code 1", "-", "-", "-", "-"],
    ]
