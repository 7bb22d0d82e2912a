"""Default poses that are solved."""

import numpy as np
import pytest

from biped.robots.body import foot_corners
from biped.robots.drafting.crouch import least_squares, solve_crouch, symmetric_limits
from biped.robots.drafting.legs import find_leg
from biped.robots.library import BIPED
from biped.robots.robot_file import built_in, load_robot
from tests.biped.robots.bodies import MENAGERIE, biped, mirror_of, read


@pytest.mark.parametrize("name", built_in())
@pytest.mark.parametrize("depth", [0.05, 0.12])
def test_soles_are_flat_and_below_the_weight_within_all_limits(name: str, depth: float) -> None:
    if name != "biped":
        pytest.importorskip(MENAGERIE)
    robot = load_robot(name)
    body = read(robot.asset)
    mirror = mirror_of(body, robot)
    pose = solve_crouch(body, mirror, find_leg(body, mirror), depth)
    assert pose.tilt < 1e-3
    assert abs(pose.offset) < 1e-4
    assert (body.joint_range[:, 0] <= pose.position).all()
    assert (pose.position <= body.joint_range[:, 1]).all()
    assert pose.position == pytest.approx(np.array(mirror.signs) * pose.position[list(mirror.others)])
    posture = body.pose(pose.position)
    for link in robot.foot_links:
        assert foot_corners(body, posture, body.links.index(link))[:, 2].min() == pytest.approx(-pose.height, abs=1e-4)


def test_the_depth_of_our_own_pose_gives_our_own_pose() -> None:
    body = biped()
    mirror = mirror_of(body, BIPED)
    depth = 1.0 - np.cos(0.65)
    pose = solve_crouch(body, mirror, find_leg(body, mirror), depth)
    own = dict(zip(BIPED.joint_names, BIPED.default_joint_position, strict=True))
    assert pose.position == pytest.approx([own[name] for name in body.joints], abs=0.02)
    assert pose.height == pytest.approx(BIPED.nominal_base_height, abs=0.003)


def test_a_deeper_crouch_is_lower() -> None:
    body = biped()
    mirror = mirror_of(body, BIPED)
    leg = find_leg(body, mirror)
    heights = [solve_crouch(body, mirror, leg, depth).height for depth in (0.0, 0.1, 0.2, 0.3)]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] - heights[2] == pytest.approx(0.2 * 0.38, abs=0.005)


def test_limits_are_those_of_both_sides() -> None:
    body = biped()
    mirror = mirror_of(body, BIPED)
    low, high = symmetric_limits(body, mirror)
    order, signs = list(mirror.others), np.array(mirror.signs)
    assert low == pytest.approx(np.minimum(signs * low[order], signs * high[order]))
    assert (body.joint_range[:, 0] < low).all()
    assert (high < body.joint_range[:, 1]).all()


def test_least_squares_stops_at_a_limit_and_moves_the_rest() -> None:
    def residuals(x: np.ndarray) -> np.ndarray:
        return np.array([x[0] - 2.0, x[0] + x[1] - 5.0])

    low, high = np.array([-1.0, -10.0]), np.array([1.0, 10.0])
    assert least_squares(residuals, np.zeros(2), low, high) == pytest.approx([1.0, 4.0])
