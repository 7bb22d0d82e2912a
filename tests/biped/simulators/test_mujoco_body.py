"""Model files as plain numbers, and those that cannot be read."""

from pathlib import Path

import numpy as np
import pytest

from biped.robots.library import BIPED
from biped.robots.model_file import urdf_with_found_meshes
from biped.robots.robot_file import find_model
from biped.simulators.config import SimulationConfig
from biped.simulators.mujoco import import_mujoco
from biped.simulators.mujoco_model import build_model
from tests.biped.robots.bodies import biped, changed_robot, changed_urdf, published, read


def test_it_says_what_the_urdf_says() -> None:
    body = biped()
    assert body.links[0] == BIPED.base_link
    assert set(body.joints) == set(BIPED.joint_names)
    assert body.mass.sum() == pytest.approx(2.9)
    assert body.effort == pytest.approx(np.full(9, 12.0))
    assert body.armature == pytest.approx(np.zeros(9))
    ranges = dict(zip(BIPED.joint_names, BIPED.joint_range, strict=True))
    assert body.joint_range == pytest.approx(np.array([ranges[name] for name in body.joints]))
    right = body.chain(body.links.index("right_foot"))
    assert [body.joints[joint] for joint in right] == ["right_hip1", "right_hip2", "right_knee", "right_ankle"]


def test_a_posture_is_that_of_the_base_upright_at_the_origin() -> None:
    body = biped()
    straight = body.pose(np.zeros(9))
    foot = body.links.index("right_foot")
    assert straight.link_position[0] == pytest.approx(np.zeros(3))
    assert straight.link_position[foot] == pytest.approx([0.0, -0.06, -0.09 - 0.38])
    assert np.linalg.eigvalsh(straight.mass_matrix).min() > 0.0
    bent = body.pose(0.5 * np.ones(9))
    assert bent.link_position[foot] != pytest.approx(straight.link_position[foot])
    # What was given out before is not changed by what is asked for later.
    assert straight.link_position[foot] == pytest.approx([0.0, -0.06, -0.09 - 0.38])


def test_torque_limits_of_motors_are_read_from_an_mjcf() -> None:
    body = read(find_model(published("robotis_op3/op3"), Path()))
    assert body.effort == pytest.approx(np.full(20, 5.0))
    assert body.armature == pytest.approx(np.full(20, 0.045))
    # Boxes under the feet whose class is told by a default inside of one about meshes.
    assert {len(shape.points) for shape in body.shapes} == {8}


MJCF = """<mujoco><worldbody>{}</worldbody></mujoco>"""
SLIDING = (
    '<body name="a"><body name="leg"><joint name="hip" type="slide"/>'
    '<inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/></body></body>'
)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.urdf", "<robot", ["a.urdf", "cannot be read"]),
        ("a.xml", "<mujoco", ["a.xml", "cannot be read"]),
        ("a.xml", '<mujoco><include file="b.xml"/></mujoco>', ["a.xml", "include", "b.xml", "name that file"]),
        ("a.xml", MJCF.format(""), ["a.xml", "no body"]),
        ("a.xml", MJCF.format('<body name="a"><joint/></body><body name="b"><joint/></body>'), ["2 bodies", "a, b"]),
        ("a.xml", MJCF.format('<body name="a"><joint name="rootz"/></body>'), ["root a", "rootz", "float freely"]),
        ("a.xml", MJCF.format(SLIDING), ["joint hip", "hinges"]),
        ("a.xml", MJCF.format('<body name="a"><body><geom size="1"/></body></body>'), ["below a", "no name"]),
        ("a.xml", MJCF.format('<body name="a"><wheel/></body>'), ["wheel", "line"]),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(name: str, text: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name) as error:
        read(tmp_path / name)
    assert [word for word in words if word not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_a_link_that_moves_without_a_mass_is_named(tmp_path: Path) -> None:
    path = changed_urdf(tmp_path, ('<mass value="0.2"/>', '<mass value="0"/>'))
    with pytest.raises(ValueError, match=r"body\.urdf: .*mass"):
        read(path)


TETRAHEDRON = """v 0 0 0
v 0.1 0 0
v 0 0.1 0
v 0 0 0.1
f 1 3 2
f 1 2 4
f 1 4 3
f 2 3 4
"""
FOOT_BOX = '<geometry><box size="0.15 0.08 0.02"/></geometry>'
MESH = '<geometry><mesh filename="package://robot/meshes/foot.obj"/></geometry>'


def test_meshes_are_found_where_a_package_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "robot" / "urdf").mkdir(parents=True)
    path = changed_urdf(tmp_path / "robot" / "urdf", (FOOT_BOX, MESH))
    with pytest.raises(ValueError, match=r"link right_foot collides with the mesh package://robot/meshes/foot\.obj"):
        read(path)
    (tmp_path / "robot" / "meshes").mkdir()
    (tmp_path / "robot" / "meshes" / "foot.obj").write_text(TETRAHEDRON)
    monkeypatch.chdir(tmp_path)
    assert any(len(shape.points) == 4 for shape in read(path).shapes)


def test_what_is_only_drawn_may_be_missing_or_of_another_format(tmp_path: Path) -> None:
    shown = f"{FOOT_BOX}\n      <material"
    for name in ("lost.obj", "there.dae"):
        (tmp_path / "there.dae").touch()
        path = changed_urdf(tmp_path, (shown, f'<geometry><mesh filename="{name}"/></geometry>\n      <material'))
        assert read(path).links == biped().links
        robot = changed_robot(tmp_path, model=path)
        model = build_model(import_mujoco(), robot, SimulationConfig(), visual=True)
        assert model.nmesh == 0
        # Genesis reads more formats.
        assert len(list(urdf_with_found_meshes(path, None).iter("mesh"))) == (2 if name == "there.dae" else 0)


def test_a_geom_is_a_mesh_if_the_class_that_it_inherits_says_so(tmp_path: Path) -> None:
    path = tmp_path / "robot.xml"
    path.write_text(
        '<mujoco><asset><mesh name="hull" file="hull.stl"/></asset><default><geom type="mesh"/><default class="foot">'
        '<geom type="box"/></default><default class="legs"><geom group="1"/></default></default><worldbody>'
        '<body name="base"><inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/><geom mesh="hull"/>'
        '<geom class="foot" size="1 2 3"/><body name="leg" childclass="foot"><joint name="hip"/>'
        '<inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/><geom size="4 5 6"/><geom class="legs" mesh="hull"/>'
        "</body></body></worldbody></mujoco>"
    )
    assert [sorted(np.abs(shape.points[0])) for shape in read(path).shapes] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@pytest.mark.parametrize(
    ("motor", "effort"),
    [
        ('<motor joint="hip" gear="50" ctrlrange="-1 1"/>', 50.0),
        ('<motor joint="hip" gear="50" forcerange="-2 2"/>', 100.0),
        ('<position joint="hip" kp="10" forcerange="-3 3"/>', 3.0),
    ],
)
def test_a_torque_limit_is_that_behind_the_gear(motor: str, effort: float, tmp_path: Path) -> None:
    inertial = '<inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/>'
    leg = f'<body name="leg"><joint name="hip"/>{inertial}</body>'
    path = tmp_path / "robot.xml"
    path.write_text(
        f'<mujoco><worldbody><body name="base">{inertial}{leg}</body></worldbody><actuator>{motor}</actuator></mujoco>'
    )
    assert read(path).effort.tolist() == [effort]
