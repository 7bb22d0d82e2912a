"""`play.py --compare`: from the command line to the page."""

import dataclasses
import re
from pathlib import Path

import pytest

from app.comparison.tables import median_and_range
from configs.presets import SMOKE
from tests.app.comparison.runs import log_run
from tests.app.fake_engines import fails, main
from tests.app.report.test_report import text_of

FASTER = dataclasses.replace(SMOKE, ppo=dataclasses.replace(SMOKE.ppo, gamma=0.9))


def train_all() -> None:
    """Three seeds of `slow`, of which one passes two trials only, two of `fast`, one of them twice."""
    for seed, steps in ((1, 600), (2, 800), (3, 1000)):
        log_run(f"slow_seed{seed}", seed=seed, passed=[(500, 1.0), (steps, 2.0), (1100, 2.0 if seed == 3 else 4.0)])
    for seed in (1, 2):
        log_run(f"fast_seed{seed}", seed=seed, experiment=FASTER, passed=[(500, 4.0), (1100, 10.0)], speed=100.0)
    log_run("fast", seed=1, experiment=FASTER, passed=[(500, 4.0)])


def table_of(page: str, caption: str) -> list[list[str]]:
    """Cells of the table with this caption."""
    page = page.replace("&ndash;", "-")
    (table,) = [part for part in re.findall(r"<table.*?</table>", page, flags=re.DOTALL) if caption in part]
    rows = re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)
    return [[text_of(cell).strip() for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)] for row in rows]


def test_the_page_tells_everything(capsys: pytest.CaptureFixture[str]) -> None:
    train_all()
    assert main(["--compare", "slow", "logs/fast_seed1", "logs/fast_seed2", "fast", "--report", "page.html"]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[:3] == [
        "A: slow: seed 1, seed 2, seed 3",
        "B: fast: seed 1, seed 2",
        "left out: logs/fast, which has the configuration and the seed of logs/fast_seed1",
    ]
    page = Path("page.html").read_text(encoding="utf-8")
    assert table_of(page, "flags that differ")[1:] == [["--ppo.gamma", f"{SMOKE.ppo.gamma:g}", "0.9"]]
    results = {row[0]: row[1:] for row in table_of(page, "percentile bootstrap")[1:]}
    # The mean of 4, 4 and 2, and of 10 and 10.
    assert results["trials passed, last examination"] == [
        "3.3 [2.0 to 4.0]",
        "10.0 [10.0 to 10.0]",
        "+6.7 [+6.0 to +8.0]",
    ]
    milestones = table_of(page, "first examination that saw so many passed")
    assert milestones[2] == ["2", "800 (600-1,000)", "16 (12-20)", "3 of 3", "500 (500-500)", "5 (5-5)", "2 of 2"]
    assert milestones[3] == [
        *("3", "1,100 (1,100-not reached)", "22 (22-not reached)", "2 of 3"),
        *("500 (500-500)", "5 (5-5)", "2 of 2"),
    ]
    assert milestones[5][:4] == ["5", "not reached", "not reached", "0 of 3"]
    assert [row[0] for row in milestones[1:]] == [str(number) for number in range(1, 11)]
    assert [row[:4] for row in table_of(page, "every run")[1:]] == [
        *(["A: slow", str(seed), "2" if seed == 3 else "4", "1,100 (not complete)"] for seed in (1, 2, 3)),
        *(["B: fast", str(seed), "10", "1,100 (not complete)"] for seed in (1, 2)),
    ]
    assert "play.py --compare slow logs/fast_seed1 logs/fast_seed2 fast --report page.html" in text_of(page)
    # Nothing leads anywhere else.
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_one_run_that_was_never_examined_has_no_interval_and_no_milestones() -> None:
    log_run("alone", seed=1)
    assert main(["--compare", "alone"]) == 0
    page = Path("comparison.html").read_text(encoding="utf-8")
    text = text_of(page)
    assert "One run each." in text
    assert "No run was examined while it trained" in text
    assert "All runs have the same configuration" in text
    assert table_of(page, "percentile bootstrap")[1:] == [["return per episode, mean of the last tenth", "3.84"]]


def test_what_no_group_reached_is_one_row() -> None:
    log_run("few", seed=1, passed=[(500, 3.0)])
    assert main(["--compare", "few"]) == 0
    rows = table_of(Path("comparison.html").read_text(encoding="utf-8"), "first examination that saw so many passed")
    assert rows[-2:] == [["3", "500", "10", "1 of 1"], ["4 to 10", "not reached", "not reached", "0 of 1"]]


def test_numbers_that_some_seeds_did_not_reach() -> None:
    inf = float("inf")
    assert median_and_range([1000.0, inf, 3000.0]) == "3,000 (1,000&ndash;not reached)"
    assert median_and_range([1000.0, inf]) == "not reached (1,000&ndash;not reached)"
    assert median_and_range([inf, inf]) == "not reached"
    assert median_and_range([1000.0]) == "1,000"


def test_names_cannot_smuggle_anything_in() -> None:
    name = "<script>alert(1)<_script>&"
    log_run(name, seed=1, passed=[(500, 3.0)])
    assert main(["--compare", name]) == 0
    page = Path("comparison.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert name in text_of(page)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--compare"], ["--compare needs"]),
        (["--compare", "walk"], ["--compare: no run", "walk"]),
        (["--compare", "walk", "--evaluate"], ["--evaluate", "--compare"]),
        (["--compare", "walk", "--exp-name", "other"], ["--exp-name", "--compare"]),
        (["--compare", "walk", "--web"], ["--web", "--compare"]),
        (["--compare", "walk", "--report", "page.htm"], ["--report page.htm", ".html"]),
        (["model.zip", "--compare", "walk"], ["--checkpoint", "--compare"]),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = fails(capsys, *arguments)
    assert [word for word in words if word not in line] == []
    assert not list(Path().iterdir())
