"""Which joints mirror each other."""

from pathlib import Path

import numpy as np
import pytest

from biped.robots.drafting.mirror_guess import counterparts, guess_mirror, mirror_error
from biped.robots.library import BIPED
from biped.robots.robot_file import built_in, find_model, load_robot
from tests.biped.robots.bodies import MENAGERIE, biped, changed_urdf, mirror_of, published, read


@pytest.mark.parametrize("name", built_in())
def test_the_mirrors_of_our_own_robots_are_guessed(name: str) -> None:
    if name != "biped":
        pytest.importorskip(MENAGERIE)
    robot = load_robot(name)
    body = read(robot.asset)
    assert guess_mirror(body) == mirror_of(body, robot)


@pytest.mark.parametrize("name", ["robotis_op3/op3", "booster_t1/t1", "unitree_g1/g1", "unitree_h1/h1"])
def test_those_of_published_robots_agree_with_their_names_and_masses(name: str) -> None:
    body = read(find_model(published(name), Path()))
    mirror = guess_mirror(body)
    for joint, other in enumerate(mirror.others):
        named = counterparts(body.joints[joint])
        assert body.joints[other] in named or not any(word in named for word in body.joints)
    assert mirror_error(body, mirror.others, mirror.signs, np.zeros(len(body.joints))).max() < 0.02


def test_names_are_not_needed(tmp_path: Path) -> None:
    names = {"right_hip1": "a", "left_hip1": "b", "right_hip2": "c", "left_hip2": "d", "right_knee": "e"}
    names |= {"left_knee": "f", "right_ankle": "g", "left_ankle": "h"}
    path = changed_urdf(tmp_path, *((f'"{old}"', f'"{new}"') for old, new in names.items()))
    assert guess_mirror(read(path)) == guess_mirror(biped())


def test_a_joint_without_an_image_is_named(tmp_path: Path) -> None:
    path = changed_urdf(tmp_path, ('<origin xyz="0 0 0.07"/>\n    <axis', '<origin xyz="0 0.1 0.07"/>\n    <axis'))
    with pytest.raises(ValueError, match=r"joint revolute_torso has no mirror image.*x forward and y left"):
        guess_mirror(read(path))


def test_the_other_side_of_a_name() -> None:
    assert "left_knee" in counterparts("right_knee")
    assert "LL_HFE" in counterparts("LR_HFE")
    assert "Left_Hip_Roll" in counterparts("Right_Hip_Roll")
    assert "r_ank_roll" in counterparts("l_ank_roll")
    assert counterparts("waist") == set()


@pytest.mark.parametrize("wrong", ["right_hip2", "left_knee"])
def test_the_mass_matrix_shows_a_wrong_sign(wrong: str) -> None:
    body = biped()
    mirror = mirror_of(body, BIPED)
    assert mirror_error(body, mirror.others, mirror.signs, np.zeros(9)).max() < 1e-9
    place = body.joints.index(wrong)
    signs = [-sign if joint in (place, mirror.others[place]) else sign for joint, sign in enumerate(mirror.signs)]
    assert mirror_error(body, mirror.others, signs, np.zeros(9)).max() > 0.1
