import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    # The dark trunk in the middle of the picture, bright sky above, and the dark panel left of it.
    assert frames[0][150:230, 280:370].mean() < 80.0
    assert frames[0][:50, 270:].mean() > 150.0
    assert frames[0][6:30, 6:60].mean() < 100.0


def test_several_robots_side_by_side_as_a_gif(tmp_path: Path) -> None:
    arguments = ("--agent", "random", "--preset", "cpu", "--simulator", "mujoco", "--seconds", "0.4", "--no-overlay")
    film = ("--video", "a.gif", "--video-robots", "2")
    result = run_program("play.py", *arguments, *film, cwd=tmp_path, environment={"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    if "MuJoCo cannot" in result.stderr:
        pytest.skip("no OpenGL to render with")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "a.gif") as film_of_two:
        assert (film_of_two.size, film_of_two.n_frames) == ((1280, 480), 10)
        film_of_two.seek(9)
        picture = np.array(film_of_two.convert("RGB")).astype(float)
    # Both robots are seen, and their actions are not the same.
    for left in (0, 640):
        assert picture[150:230, left + 280 : left + 370].mean() < 80.0
    assert np.abs(picture[:, :640] - picture[:, 640:]).mean() > 1.0


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
