"""Programs side by side: each has its turn, none takes the others down, and signals reach all of them once."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from app.seeds.children import Child, run_side_by_side

UNTIL_TOLD = """
import signal, sys, time
def told(number, frame):
    print("told", number, flush=True)
    sys.exit(128 + number)
signal.signal(signal.SIGINT, told)
print("ready", flush=True)
time.sleep(60)
"""


def python(name: str, program: str) -> Child:
    return Child(name, [sys.executable, "-c", program])


def run(children: list[Child], at_once: int) -> tuple[list[tuple[str, str]], list[str], int | None]:
    said: list[tuple[str, str]] = []
    ended: list[str] = []
    number = run_side_by_side(
        children,
        at_once,
        {"SHARE": "3"},
        lambda name, line: said.append((name, line)),
        lambda child: ended.append(child.name),
    )
    return said, ended, number


def test_all_run_and_one_that_fails_does_not_end_the_others() -> None:
    good = "import os; print('threads', os.environ['SHARE'])"
    bad = "raise SystemExit('no robot')"
    killed = "import os; os.kill(os.getpid(), 9)"
    children = [python("a", bad), python("b", good), python("c", killed)]
    said, ended, number = run(children, 2)
    assert sorted(said) == [("a", "no robot"), ("b", "threads 3")]
    assert sorted(ended) == ["a", "b", "c"]
    assert number is None
    assert [child.code for child in children] == [1, 0, 137]
    assert children[0].last_line == "no robot"


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_run_at_the_same_time_than_asked_for(at_once: int, tmp_path: Path) -> None:
    program = f"""
import os, pathlib, time
here = pathlib.Path({str(tmp_path)!r})
(here / str(os.getpid())).touch()
time.sleep(0.5)
print(len(list(here.iterdir())))
time.sleep(0.2)
(here / str(os.getpid())).unlink()
"""
    said, _, _ = run([python(str(number), program) for number in range(4)], at_once)
    counts = [int(line) for _, line in said]
    assert len(counts) == 4
    assert max(counts) <= at_once


def test_a_signal_reaches_those_that_run_once_and_no_other_is_started() -> None:
    said: list[tuple[str, str]] = []
    children = [python(name, UNTIL_TOLD) for name in "abc"]

    def interrupt() -> None:
        while len(said) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    number = run_side_by_side(children, 2, {}, lambda name, line: said.append((name, line)), lambda child: None)
    assert number == signal.SIGINT
    assert sorted(said) == [("a", "ready"), ("a", "told 2"), ("b", "ready"), ("b", "told 2")]
    assert [child.code for child in children] == [130, 130, None]
