import dataclasses
import os
import sys
from pathlib import Path

import pytest

from app.play_flags import PlayOptions, read_command_line
from app.playing import main
from tests.app.fake_engines import fails
from tests.end_to_end.command import assert_one_line_error, run_program


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nm-envs", "5"], ["--nm-envs"]),
        (["--num-envs", "0"], ["--num-envs", "0"]),
        (["--episodes", "-1"], ["--episodes", "-1"]),
        (["--seconds", "0"], ["--seconds", "0.1"]),
        (["--seconds", "inf"], ["--seconds"]),
        (["--agent", "tired"], ["--agent", "zero"]),
        (["--preset", "fast"], ["--preset", "cpu"]),
        (["--device", "gpu"], ["--device gpu"]),
        (["--command", "0.3", "0"], ["--command"]),
        (["--command", "0.3", "0", "nan"], ["--command", "from -1000 to 1000", "nan"]),
        (["--viewer"], ["--viewer", "display", "--video"]),
        (["--video", "walk.avi"], ["--video walk.avi", ".mp4 or .gif"]),
        (["--video-robots", "4"], ["--video-robots", "--video walk.mp4"]),
        (["--video-robots", "17", "--video", "a.mp4"], ["--video-robots", "from 1 to 16", "17"]),
        (["--video-robots", "4", "--video", "a.mp4", "-B", "3"], ["--video-robots 4", "--num-envs 3"]),
        (
            ["--video-robots", "4", "--video", "a.mp4", "--agent", "zero", "--simulator", "genesis"],
            ["--video-robots 4", "--simulator mujoco"],
        ),
        (["--no-overlay"], ["--no-overlay", "--video"]),
        (["--video", "nowhere/walk.mp4"], ["--video nowhere/walk.mp4"]),
        (["--video", "w" * 300 + ".mp4"], ["--video", "cannot be written"]),
        (["--video", "pipe.mp4"], ["--video pipe.mp4", "choose a file"]),
        (["--json", "a.json"], ["--json", "--evaluate"]),
        (["--disturbed"], ["--disturbed", "--evaluate"]),
        (["--evaluate", "--disturbed-as", "hardware"], ["--disturbed-as", "add --disturbed"]),
        (["--evaluate", "--json", "nowhere/a.json"], ["--json nowhere/a.json"]),
        (["--evaluate", "--video", "a.mp4"], ["--video", "--evaluate"]),
        (["--evaluate", "--episodes", "2"], ["--episodes", "--evaluate"]),
        (["--evaluate", "--seconds", "2"], ["--seconds", "2"]),
        (["--evaluate", "--json", "pipe.mp4/a.json"], ["--json pipe.mp4/a.json"]),
        (["a.zip", "--evaluate", "--json", "./a.zip"], ["--json a.zip is the checkpoint"]),
        (["--heading", "1"], ["--heading", "add --command"]),
        (["--heading", "1", "--command", "0.3", "0", "0", "--evaluate"], ["--heading", "--evaluate", "leave out"]),
        (["--heading", "1", "--command", "0.3", "0", "0", "--web"], ["--heading", "--web", "leave out"]),
        (["--heading", "0", "--command", "0.3", "0", "0", "--keyboard"], ["--heading", "--keyboard", "leave out"]),
        (["--log-dir", 300 * "a"], ["no run in", "--log-dir"]),
        (["--log-dir", 300 * "a", "-e", "walk"], [": File name too long"]),
        (["--compare", 300 * "a"], ["--compare", "File name too long"]),
        (["--simulator", "gazebo"], ["--simulator", "mujoco"]),
        (["--simulator", "both"], ["--simulator both", "--evaluate"]),
        (["--simulator", "mujoco", "--viewer"], ["--viewer", "--simulator mujoco", "--video"]),
        (["--simulator", "mujoco", "--device", "cuda:0"], ["--device cuda:0", "MuJoCo", "--device cpu"]),
        (["--web", "--video", "a.mp4"], ["--video", "--web"]),
        (["--web", "--evaluate"], ["--evaluate", "--web"]),
        (["--web", "--episodes", "3"], ["--episodes", "--web"]),
        (["--web", "-B", "3"], ["--num-envs", "--web"]),
        (["--web", "--simulator", "both"], ["--simulator both"]),
        (["--web", "--port", "0"], ["--port", "from 1 to 65535", "0"]),
        (["--keyboard", "--web"], ["--web", "--keyboard"]),
        (["--keyboard", "--video", "a.mp4"], ["--video", "--keyboard"]),
        (["--keyboard", "--evaluate"], ["--evaluate", "--keyboard"]),
        (["--keyboard", "-B", "3"], ["--num-envs", "--keyboard"]),
        (["--keyboard", "--agent", "zero"], ["--keyboard", "terminal", "--web"]),
        (["--port", "9000"], ["--port", "--web"]),
        (["--host", "0.0.0.0"], ["--host", "--web"]),
        (["-e", "sprint"], ["sprint", "--exp-name"]),
        (["--checkpoint"], ["--checkpoint"]),
        (["--checkpoint", "missing.zip"], ["missing.zip"]),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe.mp4")
    line = fails(capsys, *arguments)
    assert [word for word in words if word not in line] == []


def test_a_run_with_nothing_but_broken_files(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("logs/walk")
    folder.mkdir(parents=True)
    (folder / "model_final.zip").write_text("broken")
    with pytest.raises(SystemExit):
        main(["-e", "walk"])
    warning, error = capsys.readouterr().err.splitlines()
    assert "model_final.zip" in warning
    assert "logs/walk" in error
    assert "--checkpoint" in error
    # Who needs no checkpoint asks for none.
    assert main(["--agent", "zero", "--seconds", "0.1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-e", "mine"], ["mine", "train first"]),
        (["model.zip"], ["model.zip"]),
        (["--viewer"], ["--viewer"]),
        (["--agent", "tired"], ["--agent"]),
    ],
)
def test_bad_input_is_refused_before_genesis_is_imported(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    trap = tmp_path / "trap" / "genesis"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise AssertionError('imported')")
    Path("model.zip").write_text("not a zip")
    result = run_program("play.py", *arguments, cwd=tmp_path, environment={"PYTHONPATH": str(trap.parent)})
    assert_one_line_error(result, *words)


@pytest.mark.parametrize(
    ("arguments", "opens"),
    [
        ([], True),
        (["model.zip", "--command", "0.3", "0", "0"], True),
        (["-e", "walk", "--simulator", "mujoco"], True),
        (["--no-web"], False),
        (["--keyboard"], False),
        (["--no-viewer"], False),
        (["--video", "walk.mp4"], False),
        (["--evaluate"], False),
        (["--episodes", "1"], False),
        (["--seconds", "5"], False),
        (["--command", "0.3", "0", "0", "--heading", "1"], False),
        (["--device", "cuda"], False),
        (["--device", "cpu"], True),
        (["-B", "4"], False),
    ],
)
def test_the_page_opens_by_itself_on_a_terminal_without_a_display(
    arguments: list[str], opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("viser")
    assert not read_command_line(arguments).web
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert read_command_line(arguments).web is opens
    monkeypatch.setenv("DISPLAY", ":0")
    assert not read_command_line(arguments).web


def test_without_viser_no_page_opens_by_itself_and_the_remedy_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    assert "pip install viser" in fails(capsys, "--web", "--agent", "zero")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert not read_command_line([]).web


@pytest.mark.parametrize("flag", ["--web", "--keyboard"])
def test_steering_takes_the_place_of_a_window_and_runs_in_mujoco_unless_told(
    flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    options = read_command_line([flag])
    assert not options.viewer
    assert options.settled("genesis").simulators == ("mujoco",)
    assert read_command_line([flag, "--simulator", "genesis"]).settled("mujoco").simulators == ("genesis",)


def test_keys_may_have_a_window_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    options = read_command_line(["--keyboard", "--viewer"]).settled("mujoco")
    assert (options.viewer, options.simulators) == (True, ("genesis",))


def test_help_names_every_flag(tmp_path: Path) -> None:
    result = run_program("play.py", "--help", cwd=tmp_path, environment={"COLUMNS": "100"})
    assert result.returncode == 0
    for field in dataclasses.fields(PlayOptions):
        assert f"--{field.name.replace('_', '-')}" in result.stdout
