"""`biped-robot` as a user calls it: from a stranger's model file to a robot that can be trained."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from biped.robots.library import BIPED
from biped.robots.robot_file import load_robot
from tests.end_to_end.command import ROOT, USER_ENVIRONMENT, assert_one_line_error, run_program

pytest.importorskip("mjbatch")


def robot_tool(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m app.robot` in the folder `cwd`."""
    return subprocess.run(
        [sys.executable, "-m", "app.robot", *arguments],
        cwd=cwd,
        env={**USER_ENVIRONMENT, "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300.0,
    )


def test_from_a_model_file_to_a_training(tmp_path: Path) -> None:
    (tmp_path / "stranger.urdf").write_bytes(BIPED.asset.read_bytes())
    result = robot_tool("import", "stranger.urdf", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert load_robot(str(tmp_path / "stranger.yaml")).mirror_signs == BIPED.mirror_signs
    result = robot_tool("check", "stranger.yaml", "--simulator", "mujoco", cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert "mujoco: stands for 2 s" in result.stdout
    assert "nothing suspicious" in result.stdout
    if "no picture: " not in result.stdout:
        assert (tmp_path / "stranger_standing.png").read_bytes().startswith(b"\x89PNG")
    flags = ("--preset", "smoke", "--simulator", "mujoco", "--total-timesteps", "384", "--robot", "stranger.yaml")
    result = run_program("train.py", *flags, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_without_opengl_it_says_so_and_goes_on(tmp_path: Path) -> None:
    environment = {"MUJOCO_GL": "egl", "MUJOCO_EGL_DEVICE_ID": "99"}
    arguments = ("check", "biped", "--simulator", "mujoco")
    result = robot_tool(*arguments, cwd=tmp_path, environment=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no picture: MuJoCo cannot render here" in result.stdout
    assert not list(tmp_path.iterdir())


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.xml").write_text('<mujoco><include file="robot.xml"/></mujoco>')
    result = robot_tool("import", "bad.xml", cwd=tmp_path)
    assert_one_line_error(result, "bad.xml", "include", "robot.xml")
    result = robot_tool("check", "bad.yaml", cwd=tmp_path)
    assert_one_line_error(result, "bad.yaml", "No such file")
    assert_one_line_error(robot_tool("walk", cwd=tmp_path), "walk", "import", "check")
