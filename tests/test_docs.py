"""What README and docs tell to type is accepted, and what they name exists."""

import contextlib
import importlib
import io
import json
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from app.command_line import parse
from app.experiment import Experiment
from app.export.exporting import main as export_command
from app.play_flags import read_command_line
from app.robot.commands import main as robot_command
from app.sweep.commands import main as sweep_command
from biped.env import BipedEnv
from configs.presets import PRESETS
from ppo.checkpoint.__main__ import main as checkpoint_command
from tests.biped.simulators.fake_simulator import FakeSimulator
from tests.documents import PAGES, ROOT, Command, anchors, code_spans, commands, fences, flags, hunks, links
from tests.end_to_end.command import USER_ENVIRONMENT

PACKAGES = "app|ppo|biped|configs|benchmarks|tests"
BENCHMARKS = sorted(module.name for module in pkgutil.iter_modules([str(ROOT / "benchmarks")]))
EXTENSION = ROOT / "docs" / "extend.md"
STEP = """
import json, sys, torch
from biped.env import BipedEnv
from app.command_line import parse
from app.experiment import Experiment
from configs.presets import PRESETS
from tests.biped.simulators.fake_simulator import FakeSimulator

for words in json.load(sys.stdin):
    experiment = parse(Experiment, PRESETS["cpu"], words, program="train.py", description="")
    env = BipedEnv(FakeSimulator(4), experiment.env, seed=1)
    env.reset()
    print(*env.step(torch.zeros(4, env.action_dim)).metrics, *env.observation_slices)
"""
"""Takes a control step with the flags of each command line."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the commands, with the files of the repository that they read."""
    (tmp_path / "biped" / "assets").mkdir(parents=True)
    for name in ("walk.zip", "biped.urdf"):
        shutil.copy(ROOT / "biped" / "assets" / name, tmp_path / "biped" / "assets")
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def parse_training(words: Sequence[str]) -> None:
    """Read the flags of `train.py` without looking for the files and runs that they name."""
    preset = words[words.index("--preset") + 1] if "--preset" in words else "default"
    parse(Experiment, PRESETS[preset], words, program="train.py", description="")


def parse_playing(words: Sequence[str]) -> None:
    """Read the flags of `play.py`, likewise."""
    read_command_line(words)


def known_flags(read: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The flags in the help text that `read` prints."""
    monkeypatch.setenv("COLUMNS", "500")
    with contextlib.redirect_stdout(io.StringIO()) as text, pytest.raises(SystemExit) as end:
        read()
    assert end.value.code == 0
    return set(re.findall(r"(?<![\w-])--[a-z][\w.-]*", text.getvalue()))


def check_benchmark(module: str, words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark knows every flag and accepts its value; nothing is measured."""
    benchmark = importlib.import_module(module)
    if not hasattr(benchmark, "main"):
        assert words[0] in benchmark.IDEAS
        parse_training(words[1:])
        return
    # The values before it are read, then it ends.
    monkeypatch.setattr(sys, "argv", [module, *words, "--help"])
    known = known_flags(benchmark.main, monkeypatch)
    assert [word for word in words if word.startswith("--") and word not in known] == []


def check(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the command would begin to run; what takes moments is run."""
    match words:
        case ["python", "train.py" | "play.py" as program, *rest]:
            read = parse_training if program == "train.py" else parse_playing
            if "--help" in rest:
                assert known_flags(lambda: read(rest), monkeypatch)
            else:
                read(rest)
        case ["torchrun", "--nproc-per-node", count, "train.py", *rest]:
            assert count.isdigit()
            parse_training(rest)
        case ["python", "-m", "ppo.checkpoint", *rest]:
            assert checkpoint_command(rest) == 0
        case ["python", "-m", "app.export", *rest]:
            pytest.importorskip("onnxruntime")
            assert export_command(rest) == 0
        case ["python", "-m", "app.robot", *rest]:
            pytest.importorskip("mjbatch")
            if "--help" in rest:
                assert known_flags(lambda: robot_command(rest), monkeypatch)
                return
            model = ["biped/assets/biped.urdf", "--output", "robot.yaml"]
            # What a page checks is what it has imported before.
            if rest[0] == "check":
                assert robot_command(["import", *model]) == 0
                rest = [*rest, "--simulator", "mujoco", "--no-picture"]
            assert robot_command(rest) == 0
        case ["python", "-m", "app.sweep", *rest]:
            pytest.importorskip("optuna")
            # Everything is read, and what is pretended to be a training ends at once.
            assert sweep_command([*rest, "--trials", "1"], (sys.executable, "-c", "")) == 1
        case ["python", "-m", module, *rest] if module.startswith("benchmarks."):
            check_benchmark(module, rest, monkeypatch)
        case ["python", "-m", "pytest", *rest] | ["pytest", *rest]:
            assert [word for word in rest if "/" in word and not (ROOT / word).exists()] == []
        case ["make", "help"]:
            subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True)
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        case ["pip", "install", "-c", constraints, "-e", project]:
            assert (ROOT / constraints).exists()
            extra = project.removeprefix(".[").removesuffix("]")
            assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        case ["pip", "install", package]:
            assert f'"{package}>=' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        case ["conda", "env", "create", "-f", file]:
            assert (ROOT / file).exists()
        case ["tensorboard", "--logdir", "logs"]:
            pass
        case _:
            pytest.fail("nothing checks this command")


def runs(command: Command) -> bool:
    """Whether `check` runs the command instead of reading it only."""
    words = command.words
    programs = [["python", "-m", module] for module in ("ppo.checkpoint", "app.export", "app.robot")]
    takes_long = words[:4] == ["python", "-m", "app.robot", "check"] and "mujoco" not in words
    return "--help" in words or (words[:3] in programs and not takes_long) or words == ["make", "help"]


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


COMMANDS = [
    pytest.param(command, id=f"{names(page)}: {command.line.split('#')[0].strip()}")
    for page in PAGES
    for command in commands(page)
    if page != EXTENSION
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_accepted(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    check(command.words, monkeypatch)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_are_not_run_here_are_said_to_take_time(command: Command) -> None:
    assert runs(command) or command.said_to_be_long


def test_commands_are_found_in_blocks_and_in_sentences(folder: Path) -> None:
    page = folder / "page.md"
    page.write_text(
        "# Page\n\nFirst.\n\nType `A=1 python train.py --seed <seed>`, not `--seed`.\n\n"
        "```bash\nmake train   # two minutes\npython play.py \\\n    --evaluate\n```\n\n"
        "```\nlogs/\npython play.py\n```\n",
        encoding="utf-8",
    )
    assert [(command.words, command.said_to_be_long) for command in commands(page)] == [
        (["python", "train.py", "--seed", "1"], False),
        (["make", "train"], True),
        (["python", "play.py", "--evaluate"], False),
        (["python", "play.py"], False),
    ]


def test_a_command_with_a_mistake_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (
        "python train.py --env.rewards.upright 1",
        "python play.py --disturbed",
        "python -m benchmarks.learner --network small",
        "python -m benchmarks.learner --networks large",
        "make coffee",
        "python -m pytest tests/test_nothing.py",
        "rm -r logs",
    ):
        with pytest.raises((SystemExit, AssertionError, pytest.fail.Exception)):
            check(Command(line, "").words, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_files_and_names_in_the_code_exist(page: Path) -> None:
    for span in code_spans(page):
        if re.fullmatch(rf"({PACKAGES}|docs)/[\w./-]*|[\w.-]+\.(py|toml)", span):
            assert (ROOT / span).exists(), span
        elif re.fullmatch(rf"({PACKAGES})(\.\w+)+", span):
            assert pkgutil.resolve_name(span), span


def test_flags_in_sentences_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_flags(lambda: parse_training(["--help"]), monkeypatch)
    known |= known_flags(lambda: parse_playing(["--help"]), monkeypatch)
    known |= known_flags(lambda: checkpoint_command(["export", "--help"]), monkeypatch)
    known |= known_flags(lambda: export_command(["--help"]), monkeypatch)
    known |= known_flags(lambda: sweep_command(["--help"]), monkeypatch)
    known |= known_flags(lambda: robot_command(["import", "--help"]), monkeypatch)
    known |= known_flags(lambda: robot_command(["check", "--help"]), monkeypatch)
    for name in BENCHMARKS:
        benchmark = importlib.import_module(f"benchmarks.{name}")
        if hasattr(benchmark, "main"):
            monkeypatch.setattr(sys, "argv", [name, "--help"])
            known |= known_flags(benchmark.main, monkeypatch)
    unknown = {
        f"{names(page)}: {flag}"
        for page in PAGES
        for flag in flags(page)
        if not any(other == flag or (flag.endswith(".") and other.startswith(flag)) for other in known)
    }
    assert unknown == set()


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_python_runs(page: Path) -> None:
    pytest.importorskip("sb3_contrib")
    for fence in fences(page):
        if fence.language == "python":
            exec(compile(fence.content, names(page), "exec"), {})


def test_the_diffs_make_a_reward_and_an_observation_in_one_place_each(folder: Path) -> None:
    for package in ("app", "biped", "configs", "ppo", "tests"):
        shutil.copytree(ROOT / package, folder / package, dirs_exist_ok=True)
    for fence in fences(EXTENSION):
        if fence.language == "diff":
            [hunk] = hunks(fence.content)
            path = folder / hunk.file
            text = path.read_text(encoding="utf-8")
            assert text.count(hunk.old) == 1, hunk
            path.write_text(text.replace(hunk.old, hunk.new), encoding="utf-8")
    lines = [command.words[2:] for command in commands(EXTENSION)]
    result = subprocess.run(
        [sys.executable, "-c", STEP],
        cwd=folder,
        env=USER_ENVIRONMENT,
        input=json.dumps(lines),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    reward, observation = result.stdout.splitlines()
    assert "reward/feet_too_close" in reward.split()
    assert "joint_torque" in observation.split()


def test_a_file_of_ones_own_makes_a_reward_and_an_observation() -> None:
    [fence] = [fence for fence in fences(EXTENSION) if fence.language == "python"]
    names: dict[str, Any] = {}
    exec(compile(fence.content, "extend.md", "exec"), names)
    env = BipedEnv(FakeSimulator(4), names["task"], seed=1)
    env.reset()
    step = env.step(torch.zeros(4, env.action_dim))
    assert step.metrics["reward/crouch"] < 0.0
    assert step.metrics.keys() > {f"reward/{name}" for name in ("track_vx", "clock_contact")}
    assert list(env.observation_slices)[-2:] == ["clock", "velocity_z"]
