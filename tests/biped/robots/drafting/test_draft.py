"""The text of a drafted robot file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from biped.robots.drafting.draft import draft_robot, joint_order, robot_text
from biped.robots.robot_file import read_entries
from tests.biped.robots.bodies import biped, changed_urdf, read


def test_names_and_numbers_are_read_back_as_what_they_are(tmp_path: Path) -> None:
    renamed = (
        ('"revolute_torso"', '"no"'),
        ('"base"', '"1e3"'),
        ('"left_foot"', '"left: foot"'),
        ('"right_foot"', '"right: foot"'),
    )
    body = read(changed_urdf(tmp_path, *renamed))
    tiny = dataclasses.replace(body, armature=np.full(9, 4.94e-6), effort=np.full(9, 1.5e6))
    entries = read_entries(robot_text(draft_robot(tiny, 0.12, 2.5), "a folder/model.urdf"))
    assert entries.model == "a folder/model.urdf"
    assert entries.base == "1e3"
    assert entries.feet.left.link == "left: foot"
    assert entries.joints["no"].mirror == "-no"
    assert entries.joints["no"].armature == 4.94e-6
    assert entries.joints["no"].effort == 1.5e6


def test_comments_say_what_is_a_guess() -> None:
    body = biped()
    assert "# armature [kg m^2]: A GUESS" in robot_text(draft_robot(body, 0.12, 2.5), "a.urdf")
    known = dataclasses.replace(body, armature=np.full(9, 0.02))
    text = robot_text(draft_robot(known, 0.12, 2.5), "a.urdf")
    assert "# armature [kg m^2]: of the model.\n" in text
    effort = np.array(body.effort)
    effort[body.joints.index("left_knee")] = np.nan
    text = robot_text(draft_robot(dataclasses.replace(known, effort=effort), 0.12, 2.5), "a.urdf")
    assert "# effort [N m]: of the model, and A GUESS for [left_knee].\n" in text


def test_legs_come_first_and_every_joint_once() -> None:
    draft = draft_robot(biped(), 0.12, 2.5)
    order = joint_order(draft)
    assert sorted(order) == list(range(9))
    assert draft.body.joints[order[-1]] == "revolute_torso"
    assert yaml.safe_load(robot_text(draft, "a.urdf"))["groups"]["upper_body"] == ["revolute_torso"]


def test_what_is_no_robot_is_named_with_its_file(tmp_path: Path) -> None:
    path = changed_urdf(tmp_path, ('xyz="0 -0.06 -0.09"', 'xyz="0 -0.16 -0.09"'))
    with pytest.raises(ValueError, match=r"body\.urdf: joint right_hip1 has no mirror image"):
        draft_robot(read(path), 0.12, 2.5)
