import math
from pathlib import Path

import pytest

from biped.robots.library import BIPED
from biped.robots.shapes import Link, Placement, read_links, turned

UPRIGHT = (1.0, 0.0, 0.0, 0.0)


def read(tmp_path: Path, content: str) -> dict[str, Link]:
    path = tmp_path / "robot.urdf"
    path.write_text(f"<robot>{content}</robot>")
    return {link.name: link for link in read_links(path)}


def joint(name: str, parent: str, child: str, words: str = 'type="revolute"', more: str = "") -> str:
    return f'<joint name="{name}" {words}><parent link="{parent}"/><child link="{child}"/>{more}</joint>'


def visual(geometry: str, more: str = "") -> str:
    return f"<visual><geometry>{geometry}</geometry>{more}</visual>"


def test_the_biped_has_all_joints_and_its_own_colours() -> None:
    links = read_links(BIPED.asset)
    assert {link.joint for link in links} == {None, *BIPED.joint_names}
    names = [link.name for link in links]
    assert all(link.parent is None or names.index(link.parent) < names.index(link.name) for link in links)
    base = links[names.index("base")]
    assert [shape.kind for shape in base.shapes] == ["box", "box", "cylinder"]
    assert base.shapes[1].color == (0.95, 0.45, 0.10, 1.0)
    assert base.shapes[1].size == (0.005, 0.12, 0.05)
    foot = links[names.index("left_foot")]
    assert foot.parent == "left_shank"
    assert foot.axis == (0.0, -1.0, 0.0)
    assert foot.placement == Placement((0.0, 0.0, -0.19), UPRIGHT)


def test_every_kind_of_shape(tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "shell.stl").touch()
    links = read(
        tmp_path,
        '<link name="base">'
        + visual('<sphere radius="0.1"/>', '<origin xyz="1 2 3" rpy="0 0 1.5707963267948966"/>')
        + visual('<cylinder radius="0.1" length="0.5"/>', '<material name="red"/>')
        + visual('<mesh filename="package://robot/meshes/shell.stl" scale="0.001 0.001 0.001"/>')
        + visual('<mesh filename="gone.stl"/>', '<material name="x"><color rgba="0 0 1 0.5"/></material>')
        + '</link><material name="red"><color rgba="1 0 0 1"/></material>',
    )
    ball, tube, shell, gone = links["base"].shapes
    assert (ball.kind, ball.size, ball.placement.position) == ("sphere", (0.1,), (1.0, 2.0, 3.0))
    assert ball.placement.quaternion == pytest.approx((math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)))
    assert (tube.kind, tube.size, tube.color) == ("cylinder", (0.1, 0.5), (1.0, 0.0, 0.0, 1.0))
    assert (shell.kind, shell.mesh) == ("mesh", tmp_path / "meshes" / "shell.stl")
    assert shell.size == (0.001, 0.001, 0.001)
    assert (gone.mesh, gone.size) == (tmp_path / "gone.stl", (1.0, 1.0, 1.0))
    assert gone.color == (0.0, 0.0, 1.0, 0.5)


def test_links_in_any_order_and_joints_that_do_not_turn(tmp_path: Path) -> None:
    links = read(
        tmp_path,
        '<link name="toe"/><link name="leg"/><link name="base"/>'
        + joint("ankle", "leg", "toe", 'type="fixed"')
        + joint("hip", "base", "leg", more='<axis xyz="0 0 2"/>'),
    )
    assert list(links) == ["base", "leg", "toe"]
    assert (links["leg"].joint, links["leg"].axis) == ("hip", (0.0, 0.0, 1.0))
    assert (links["toe"].joint, links["toe"].parent) == (None, "leg")


def test_what_collides_is_shown_where_nothing_else_is(tmp_path: Path) -> None:
    collision = '<collision><geometry><box size="1 2 3"/></geometry></collision>'
    (shape,) = read(tmp_path, f'<link name="base">{collision}</link>')["base"].shapes
    assert shape.size == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<mujoco/>", "no URDF"),
        ("<robot", "cannot be read"),
        (f'<robot><link name="a"/><link name="b"/>{joint("1", "a", "b")}{joint("2", "b", "a")}</robot>', "a, b"),
        (f'<robot><link name="a">{visual("<cone/>")}</link></robot>', "neither box"),
        (f"""<robot><link name="a">{visual('<box size="1 2"/>')}</link></robot>""", "size must be 3 numbers"),
    ],
)
def test_what_is_no_robot_is_refused(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "robot.urdf"
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_links(path)


def test_a_joint_turns_about_its_axis_after_its_placement() -> None:
    quarter = math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)
    placement = Placement((0.0, 0.0, 0.0), quarter)
    assert turned(placement, (0.0, 0.0, 1.0), 0.5 * math.pi) == pytest.approx((0.0, 0.0, 0.0, 1.0))
    assert turned(placement, (1.0, 0.0, 0.0), 0.0) == pytest.approx(quarter)
