"""What is wrong in a copy of the biped's files is found and named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biped.robots.checks.findings import Finding
from biped.robots.checks.mirror import check_mirror
from biped.robots.checks.model import check_model
from biped.robots.checks.pose import check_pose
from biped.robots.library import BIPED
from biped.robots.robot import Robot
from biped.robots.robot_file import built_in, load_robot
from tests.biped.robots.bodies import MENAGERIE, changed_robot, changed_urdf, read


def findings(robot: Robot) -> list[Finding]:
    body = read(robot.asset)
    return [*check_model(body, robot), *check_mirror(body, robot), *check_pose(body, robot)]


@pytest.mark.parametrize("name", built_in())
def test_nothing_is_suspicious_about_our_own_robots(name: str) -> None:
    if name != "biped":
        pytest.importorskip(MENAGERIE)
    assert findings(load_robot(name)) == []


def mirrors(**others: str) -> Callable[[dict[str, Any]], None]:
    def change(entries: dict[str, Any]) -> None:
        for name, other in others.items():
            entries["joints"][name]["mirror"] = other

    return change


def joint(name: str, **values: float) -> Callable[[dict[str, Any]], None]:
    return lambda entries: entries["joints"][name].update(values)


def both(name: str, **values: float) -> Callable[[dict[str, Any]], None]:
    def change(entries: dict[str, Any]) -> None:
        for side in ("right", "left"):
            entries["joints"][f"{side}_{name}"].update(values)

    return change


def without(name: str) -> Callable[[dict[str, Any]], None]:
    """The joint is in the model only, as one that was added there is."""

    def change(entries: dict[str, Any]) -> None:
        del entries["joints"][name]
        for names in (*entries["groups"].values(), entries["torso"], entries["sideways"], entries["rhythmic"]):
            if name in names:
                names.remove(name)

    return change


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (without("revolute_torso"), "wrong", ["joints.revolute_torso", "nothing drives it", "list"]),
        (
            mirrors(right_knee="left_knee", left_knee="right_knee"),
            "wrong",
            ["joints.right_knee.mirror", "opposite", "-left_knee"],
        ),
        (mirrors(revolute_torso="revolute_torso"), "wrong", ["revolute_torso.mirror", "write mirror: -revolute_torso"]),
        (
            mirrors(
                right_knee="-left_ankle", left_ankle="-right_knee", right_ankle="-left_knee", left_knee="-right_ankle"
            ),
            "wrong",
            ["joints.right_knee.mirror", "left_ankle is not where", "its image is -left_knee"],
        ),
        (joint("left_hip2", default=0.3), "wrong", ["joints.right_hip2.default", "left_hip2", "-0.3"]),
        (joint("left_hip2", stiffness=30.0), "suspicious", ["joints.right_hip2.stiffness", "same servo"]),
        (joint("right_hip1", default=0.7), "wrong", ["joints.right_hip1.default", "beyond its limits"]),
        (both("ankle", stiffness=4.0), "suspicious", ["joints.right_ankle.stiffness", "topples"]),
        (both("knee", stiffness=6.0), "suspicious", ["joints.right_knee.stiffness", "gives way by"]),
        (both("knee", effort=1.0), "wrong", ["joints.right_knee.effort", "standing takes 1.15"]),
        (both("knee", effort=40.0), "suspicious", ["joints.right_knee.effort", "12 in the model"]),
        (both("knee", armature=0.0), "suspicious", ["joints.right_knee.armature", "gear ratio"]),
        (both("knee", armature=0.1), "suspicious", ["joints.right_knee.armature", "Genesis"]),
        (
            lambda entries: (joint("right_ankle", default=-0.2)(entries), joint("left_ankle", default=0.2)(entries)),
            "wrong",
            ["feet.right", "tilted by 26 degrees"],
        ),
        (
            lambda entries: (
                joint("right_hip2", default=-0.9)(entries),
                joint("left_hip2", default=0.9)(entries),
                joint("right_ankle", default=-0.4)(entries),
                joint("left_ankle", default=0.4)(entries),
            ),
            "suspicious",
            ["joints: default", "centre of mass", "57 mm behind"],
        ),
        (
            lambda entries: entries["heights"].update(standing=0.46),
            "wrong",
            ["heights.standing", "mm above the ground", "write 0.43"],
        ),
        (
            lambda entries: entries["feet"]["right"].update(sole=[-0.05, 0.0, -0.04]),
            "suspicious",
            ["feet.right.sole", "[0.020, 0.000, -0.040]"],
        ),
        (
            lambda entries: entries["feet"].update(right={"link": "right_shank", "sole": [0.0, 0.0, -0.2]}),
            "wrong",
            ["link right_shank", "no collision shape"],
        ),
    ],
)
def test_what_is_wrong_in_a_robot_file_is_named(
    change: Callable[[dict[str, Any]], object], kind: str, words: list[str], tmp_path: Path
) -> None:
    lines = [str(finding) for finding in findings(changed_robot(tmp_path, change))]
    assert [line for line in lines if line.startswith(kind) and all(word in line for word in words)], lines
    assert not [line for line in lines if "\n" in line]


THIGH = '<mass value="0.3"/>'


def first(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda text: first(text, THIGH, '<mass value="0.4"/>'), "suspicious", ["right_thigh", "left_thigh", "0.4"]),
        (
            lambda text: first(text, 'xyz="0.02 0 -0.03"/>\n      <mass', 'xyz="0.08 0 -0.03"/>\n      <mass'),
            "suspicious",
            ["mass matrix", "mirror image"],
        ),
        (lambda text: text.replace('<mass value="', '<mass value="10000'), "wrong", ["model: masses", "kg, not in g"]),
        (
            lambda text: text.replace('lower="-1.2" upper="1.2"', 'lower="-70" upper="70"'),
            "wrong",
            ["look like degrees"],
        ),
        (lambda text: text.replace('ixx="0.0039"', 'ixx="3.9"'), "model", []),
        (
            lambda text: text.replace(
                'ixx="9e-05" ixy="0" ixz="0" iyy="9e-05" iyz="0" izz="9e-05"',
                'ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"',
            ),
            "suspicious",
            ["link right_hip", "inertia"],
        ),
        (
            lambda text: first(
                text,
                "<geometry><box",
                '<geometry><mesh filename="lost.stl"/></geometry></visual>\n    <visual><geometry><box',
            ),
            "suspicious",
            ["mesh lost.stl", "no such file"],
        ),
        (
            lambda text: (
                text.replace(text[text.index("<inertial>", text.index('<link name="left_foot')) :], "", 1)
                + text[text.index("</inertial>", text.index('<link name="left_foot')) + len("</inertial>") :]
            ),
            "wrong",
            ["link left_foot: there is no <inertial>"],
        ),
        (
            lambda text: first(
                text,
                '<link name="base">',
                '<link name="root"/><joint name="fixed" type="fixed"><parent link="root"/><child link="base"/></joint>'
                '<link name="base">',
            ),
            "wrong",
            ["base: base hangs from root", "leave root out of the model, as it has no mass"],
        ),
        (
            lambda text: text.replace('axis xyz="0 0 1"', 'axis xyz="0 1 0"'),
            "wrong",
            ["revolute_torso.mirror", "write mirror: revolute_torso"],
        ),
    ],
)
def test_what_is_wrong_in_a_model_file_is_named(
    change: Callable[[str], str], kind: str, words: list[str], tmp_path: Path
) -> None:
    path = changed_urdf(tmp_path)
    path.write_text(change(path.read_text()))
    robot = changed_robot(tmp_path, model=path)
    if kind == "model":
        with pytest.raises(ValueError, match=r"body\.urdf: .*inertia"):
            findings(robot)
        return
    lines = [str(finding) for finding in findings(robot)]
    assert [line for line in lines if line.startswith(kind) and all(word in line for word in words)], lines


def test_lengths_in_millimetres_are_seen(tmp_path: Path) -> None:
    def change(entries: dict[str, Any]) -> None:
        entries["heights"] = {"standing": 434.0, "low": 350.0, "lowest": 300.0}

    lines = [str(finding) for finding in findings(changed_robot(tmp_path, change))]
    assert [line for line in lines if line.startswith("wrong: heights.standing: it is 434 m; lengths are in m")]


def test_a_joint_that_was_renamed_in_the_model_is_named(tmp_path: Path) -> None:
    path = changed_urdf(tmp_path, ('"right_knee"', '"right_patella"'))
    with pytest.raises(ValueError, match=r"no joint named 'right_knee'; it has .*right_patella"):
        changed_robot(tmp_path, model=path)


def test_the_files_are_those_of_the_biped_where_nothing_is_changed(tmp_path: Path) -> None:
    assert findings(changed_robot(tmp_path, model=changed_urdf(tmp_path))) == []
    assert BIPED.asset.read_text() == (tmp_path / "body.urdf").read_text()
