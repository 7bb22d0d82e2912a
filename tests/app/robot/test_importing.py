"""`biped-robot import` writes a robot file that can be read again."""

from pathlib import Path

import pytest

from app.robot.commands import main
from biped.robots.library import BIPED
from biped.robots.robot_file import load_robot
from tests.biped.robots.bodies import changed_urdf, published


def test_the_biped_comes_out_as_its_own_file_has_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Our own pose is as deep as a knee of 1.3 rad between two bones of one length.
    assert main(["import", str(BIPED.asset), "--crouch", "0.204", "-o", "mine.yaml"]) == 0
    robot = load_robot(str(tmp_path / "mine.yaml"))
    assert robot.asset == BIPED.asset
    assert robot.joint_names == BIPED.joint_names
    assert (robot.mirror_joints, robot.mirror_signs) == (BIPED.mirror_joints, BIPED.mirror_signs)
    assert (robot.base_link, robot.foot_links, robot.turns) == (BIPED.base_link, BIPED.foot_links, BIPED.turns)
    assert robot.sole_offsets[0] == pytest.approx(BIPED.sole_offsets[0])
    assert robot.default_joint_position == pytest.approx(BIPED.default_joint_position, abs=0.02)
    assert robot.nominal_base_height == pytest.approx(BIPED.nominal_base_height, abs=0.003)
    assert robot.low_height == pytest.approx(BIPED.low_height, abs=0.01)
    assert robot.lowest_height == pytest.approx(BIPED.lowest_height, abs=0.01)
    assert robot.effort_limit == BIPED.effort_limit
    groups = dict(robot.observed_groups)
    assert {**groups, "upper_body": ()} == {**dict(BIPED.observed_groups), "upper_body": ()}
    assert groups["upper_body"] == BIPED.torso_joints
    assert set(robot.sideways_joints) == set(BIPED.sideways_joints)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("mine.yaml: 9 joints (4 pairs, 1 in the middle), 2.9 kg, feet right_foot and left_foot")
    assert lines[1:] == ["doubtful: armature of the joints is a guess; the model does not say"]


@pytest.mark.parametrize(
    ("name", "joints", "turns"),
    [
        ("berkeley_humanoid/berkeley_humanoid", 12, True),
        ("robotis_op3/op3", 20, True),
        ("booster_t1/t1", 23, True),
        ("unitree_g1/g1", 29, True),
        ("unitree_h1/h1", 19, True),
    ],
)
def test_published_robots(name: str, joints: int, turns: bool, tmp_path: Path) -> None:
    assert main(["import", published(name), "-o", "robot.yaml"]) == 0
    text = (tmp_path / "robot.yaml").read_text()
    # Where a package lies differs from machine to machine.
    assert f"model: {published(name)}" in text
    robot = load_robot("robot.yaml")
    assert (robot.num_joints, robot.turns) == (joints, turns)
    assert sum(len(group) for _, group in robot.observed_groups) == joints
    assert [len(group) for _, group in robot.observed_groups][1] == 2


def test_the_model_is_named_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "robots").mkdir()
    changed_urdf(tmp_path / "models")
    assert main(["import", "models/body.urdf", "-o", "robots/mine.yaml"]) == 0
    assert "model: ../models/body.urdf" in (tmp_path / "robots" / "mine.yaml").read_text()
    monkeypatch.chdir("robots")
    assert main(["import", "../models/body.urdf"]) == 0
    assert load_robot("body.yaml").asset == tmp_path / "models" / "body.urdf"


def test_a_file_is_replaced_only_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("by hand")
    with pytest.raises(SystemExit) as end:
        main(["import", str(BIPED.asset), "-o", "mine.yaml"])
    assert end.value.code == 2
    assert "mine.yaml exists" in capsys.readouterr().err
    assert (tmp_path / "mine.yaml").read_text() == "by hand"
    assert main(["import", str(BIPED.asset), "-o", "mine.yaml", "--force"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.urdf"], ["none.urdf", "no file"]),
        (["package://no_such_package/a.xml"], ["no_such_package", "pip install"]),
        (["model.dae"], ["model.dae", ".urdf or .xml"]),
        (["broken.urdf"], ["broken.urdf", "cannot be read"]),
        (["sideways.urdf"], ["sideways.urdf", "has no mirror image"]),
        (["turned.urdf"], ["turned.urdf", "0 joints about y", "x forward, y left, z up"]),
        (["footless.urdf"], ["footless.urdf", "no two feet", "give each foot a box"]),
        (["broken.urdf", "-o", "a.txt"], ["a.txt", ".yaml"]),
        (["broken.urdf", "--crouch", "2"], ["--crouch", "from 0 to 0.6"]),
        (["broken.urdf", "--frequency", "nan"], ["--frequency", "from 0.1 to 20"]),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.dae").touch()
    (tmp_path / "broken.urdf").write_text("<robot")
    text = BIPED.asset.read_text()
    (tmp_path / "sideways.urdf").write_text(text.replace('xyz="0 -0.06 -0.09"', 'xyz="0 -0.16 -0.09"'))
    (tmp_path / "turned.urdf").write_text(
        text.replace('axis xyz="0 1 0"', 'axis xyz="1 0 0"').replace("0 -1 0", "-1 0 0")
    )
    (tmp_path / "footless.urdf").write_text(
        text.replace("<collision>", "<ignored>").replace("</collision>", "</ignored>")
    )
    with pytest.raises(SystemExit) as end:
        main(["import", *arguments])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert [word for word in words if word not in error] == [], error
    assert not list(tmp_path.glob("*.yaml"))
