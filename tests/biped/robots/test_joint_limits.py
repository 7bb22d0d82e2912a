import dataclasses
import math
from pathlib import Path

import pytest

from biped.robots.joint_limits import joint_limits
from biped.robots.robot import BIPED


def test_limits_stand_in_joint_order() -> None:
    limits = dict(zip(BIPED.joint_names, joint_limits(BIPED), strict=True))
    assert limits["right_knee"] == (-0.1, 2.2)
    assert limits["left_knee"] == (-2.2, 0.1)
    assert limits["revolute_torso"] == (-1.2, 1.2)


def test_the_default_pose_is_within_the_limits() -> None:
    for (lower, upper), position in zip(joint_limits(BIPED), BIPED.default_joint_position, strict=True):
        assert lower < position < upper


def test_continuous_joints_have_no_limits_and_missing_joints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "robot.urdf"
    joints = "".join(f'<joint name="{name}" type="continuous"/>' for name in BIPED.joint_names[:-1])
    path.write_text(f"<robot>{joints}</robot>")
    with pytest.raises(ValueError, match="revolute_torso"):
        joint_limits(dataclasses.replace(BIPED, asset=path))
    path.write_text(f'<robot>{joints}<joint name="revolute_torso" type="continuous"/></robot>')
    assert set(joint_limits(dataclasses.replace(BIPED, asset=path))) == {(-math.inf, math.inf)}
