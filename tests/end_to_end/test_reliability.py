"""A short run of `benchmarks.reliability`: what breaks a training costs no checkpoint."""

import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from benchmarks import fault_numbers, reliability
from benchmarks.fault_disk import damage_newest, disk_fault, folder_gone, full_disk, small_disk, write_cut_short
from benchmarks.fault_harness import Result, survey
from benchmarks.fault_processes import kill_at_random_moments, terminate_while_saving


def check(result: Result) -> None:
    assert reliability.healthy(result), result


def test_killed_five_times_a_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    result = kill_at_random_moments(tmp_path, 5, random.Random(1))
    check(result)
    assert "equals that of a run never killed" in result.outcome
    assert " 0 leftovers stay" in result.outcome


@pytest.mark.parametrize(("signals", "codes"), [(1, {"143"}), (2, {"130", "143", "-15"})])
def test_sigterm_during_a_save(signals: int, codes: set[str], tmp_path: Path) -> None:
    result = terminate_while_saving(tmp_path / "run", 2, random.Random(1), signals=signals)
    check(result)
    shown = result.outcome.partition(";")[0].removeprefix("exit code ")
    assert {entry.split()[0] for entry in shown.split(", ")} <= codes


@pytest.mark.parametrize("fault", [write_cut_short, folder_gone])
def test_saves_that_fail_for_a_while(fault: object, tmp_path: Path) -> None:
    assert callable(fault)
    result = disk_fault("fault", tmp_path, 1, fault)
    check(result)
    assert result.outcome.startswith("3 saves failed, 3 warnings (")
    assert result.outcome.endswith("; 1 trainings finished; 0 hidden leftovers")


def test_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as mounted:
        if not mounted:
            pytest.skip("only the superuser may mount a small disk")
        result = disk_fault("full", tmp_path / "disk", 1, full_disk(random.Random(1)))
        check(result)
        assert "3 saves failed, 3 warnings (No space left on device)" in result.outcome


def test_damaged_newest_files(tmp_path: Path) -> None:
    result = damage_newest(tmp_path, 4, random.Random(1))
    check(result)
    assert result.outcome == "8 files passed over with a warning, 0 taken for whole though they were not"


def test_broken_numbers_and_a_raising_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_numbers, "UPDATES", 25)
    monkeypatch.setattr(fault_numbers, "LEARNING", replace(fault_numbers.LEARNING, n_epochs=1))
    huge, nan = fault_numbers.HUGE, fault_numbers.NAN
    run = partial(fault_numbers.number_fault, "fault", repetitions=1)
    for number, (field, value) in enumerate([("reward", huge), ("observation", nan), ("observation", huge)]):
        result = run(tmp_path / str(number), break_step=fault_numbers.spoiled(field, value))
        check(result)
        assert result.outcome.startswith("weights finite in 1 of 1; recovered")
    result = run(tmp_path / "gradient", break_step=lambda step: step, break_learner=fault_numbers.spoil_gradients)
    check(result)
    result = fault_numbers.raising_env(tmp_path / "raising", 1)
    check(result)
    assert result.outcome == "the exception reached the caller in 1; every update before it was saved in 1"


def test_the_survey_counts_what_is_missing_and_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "model_1_steps.zip").write_bytes(b"half")
    (tmp_path / f".{'0' * 16}.tmp").touch()
    found = survey(tmp_path)
    assert (found.steps, found.unreadable, len(found.temporaries)) == ([], 1, 1)
    assert found.lost([128], keep=2) == 1
    assert found._replace(steps=[256, 384]).lost([128, 256, 384], keep=2) == 0
    assert found._replace(steps=[128, 256]).lost([128, 256, 384], keep=2) == 1


def test_the_command_prints_a_row_per_fault_and_fails_where_something_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = Result("a fault", 3, 0, 0, 3, "fine"), Result("another", 3, 1, 0, 3, "lost one")
    monkeypatch.setattr(reliability, "run_all", lambda *_, **__: iter([good, bad]))
    assert reliability.main(["--json", str(tmp_path / "table.json")]) == 1
    assert "| a fault | 3 | 0 | 0 | 3 | fine |\n| another | 3 | 1 | 0 | 3 | lost one |" in capsys.readouterr().out
    assert [row["lost"] for row in json.loads((tmp_path / "table.json").read_text())["results"]] == [0, 1]
    monkeypatch.setattr(reliability, "run_all", lambda *_, **__: iter([good]))
    assert reliability.main([]) == 0
