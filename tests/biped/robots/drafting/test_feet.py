"""Feet and soles."""

import math

import numpy as np
import pytest

from biped.robots.drafting.feet import find_feet, find_sole
from biped.robots.library import BIPED
from tests.biped.robots.bodies import biped, mirror_of

CORNERS = np.array([[x, y, z] for x in (-0.05, 0.11) for y in (-0.03, 0.03) for z in (-0.02, 0.02)])


def test_the_biped_stands_on_its_feet() -> None:
    body = biped()
    right, left = find_feet(body, mirror_of(body, BIPED).others)
    assert (body.links[right], body.links[left]) == BIPED.foot_links


def test_the_sole_of_a_level_box_is_its_lower_face() -> None:
    sole = find_sole(CORNERS)
    assert sole.center == pytest.approx([0.03, 0.0, -0.02])
    assert sole.normal == pytest.approx([0.0, 0.0, 1.0])
    assert sole.half_size == pytest.approx([0.08, 0.03])


@pytest.mark.parametrize("degrees", [-15.0, 8.0, 20.0])
def test_a_tilted_box_keeps_its_sole(degrees: float) -> None:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    sole = find_sole(CORNERS @ turn.T)
    assert sole.normal == pytest.approx(turn @ [0.0, 0.0, 1.0], abs=1e-9)
    assert sole.center == pytest.approx(turn @ [0.03, 0.0, -0.02], abs=1e-9)


def test_a_foot_that_is_a_ball_stands_on_a_point() -> None:
    sole = find_sole(np.array([[0.01, 0.02, -0.5]]))
    assert sole.center == pytest.approx([0.01, 0.02, -0.5])
    assert sole.normal == pytest.approx([0.0, 0.0, 1.0])
    assert sole.half_size == pytest.approx([0.0, 0.0])
