"""Every kind is trained with every seed in a folder of its own, and what fails says so."""

from pathlib import Path

import pytest

from benchmarks.side_by_side import over_seeds, run_python


def test_results_come_in_the_order_of_the_seeds() -> None:
    folders: list[Path] = []
    reported: list[str] = []

    def train(kind: str, seed: int, folder: Path) -> str:
        folders.append(folder)
        return f"{kind}{seed}"

    results = over_seeds(["a", "b"], [3, 1], 2, train, lambda kind, seed, result: reported.append(result))
    assert results == {"a": ["a3", "a1"], "b": ["b3", "b1"]}
    assert reported == ["a3", "b3", "a1", "b1"]
    assert len(set(folders)) == 4


def test_a_failed_program_is_quoted() -> None:
    run_python(["-c", "import benchmarks"])
    with pytest.raises(RuntimeError, match="no such thing"):
        run_python(["-c", "raise SystemExit('no such thing')"])
