"""`train.py --config`: what a file of flags may hold, and what it changes."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from app.experiment import Experiment, to_plain
from app.run_configuration import write_configuration
from app.seeds.plan import asked
from app.train_flags import read_command_line
from configs.presets import CPU, DEFAULT, QUICK
from tests.app.test_train_flags import BUDGET, refused, save_run

FILE = Path("best.yaml")


def read(text: str, *arguments: str) -> Experiment:
    """What the command line makes of a file with this text."""
    FILE.write_text(text)
    return read_command_line(["--config", str(FILE), *arguments])[0]


def test_the_configuration_of_a_run_makes_the_same_experiment() -> None:
    trained = dataclasses.replace(QUICK.with_schedule("adaptive"), exp_name="walk", num_envs=32, seed=7)
    write_configuration(Path(), to_plain(trained))
    experiment, folder, model = read_command_line(["--config", "config.yaml"])
    assert dataclasses.replace(experiment, config=None) == trained
    assert (folder, model) == (None, None)


def test_a_file_is_laid_over_the_preset_that_it_names() -> None:
    experiment = read("preset: cpu\nnum-envs: 64\nppo: {learning_rate: 1e-3, gamma: 1}\npolicy: {pi: [32, 16]}\n")
    assert experiment.num_envs == 64
    assert experiment.ppo == dataclasses.replace(CPU.ppo, learning_rate=1e-3, gamma=1.0)
    assert isinstance(experiment.ppo.gamma, float)
    assert experiment.policy == dataclasses.replace(CPU.policy, pi=(32, 16))
    assert experiment.env == CPU.env
    assert read("seed: 2").ppo == DEFAULT.ppo


def test_flags_on_the_command_line_win() -> None:
    experiment = read(
        "seed: 2\nnum_envs: 64\nppo: {gamma: 0.5}\n", "--seed", "3", "--ppo.gamma=0.9", "--preset=default"
    )
    assert (experiment.seed, experiment.num_envs, experiment.ppo.gamma) == (3, 64, 0.9)


def test_the_short_flag_of_the_schedule_acts_in_a_file_too() -> None:
    assert read("adaptive_lr: true").ppo.lr.schedule == "adaptive"


def test_old_names_are_read() -> None:
    assert read("env: {rewards: {fall: -3.0}}").env.rewards.large_tilt == -3.0


def test_what_a_run_began_with_is_not_taken_over() -> None:
    experiment = read("experiment: {continue_training: true, load_model: gone.zip, config: other.yaml, seeds: 5}")
    assert experiment.seeds == 1
    assert (experiment.continue_training, experiment.load_model, experiment.config) == (False, None, FILE)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ppo: {learning_rats: 1}", "ppo.learning_rats is no flag; train.py --help lists them"),
        ("ppo: 3", "ppo is a section"),
        ("ppo: {learning_rate: -1}", "--ppo.learning-rate must be above 0"),
        ("ppo: {learning_rate: fast}", '"ppo.learning_rate" - should be "float"'),
        ("seed: 2.5", '"seed" - should be "int"'),
        ("seed: {a: 1}", '"seed" - should be "int"'),
        ("preset: fast", "there is no preset 'fast'; choose one of default, reference"),
        ("preset: [cpu]", "there is no preset"),
        ("policy: {pi: 64}", "policy.pi is a list, such as [512, 256, 128]"),
        ("[" * 5000, "no YAML"),
        ("exp_name: a/b", "--exp-name 'a/b' cannot name a folder"),
        ("experiment: {seed: -1}", "--seed must be"),
        ("3: 4", "3 is no flag"),
        ("- seed", "flags are written as"),
        ("load_model: gone.zip", "load_model belongs on the command line"),
        ("", "flags are written as"),
        ("a: [", "is no YAML: "),
    ],
)
def test_bad_files_are_refused_in_one_line(text: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    FILE.write_text(text)
    line = refused(capsys, "--config", str(FILE))
    assert line.startswith("error: --config: best.yaml")
    assert complaint in line


def test_files_that_cannot_be_read_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--config: none.yaml: No such file" in refused(capsys, "--config", "none.yaml")
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00\xd8")
    assert "--config: binary.yaml is no YAML" in refused(capsys, "--config", "binary.yaml")


def test_flags_that_cannot_act_beside_a_file_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    save_run(f"logs/{DEFAULT.exp_name}")
    FILE.write_text(yaml.safe_dump({"preset": "quick"}))
    assert "leave out --config" in refused(capsys, "--continue-training", "--config", str(FILE), *BUDGET)
    line = refused(capsys, "--config", str(FILE), "--preset", "cpu")
    assert "--preset cpu: the values come from best.yaml, which starts from the preset quick" in line


def test_seeds_start_from_a_file_too() -> None:
    FILE.write_text("experiment: {exp_name: walk, seed: 7, seeds: 9}")
    assert asked(["--config", str(FILE)]) is None
    given = asked(["--config", str(FILE), "--seeds", "2"])
    assert given is not None
    assert (given["exp_name"], given["seed"], given["seeds"]) == ("walk", 7, 2)
