import json
from pathlib import Path

import pytest

from tests.end_to_end.command import assert_one_line_error, run_program

pytest.importorskip("mujoco")


def test_a_video_from_mujoco(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    arguments = ("--agent", "zero", "--preset", "cpu", "--simulator", "mujoco", "--seconds", "0.2", "--video", "a.mp4")
    # Empty is unset.
    names = ("MUJOCO_GL", "MUJOCO_EGL_DEVICE_ID", "PYOPENGL_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
    result = run_program("play.py", *arguments, cwd=tmp_path, environment=dict.fromkeys(names, ""))
    if "MuJoCo cannot" in result.stderr:
        assert_one_line_error(result, "MUJOCO_GL")
        pytest.skip("no OpenGL to render with")
    assert result.returncode == 0, result.stderr
    assert "ended by: time-out" in result.stdout
    with av.open(tmp_path / "a.mp4") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(480, 640, 3)] * 10
    # The dark trunk in the middle of the picture, bright sky above.
    assert frames[0][150:230, 280:370].mean() < 80.0
    assert frames[0][:50].mean() > 150.0


def test_opengl_that_is_missing_is_one_line(tmp_path: Path) -> None:
    arguments = ("--agent", "zero", "--simulator", "mujoco", "--video", "a.mp4")
    environment = {"MUJOCO_GL": "nonsense"}
    result = run_program("play.py", *arguments, cwd=tmp_path, environment=environment)
    assert_one_line_error(result, "nonsense", "set MUJOCO_GL to egl")
    assert not (tmp_path / "a.mp4").exists()


def test_an_evaluation_in_mujoco(tmp_path: Path) -> None:
    arguments = ("--agent", "zero", "--preset", "cpu", "--simulator", "mujoco", "--evaluate", "-B", "4")
    command = ("--seconds", "3", "--command", "0", "0", "0", "--json", "a.json")
    result = run_program("play.py", *arguments, *command, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (stand,) = json.loads((tmp_path / "a.json").read_text())["trials"]
    assert (stand["simulator"], stand["robots"], stand["survival"]) == ("mujoco", 4, 1.0)
    assert stand["duty_right"] == stand["duty_left"] == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json"]
