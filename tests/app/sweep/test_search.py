"""A sweep of trainings that are pretended: what becomes of good, bad, broken and interrupted ones."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.experiment import Experiment
from app.sweep.commands import main, only_one
from app.train_flags import read_command_line
from configs.presets import SMOKE
from tests.end_to_end.command import ROOT

pytest.importorskip("optuna")

import optuna

from app.sweep.search import Sweep, open_study, run_sweep
from app.sweep.varied import read_varied

PROGRAM = (sys.executable, "-m", "tests.app.sweep.pretend_training")
FOLDER = Path("sweep")
ARGUMENTS = ["--preset", "smoke"]
DRIVER = """
import sys
from ppo.program import launch
launch.prepare()
from app.sweep.commands import main
program = (sys.executable, "-m", "tests.app.sweep.pretend_training")
sys.exit(main(sys.argv[1:], program))
"""


@pytest.fixture(autouse=True)
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs find the code from any folder."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def read(words: Sequence[str]) -> Experiment:
    return read_command_line([*ARGUMENTS, *words])[0]


def sweep(trials: int, vary: str = "seed=1,2,3,4") -> Sweep:
    return Sweep(FOLDER, (read_varied(vary, read),), trials, 2, (*PROGRAM, *ARGUMENTS), read)


def prepared(seeds: str) -> optuna.Study:
    """A study whose next trials have these seeds."""
    FOLDER.mkdir()
    study = open_study(sweep(0), ARGUMENTS)
    for seed in seeds:
        study.enqueue_trial({"seed": seed})
    return study


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_good_broken_and_hopeless_trials(capsys: pytest.CaptureFixture[str]) -> None:
    study = prepared("1213")
    assert run_sweep(sweep(4), ARGUMENTS) == 0
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "PRUNED"]
    # The best examination counts, and of two engines the worse one.
    assert [trial.value for trial in study.trials[::2]] == [7.0, 7.0]
    assert study.trials[0].intermediate_values == {0: 5.0, 1: 7.0, 2: 6.0}
    said = capsys.readouterr().out
    assert "trial 1: failed, exit code 1: error: this one cannot work (see sweep/trial_1.log)" in said
    assert "trial 3: stopped with 2.00 points, as its 1 examination fell behind" in said
    assert "train.py --config sweep/best.yaml" in said
    experiment = read_command_line(["--config", str(FOLDER / "best.yaml")])[0]
    assert (experiment.seed, experiment.exp_name, experiment.env) == (1, SMOKE.exp_name, SMOKE.env)


def test_a_sweep_goes_on_until_there_are_enough_trials() -> None:
    study = prepared("11")
    assert run_sweep(sweep(1), ARGUMENTS) == 0
    assert run_sweep(sweep(1), ARGUMENTS) == 0
    assert states(study) == ["COMPLETE", "WAITING"]
    assert run_sweep(sweep(2), ARGUMENTS) == 0
    assert states(study) == ["COMPLETE", "COMPLETE"]


def test_without_a_good_trial_there_is_no_best_one(capsys: pytest.CaptureFixture[str]) -> None:
    prepared("2")
    assert run_sweep(sweep(1), ARGUMENTS) == 1
    assert not (FOLDER / "best.yaml").exists()
    assert "no trial has come to a good end" in capsys.readouterr().err


def test_a_trial_whose_sweep_was_killed_is_made_again() -> None:
    study = prepared("1")
    study.ask({one.flag: one.distribution for one in sweep(1).varied})
    assert states(study) == ["RUNNING"]
    assert run_sweep(sweep(1), ARGUMENTS) == 0
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[1].params == {"seed": "1"}


def wait_for(path: Path) -> None:
    until = time.monotonic() + 300.0
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_an_interrupted_sweep_goes_on_with_the_same_command() -> None:
    flags = ["--folder", str(FOLDER), "--trials", "1", "--eval-freq", "384", "--vary", "seed=4,5", *ARGUMENTS]
    process = subprocess.Popen([sys.executable, "-c", DRIVER, *flags], stdout=subprocess.PIPE, text=True)
    wait_for(FOLDER / "trial_0" / "RecurrentPPO_1")
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=100.0)[0]
    assert process.returncode == 128 + signal.SIGINT, output
    assert "interrupted after 0 of 1 trials; the same command goes on" in output
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{FOLDER}/study.db")
    assert states(study) == ["FAIL", "WAITING"]
    assert study.trials[1].system_attrs["fixed_params"] == study.trials[0].params


def test_other_flags_and_folders_of_others_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    prepared("1")
    flags = ["--folder", str(FOLDER), "--eval-freq", "384", "--preset", "smoke"]
    with pytest.raises(SystemExit, match="2"):
        main([*flags, "--vary", "seed=1,2"], PROGRAM)
    assert "sweep holds a sweep with --preset smoke; give the same" in capsys.readouterr().err
    with only_one(FOLDER), pytest.raises(SystemExit, match="2"):
        main([*flags, "--vary", "seed=1,2"], PROGRAM)
    assert "is running already" in capsys.readouterr().err
    (FOLDER / "trial_0").mkdir()
    (FOLDER / "study.db").unlink()
    with pytest.raises(SystemExit, match="2"):
        main([*flags, "--vary", "seed=1,2"], PROGRAM)
    assert "holds trials but no study.db" in capsys.readouterr().err
    (FOLDER / "trial_0").rmdir()
    (FOLDER / "study.db").write_bytes(b"no database" * 1000)
    with pytest.raises(SystemExit, match="2"):
        main([*flags, "--vary", "seed=1,2"], PROGRAM)
    (line,) = capsys.readouterr().err.splitlines()
    assert "study in sweep" in line


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ((), "--eval-freq: trials are compared by their examinations"),
        (("--eval-freq", "2000"), "--eval-freq: trials are compared by their examinations"),
        (("--eval-freq", "384", "--trials", "0"), "--trials must be at least 1, not 0"),
        (("--eval-freq", "384", "--startup-trials", "-1"), "--startup-trials must be at least 0, not -1"),
        (("--eval-freq", "384", "--vary", "seed=3,4"), "--vary: a flag is given twice"),
        (("--eval-freq", "384", "--sead", "3"), "--sead"),
        (("--eval-freq", "384", "--seeds", "2"), "--seeds: every trial is one training"),
    ],
)
def test_bad_command_lines_are_refused_before_anything_is_written(
    flags: Sequence[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--vary", "seed=1,2", *ARGUMENTS, *flags], PROGRAM)
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
    assert list(Path().iterdir()) == []
