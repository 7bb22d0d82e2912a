import dataclasses
import math
import xml.etree.ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest

from biped.robots.library import BIPED

Array = npt.NDArray[np.float64]

MODEL = ET.parse(BIPED.asset).getroot()
SIDES = ("right", "left")
LEG_JOINTS = ("hip1", "hip2", "knee", "ankle")


def element(parent: ET.Element, path: str) -> ET.Element:
    found = parent.find(path)
    assert found is not None, path
    return found


def vector(parent: ET.Element, path: str, attribute: str = "xyz") -> Array:
    return np.array([float(number) for number in element(parent, path).attrib[attribute].split()])


def joint(name: str) -> ET.Element:
    return element(MODEL, f"joint[@name='{name}']")


def link(name: str) -> ET.Element:
    return element(MODEL, f"link[@name='{name}']")


def turn(axis: Array, angle: float) -> Array:
    """Rotation matrix about a unit `axis` by Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: Array = np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross
    return rotation


def foot_pose(side: str, angles: dict[str, float]) -> tuple[Array, Array]:
    """Position and rotation of the foot link in the body frame."""
    position, rotation = np.zeros(3), np.eye(3)
    for name in LEG_JOINTS:
        model = joint(f"{side}_{name}")
        position = position + rotation @ vector(model, "origin")
        rotation = rotation @ turn(vector(model, "axis"), angles[f"{side}_{name}"])
    return position, rotation


def default_angles() -> dict[str, float]:
    return dict(zip(BIPED.joint_names, BIPED.default_joint_position, strict=True))


def test_the_model_has_the_nine_joints_in_the_robots_order() -> None:
    assert tuple(model.attrib["name"] for model in MODEL.iter("joint")) == BIPED.joint_names
    assert BIPED.num_joints == 9


def test_the_links_weigh_2_9_kg() -> None:
    masses = [float(mass.attrib["value"]) for mass in MODEL.iter("mass")]
    assert len(masses) == len(list(MODEL.iter("link"))) == 10
    assert sum(masses) == pytest.approx(2.9)


def test_every_inertia_is_that_of_a_solid_body() -> None:
    for inertia in MODEL.iter("inertia"):
        moments = sorted(float(inertia.attrib[name]) for name in ("ixx", "iyy", "izz"))
        assert 0.0 < moments[0] <= moments[1] <= moments[2] < moments[0] + moments[1]


@pytest.mark.parametrize("name", LEG_JOINTS)
def test_left_joints_mirror_right_ones(name: str) -> None:
    right, left = joint(f"right_{name}"), joint(f"left_{name}")
    assert np.array_equal(vector(left, "origin"), vector(right, "origin") * [1, -1, 1])
    limits = [element(side, "limit").attrib for side in (right, left)]
    assert float(limits[0]["lower"]) == -float(limits[1]["upper"])
    assert float(limits[0]["upper"]) == -float(limits[1]["lower"])


@pytest.mark.parametrize("name", ["hip", "thigh", "shank", "foot"])
def test_left_links_mirror_right_ones(name: str) -> None:
    right, left = link(f"right_{name}"), link(f"left_{name}")
    assert element(right, "inertial/mass").attrib == element(left, "inertial/mass").attrib
    assert element(right, "inertial/inertia").attrib == element(left, "inertial/inertia").attrib
    mirrored = vector(right, "inertial/origin") * [1, -1, 1]
    assert np.array_equal(vector(left, "inertial/origin"), mirrored)


def test_opposite_angles_left_and_right_put_the_feet_in_mirrored_poses() -> None:
    generator = np.random.default_rng(0)
    mirror = np.diag([1.0, -1.0, 1.0])
    for _ in range(10):
        angles = {f"right_{name}": float(generator.uniform(-0.5, 0.5)) for name in LEG_JOINTS}
        angles |= {f"left_{name}": -angles[f"right_{name}"] for name in LEG_JOINTS}
        right_position, right_rotation = foot_pose("right", angles)
        left_position, left_rotation = foot_pose("left", angles)
        np.testing.assert_allclose(left_position, mirror @ right_position, atol=1e-12)
        np.testing.assert_allclose(left_rotation, mirror @ right_rotation @ mirror, atol=1e-12)


def test_flexing_the_hip_brings_the_knee_forward_on_both_sides() -> None:
    angles = default_angles()
    for side, flexed in (("right", -0.652), ("left", 0.652)):
        assert angles[f"{side}_hip2"] == flexed
        knee = turn(vector(joint(f"{side}_hip2"), "axis"), flexed) @ vector(joint(f"{side}_knee"), "origin")
        assert knee[0] == pytest.approx(0.19 * math.sin(0.652))


@pytest.mark.parametrize("side", SIDES)
def test_the_foot_is_flat_below_the_hip_in_the_default_pose(side: str) -> None:
    position, rotation = foot_pose(side, default_angles())
    # The default angles add up to 0.014 rad.
    assert math.acos(rotation[2, 2]) == pytest.approx(0.014, abs=1e-6)
    assert abs(position[0]) < 0.002


@pytest.mark.parametrize("side", SIDES)
def test_the_soles_just_touch_the_ground_at_the_nominal_height(side: str) -> None:
    position, rotation = foot_pose(side, default_angles())
    box = element(link(f"{side}_foot"), "collision")
    half = vector(box, "geometry/box", "size") / 2
    corners = [vector(box, "origin") + half * [x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    heights = [BIPED.nominal_base_height + (position + rotation @ corner)[2] for corner in corners]
    assert 0.0 <= min(heights) < 0.001


@pytest.mark.parametrize(("foot", "offset"), list(zip(BIPED.foot_links, BIPED.sole_offsets, strict=True)))
def test_the_sole_offset_is_the_centre_of_the_bottom_of_the_foot(foot: str, offset: tuple[float, float, float]) -> None:
    box = element(link(foot), "collision")
    bottom = vector(box, "origin") - vector(box, "geometry/box", "size") * [0, 0, 0.5]
    assert np.allclose(bottom, offset)


def test_only_base_upper_body_and_feet_collide() -> None:
    colliding = {model.attrib["name"] for model in MODEL.iter("link") if model.find("collision") is not None}
    assert colliding == {BIPED.base_link, "upper_body", *BIPED.foot_links}


def test_every_default_angle_lies_within_its_limits_and_effort_limits_agree_with_the_model() -> None:
    for index, name in enumerate(BIPED.joint_names):
        limit = element(joint(name), "limit").attrib
        assert float(limit["lower"]) < BIPED.default_joint_position[index] < float(limit["upper"])
        assert float(limit["effort"]) == BIPED.effort_limit[index]


def test_joint_indices_follow_the_names_asked_for() -> None:
    assert BIPED.joint_indices(("revolute_torso", "right_hip1", "left_knee")) == (8, 0, 6)
    assert BIPED.joint_indices(name for name in ("right_ankle",)) == (3,)


def test_an_unknown_joint_is_named() -> None:
    with pytest.raises(ValueError, match="tail"):
        BIPED.joint_indices(["tail"])


def test_a_tuple_of_the_wrong_length_is_named() -> None:
    with pytest.raises(ValueError, match=r"Robot\.stiffness has 2 values for 9 joints"):
        dataclasses.replace(BIPED, stiffness=(1.0, 2.0))
