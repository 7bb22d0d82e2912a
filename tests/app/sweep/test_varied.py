"""`--vary`: which ranges and choices are understood, and that only values within are drawn and said."""

from pathlib import Path

import pytest

from app.experiment import Experiment
from app.train_flags import read_command_line

pytest.importorskip("optuna")

import optuna

from app.sweep.varied import Varied, read_varied


def read(words: list[str]) -> Experiment:
    return read_command_line(["--preset", "smoke", *words])[0]


def draws(varied: Varied, count: int = 30) -> list[object]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [study.ask({varied.flag: varied.distribution}).params[varied.flag] for _ in range(count)]


def test_ranges_of_numbers() -> None:
    varied = read_varied("ppo.learning_rate=5e-4..4e-3:log", read)
    drawn = draws(varied)
    assert varied.distribution == optuna.distributions.FloatDistribution(5e-4, 4e-3, log=True)
    assert all(isinstance(value, float) and 5e-4 <= value <= 4e-3 for value in drawn)
    # Half of a logarithmic range lies below the geometric mean of its ends.
    assert 8 <= sum(value < 1.41e-3 for value in drawn if isinstance(value, float)) <= 22


def test_ranges_of_whole_numbers() -> None:
    drawn = draws(read_varied("--ppo.n-epochs=3..5", read))
    assert set(drawn) == {3, 4, 5}


def test_ranges_below_zero_and_between_whole_ends() -> None:
    drawn = draws(read_varied("env.rewards.tilt=-4..-1", read))
    assert all(isinstance(value, float) and -4.0 <= value <= -1.0 for value in drawn)
    assert len(set(drawn)) == 30


def test_choices() -> None:
    assert set(draws(read_varied("ppo.n-epochs=3,5,8", read))) == {"3", "5", "8"}
    assert set(draws(read_varied("env.observations.torso=true,false", read))) == {True, False}


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ("ppo.learning-rate=5e-4..4e-3", 0.001, ["--ppo.learning-rate", "0.001"]),
        ("env.rewards.tilt=-4..-1", -2.5, ["--env.rewards.tilt", "-2.5"]),
        ("policy.pi=64,128 64,", "128 64", ["--policy.pi", "128", "64"]),
        ("policy.pi=64,128 64,", "", ["--policy.pi"]),
        ("save-freq=None,1000", "None", ["--save-freq", "None"]),
        ("env.observations.torso=true,false", True, ["--env.observations.torso"]),
        ("env.observations.torso=true,false", False, ["--env.observations.no-torso"]),
        ("wandb=true,false", False, ["--no-wandb"]),
    ],
)
def test_values_are_said_as_the_command_line_reads_them(text: str, value: object, words: list[str]) -> None:
    varied = read_varied(text, read)
    assert varied.words(value) == words  # type: ignore[arg-type]
    read(words)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ppo.learning-rate", "write FLAG=LOW..HIGH"),
        ("ppo.learning-rate=1e-3", "write FLAG=LOW..HIGH"),
        ("ppo.learning-rats=1..2", "no flag --ppo.learning-rats"),
        ("ppo=1,2", "no flag --ppo"),
        ("=1,2", "no flag --"),
        ("exp-name=a,b", "--exp-name cannot be varied"),
        ("ppo.learning-rate=4e-3..1e-3", "must rise"),
        ("env.rewards.tilt=-4..-1:log", "must begin above 0"),
        ("env.observations.torso=on,off", "write env.observations.torso=true,false"),
        ("env.observations.torso=0..1", "write env.observations.torso=true,false"),
        ("preset=1..2", "invalid choice"),
        ("ppo.n-epochs=3,3", "given twice"),
        ("policy.pi=64,'32", "No closing quotation"),
        ("ppo.learning-rate=-1..1", "--ppo.learning-rate must be above 0"),
        ("ppo.n-epochs=3,none", "--ppo.n-epochs"),
        ("ppo.n-epochs=2.5..4", "--ppo.n-epochs"),
    ],
)
def test_what_makes_no_sense_is_refused(
    text: str, complaint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises((ValueError, SystemExit)) as error:
        read_varied(text, read)
    assert complaint in f"{error.value}{capsys.readouterr().err}"
