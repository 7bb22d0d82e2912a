"""Which run `train.py` continues, and that no flag is passed over in silence."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from app.experiment import Experiment, to_plain
from app.run_files import name_to_find
from app.train_flags import find_run, read_command_line
from app.training import main
from configs.presets import DEFAULT, GPU, PRESETS, SMOKE
from ppo.checkpoint.sb3_zip import read_zip
from tests.app.fake_engines import SMALL, save_model

BUDGET = ("--total-timesteps", "100000")


def save_run(folder: str, experiment: Experiment = SMOKE, num_timesteps: int = 100) -> Path:
    """A run that has been trained for a while."""
    path = save_model(Path(folder, "model_final.zip"), experiment=experiment, num_timesteps=num_timesteps)
    (path.parent / "config.yaml").write_text(yaml.safe_dump({"experiment": to_plain(experiment)}))
    return path


def named(name: str) -> Experiment:
    return dataclasses.replace(SMOKE, exp_name=name)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which the command line is refused."""
    with pytest.raises(SystemExit) as error:
        read_command_line(arguments)
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    "words",
    [
        ["--exp-name", "other"],
        ["--exp_name", "other"],
        ["--exp-name=other"],
        ["--exp_name=other"],
        ["-e", "other"],
        ["-e=other"],
        ["-eother"],
        ["--exp-name", "third", "--exp-name", "other"],
        ["-B8", "-eother"],
    ],
)
def test_the_run_that_is_named_is_continued_by_every_spelling(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_run(f"logs/{DEFAULT.exp_name}")
    save_run("logs/third", named("third"))
    assert "no run called other" in refused(capsys, "--continue-training", *words)
    save_run("logs/other", named("other"))
    experiment, folder, _ = read_command_line([*words, "--continue_training", *BUDGET])
    assert folder == Path("logs/other")
    assert (experiment.exp_name, experiment.preset, experiment.continue_training) == ("other", "smoke", True)


@pytest.mark.parametrize("words", [["--log-dir", "runs"], ["--log_dir", "runs"], ["--log_dir=runs"]])
def test_the_log_folder_that_is_named_is_searched_by_every_spelling(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_run(f"logs/{DEFAULT.exp_name}")
    assert "in runs" in refused(capsys, "--continue-training", *words)
    save_run(f"runs/{DEFAULT.exp_name}")
    experiment, folder, _ = read_command_line(["--continue-training", *words, *BUDGET])
    assert folder == Path("runs") / DEFAULT.exp_name
    assert experiment.log_dir == Path("runs")


def test_the_folder_of_a_run_that_was_moved_is_the_one_it_goes_on_in() -> None:
    save_run(f"logs/{DEFAULT.exp_name}", dataclasses.replace(SMOKE, log_dir=Path("elsewhere")))
    experiment, _, _ = read_command_line(["--continue-training", *BUDGET])
    assert experiment.log_dir == Path("logs")


@pytest.mark.parametrize("words", [["--continue-training", "--no-continue-training"], ["--no_continue_training"]])
def test_the_last_word_counts(words: list[str]) -> None:
    save_run(f"logs/{DEFAULT.exp_name}")
    experiment, folder, model = read_command_line(words)
    assert (experiment.continue_training, folder, model) == (False, None, None)


def test_a_run_in_a_numbered_folder_keeps_its_name() -> None:
    save_run("logs/walk", named("walk"))
    save_run("logs/walk_2", named("walk"))
    for name in ("walk", "walk_2"):
        experiment, folder, _ = read_command_line(["--continue-training", "-e", name, *BUDGET])
        assert (experiment.exp_name, folder) == ("walk", Path("logs/walk_2"))
        assert name_to_find(experiment, Path("logs/walk_2")) == "walk"
    save_run("logs/walk_3", named("walk"))
    experiment, folder, _ = read_command_line(["--continue-training", "-e", "walk_2", *BUDGET])
    assert (experiment.exp_name, folder) == ("walk", Path("logs/walk_2"))
    assert name_to_find(experiment, Path("logs/walk_2")) == "walk_2"


def test_a_run_whose_own_name_ends_in_a_number_is_not_mistaken_for_another() -> None:
    save_run("logs/walk", named("walk"))
    save_run("logs/walk_2", named("walk_2"))
    _, folder, _ = read_command_line(["--continue-training", "-e", "walk", *BUDGET])
    assert folder == Path("logs/walk")
    experiment, folder, _ = read_command_line(["--continue-training", "-e", "walk_2", *BUDGET])
    assert (experiment.exp_name, folder) == ("walk_2", Path("logs/walk_2"))


def test_a_folder_renamed_by_hand_is_found_and_its_run_not_renamed() -> None:
    save_run("logs/best", named("walk"))
    experiment, folder, _ = read_command_line(["--continue-training", "-e", "best", *BUDGET])
    assert (experiment.exp_name, folder) == ("walk", Path("logs/best"))
    assert name_to_find(experiment, Path("logs/best")) == "best"


def test_a_model_without_configuration_starts_from_the_preset() -> None:
    save_model(Path("logs/sb3/model_final.zip"), num_timesteps=5)
    experiment, _, _ = read_command_line(["--continue-training", "-e", "sb3", "--preset", "smoke"])
    assert (experiment.exp_name, experiment.preset, experiment.policy) == ("sb3", "smoke", SMALL)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--preset", "cpu"], ["--preset cpu", "--preset smoke"]),
        (["--preset=default"], ["--preset default", "--preset smoke"]),
        (["--load-model", "missing.zip"], ["--continue-training", "--load-model"]),
        (["--policy.lstm-hidden-size", "32"], ["--policy.lstm-hidden-size 32", "has 8"]),
        (["--policy.pi", "64", "64"], ["--policy.pi 64 64", "has 8"]),
        (["--policy.activation=tanh"], ["--policy.activation tanh", "elu"]),
        (["--policy.features", "4"], ["--policy.features 4", "none"]),
        (["--policy.log_std_init", "-1"], ["--policy.log-std-init -1"]),
    ],
)
def test_what_cannot_be_changed_is_refused_when_continuing(
    words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_run(f"logs/{DEFAULT.exp_name}")
    line = refused(capsys, "--continue-training", *BUDGET, *words)
    assert [part for part in parts if part not in line] == []


def test_what_says_the_same_is_no_change() -> None:
    path = save_run(f"logs/{DEFAULT.exp_name}")
    words = ["--preset", "smoke", "--policy.lstm-hidden-size", "8", "--policy.pi", "8"]
    assert read_command_line(["--continue-training", *BUDGET, *words])[0].policy == SMALL
    assert read_command_line(["--load-model", str(path), *BUDGET, *words])[0].policy == SMALL


def test_another_network_than_the_models_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    path = save_model(Path("model.zip"))
    line = refused(capsys, f"--load_model={path}", "--policy.n-lstm-layers", "1")
    assert "--policy.n-lstm-layers 1" in line
    assert "has 2" in line


def test_only_the_network_comes_with_a_loaded_model() -> None:
    path = save_model(Path("model.zip"), experiment=GPU)
    experiment, folder, model = read_command_line(["--load-model", str(path), "--preset", "smoke", *BUDGET])
    assert folder is None
    assert model is not None
    assert experiment == dataclasses.replace(
        SMOKE, adaptive_lr=True, total_timesteps=100_000, load_model=path, policy=read_zip(path).policy
    )


def test_continuing_a_run_that_began_with_a_loaded_model() -> None:
    save_run(f"logs/{DEFAULT.exp_name}", dataclasses.replace(SMOKE, load_model=Path("gone.zip")))
    experiment, _, _ = read_command_line(["--continue-training", *BUDGET])
    assert experiment.load_model == Path("gone.zip")


@pytest.mark.parametrize("preset", ["default", "cpu", "turn", "gpu", "robust", "hardware", "smoke"])
def test_the_shorthand_for_the_schedule_acts_in_every_preset(preset: str) -> None:
    before = PRESETS[preset].ppo.lr.schedule
    schedules = {
        words: read_command_line(["--preset", preset, *words])[0]
        for words in [
            (),
            ("--adaptive-lr",),
            ("--no-adaptive-lr",),
            ("--ppo.lr.schedule", "linear"),
            ("--ppo.lr.schedule=adaptive",),
            ("--no_adaptive_lr", "--ppo.lr.schedule", "linear"),
        ]
    }
    assert [one.ppo.lr.schedule for one in schedules.values()] == [
        before,
        "adaptive",
        "constant" if before == "adaptive" else before,
        "linear",
        "adaptive",
        "linear",
    ]
    assert all(one.adaptive_lr == (one.ppo.lr.schedule == "adaptive") for one in schedules.values())


def test_the_shorthand_acts_when_continuing() -> None:
    save_run(f"logs/{DEFAULT.exp_name}")
    for words, schedule in (([], "adaptive"), (["--no-adaptive-lr"], "constant")):
        assert read_command_line(["--continue-training", *BUDGET, *words])[0].ppo.lr.schedule == schedule


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--adaptive-lr", "--ppo.lr.schedule", "linear"], ["--adaptive-lr", "--ppo.lr.schedule linear"]),
        (
            ["--preset", "gpu", "--no-adaptive-lr", "--ppo.lr.schedule", "adaptive"],
            ["--no-adaptive-lr", "--ppo.lr.schedule adaptive"],
        ),
        (["--adaptive-lr", "--ppo.learning-rate", "1e-3"], ["--ppo.learning-rate 0.001", "0.0003"]),
        (["--preset", "fast"], ["--preset", "fast", "robust"]),
        (["--exp-name", "a\nb"], ["--exp-name", "folder"]),
        (["--exp-name", "a\x1b[31m"], ["--exp-name", "folder"]),
        (["--exp-name", "x" * 300], ["--exp-name", "250"]),
        (["--exp-name", "\udcff"], ["--exp-name", "folder"]),
        (["--exp-name="], ["--exp-name"]),
        (["--wandb", "--wandb-project", ""], ["--wandb-project", "1 to 128"]),
        (["--wandb", "--wandb-project", "a/b"], ["--wandb-project", "a/b"]),
        (["--processes", "1000000"], ["--processes", "1024"]),
        (["--seed", "-1"], ["--seed", str(2**63 - 1)]),
        (["--seed", str(2**63)], ["--seed", str(2**63 - 1)]),
        (["--seed", "9" * 5000], ["--seed"]),
        (["--env.actuators.action-limit", "inf"], ["--env.actuators.action-limit"]),
        (["--env.mirror-left-stance", "--env.gait.left-offset", "0.4"], ["--env.mirror-left-stance", "0.4"]),
        (["--env.commands.yaw-rate", "1", "0"], ["--env.commands.yaw-rate", "lower", "1.0 0.0"]),
        (["--env.rewards.alive", "a\nb"], ["--env.rewards.alive"]),
        (["--tyro-print-completion", "csh"], ["csh"]),
    ],
)
def test_bad_flags_are_refused_in_one_line(
    words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *words)
    assert [part for part in parts if part not in line] == []
    assert not list(Path().iterdir())


def test_a_value_is_not_taken_for_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    save_run(f"logs/{DEFAULT.exp_name}")
    assert "--wandb-project" in refused(capsys, "--wandb-project", "--continue-training")
    assert read_command_line(["--wandb-project=--continue-training"])[0].wandb_project == "--continue-training"


@pytest.mark.parametrize("words", [["--preset", "cpu"], ["--preset=cpu", "--continue-training"]])
def test_help_tells_the_values_of_the_preset(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read_command_line([*words, "--help"])
    assert end.value.code == 0
    assert "(default: 256)" in capsys.readouterr().out


def test_infinity_is_no_limit_of_gradients() -> None:
    assert read_command_line(["--ppo.max-grad-norm", "inf"])[0].ppo.max_grad_norm == float("inf")


@pytest.mark.parametrize(
    ("environment", "parts"),
    [
        ({"RANK": "", "WORLD_SIZE": "2"}, ["RANK", "''"]),
        ({"RANK": "1"}, ["RANK", "WORLD_SIZE"]),
        ({"WORLD_SIZE": "2"}, ["RANK", "WORLD_SIZE"]),
        ({"RANK": "0", "WORLD_SIZE": "4"}, ["MASTER_ADDR"]),
        ({"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "x"}, ["MASTER_PORT"]),
    ],
)
def test_a_group_that_cannot_be_joined_is_refused_before_anything_is_written(
    environment: dict[str, str],
    parts: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as error:
        main(["--preset", "smoke", "--device", "cpu"])
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert [part for part in (*parts, "torchrun") if part not in line] == []
    assert not list(Path().iterdir())


def test_the_number_of_processes_must_be_that_of_the_group(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    line = refused(capsys, "--processes", "2")
    assert "--processes 2" in line
    assert "4" in line
    for words in ([], ["--processes", "4"], ["--processes=auto"], ["--preset", "cpu"]):
        read_command_line(words)


def test_a_stored_configuration_that_no_longer_fits(capsys: pytest.CaptureFixture[str]) -> None:
    path = save_run(f"logs/{DEFAULT.exp_name}")
    plain = to_plain(SMOKE)
    plain["env"]["episode_length_s"] = -1.0
    save_model(path, own_facts={"config": plain}, num_timesteps=100)
    line = refused(capsys, "--continue-training")
    assert f"logs/{DEFAULT.exp_name}: " in line
    assert "EnvConfig.episode_length_s" in line
    assert "start a new run from its model with --load-model" in line
    assert read_zip(path).num_timesteps == 100


def test_find_run_says_nothing_of_a_preset_that_is_the_runs_own() -> None:
    save_run(f"logs/{DEFAULT.exp_name}")
    stored, folder, _ = find_run({"preset": "smoke"}, SMOKE)
    assert (stored.preset, folder.name) == ("smoke", DEFAULT.exp_name)
