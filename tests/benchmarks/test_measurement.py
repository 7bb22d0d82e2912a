"""Contenders take turns, and a number is told with its spread."""

import argparse
import json
from pathlib import Path

import pytest
import torch

from benchmarks.measurement import interleave, machine, make_parser, number, parse, peak_memory, spread, write_json


def test_contenders_take_turns_and_warm_ups_do_not_count() -> None:
    calls: list[tuple[str, int]] = []

    def contender(name: str, factor: float) -> object:
        def measure(turn: int) -> dict[str, float]:
            calls.append((name, turn))
            return {"rate": factor * turn}

        return measure

    lines: list[str] = []
    contenders = {"a": contender("a", 1.0), "b": contender("b", 10.0)}
    results = interleave(contenders, 2, warmups=1, progress=lines.append)  # type: ignore[arg-type]
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert results == {"a": {"rate": [1.0, 2.0]}, "b": {"rate": [10.0, 20.0]}}
    assert lines[0] == "warm-up, a: rate 0"
    assert lines[-1] == "round 2 of 2, b: rate 20.0"


def test_spread_is_the_median_and_the_range() -> None:
    assert spread([5.0, 1.0, 2.0]) == (2.0, 1.0, 5.0)
    assert str(spread([1234.4, 1000.0])) == "1,117 (1,000-1,234)"


def test_numbers_have_three_digits() -> None:
    assert [number(value) for value in (0.0, 0.012345, 1.234, 12.34, 123.4, 12345.6)] == [
        "0",
        "0.0123",
        "1.23",
        "12.3",
        "123",
        "12,346",
    ]


def test_the_machine_is_named_in_plain_values() -> None:
    facts = machine(torch.device("cpu"))
    assert facts["torch"] == torch.__version__
    assert facts["torch_threads"] == torch.get_num_threads()
    assert facts["cpu"]
    assert json.loads(json.dumps(facts)) == facts


def test_peak_memory_grows_with_what_is_touched() -> None:
    before = peak_memory()
    if before is None:
        pytest.skip("this kernel does not tell")
    assert before > 10 * 2**20
    block = torch.ones(before, dtype=torch.uint8)
    after = peak_memory()
    assert after is not None
    assert after >= before + block.numel() // 2


def options(*words: str) -> argparse.Namespace:
    threads = torch.get_num_threads()
    try:
        return parse(make_parser("benchmarks.test", "", repeats=5), words, {"repeats": 2})
    finally:
        torch.set_num_threads(threads)


def test_quick_changes_defaults_and_explicit_flags_win() -> None:
    assert options().repeats == 5
    assert options("--quick").repeats == 2
    assert options("--quick", "--repeats", "7").repeats == 7
    assert options("--quick").command == ["python", "-m", "benchmarks.test", "--quick"]


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("--repeats", "0"), "--repeats"),
        (("--threads", "-1"), "--threads"),
        (("--device", "tpu"), "--device"),
        (("--json", "/nowhere/there/file.json"), "--json"),
        (("--wrong",), "--wrong"),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        options(*words)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert flag in lines[0]


def test_json_holds_finite_numbers_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file.json", {"rate": float("nan")})
    assert list(tmp_path.iterdir()) == []
    write_json(tmp_path / "file.json", {"rate": 1.5})
    assert json.loads((tmp_path / "file.json").read_text()) == {"rate": 1.5}
