"""Servos that can stand."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

from biped.robots.body import Body
from biped.robots.drafting.crouch import Crouch, solve_crouch
from biped.robots.drafting.gains import CARRY, SAG, choose_gains, standing_torque, toppling
from biped.robots.drafting.legs import Leg, find_leg
from biped.robots.drafting.mirror_guess import MirrorGuess
from biped.robots.library import BIPED
from tests.biped.robots.bodies import biped, mirror_of

FREQUENCY = 2.5


class Chosen(NamedTuple):
    body: Body
    mirror: MirrorGuess
    leg: Leg
    pose: Crouch


@pytest.fixture
def chosen() -> Chosen:
    body = biped()
    mirror = mirror_of(body, BIPED)
    leg = find_leg(body, mirror)
    return Chosen(body, mirror, leg, solve_crouch(body, mirror, leg, 0.2))


def test_the_knee_holds_half_of_the_weight(chosen: Chosen) -> None:
    body, _, leg, pose = chosen
    posture = body.pose(pose.position)
    torque = standing_torque(body, leg, pose.position)
    # Knee, shank and foot are held by the ground, and so what is above the knee weighs on it.
    sole = posture.link_position[leg.foot] + posture.link_rotation[leg.foot] @ leg.sole
    arm = posture.joint_anchor[leg.knee][0] - sole[0]
    below = [body.links.index(name) for name in ("right_shank", "right_foot")]
    gravity = 9.81 * sum(
        body.mass[link] * (posture.joint_anchor[leg.knee][0] - posture.link_position[link][0]) for link in below
    )
    assert abs(torque[leg.knee]) == pytest.approx(0.5 * 2.9 * 9.81 * arm - gravity, rel=0.25)


def test_gravity_takes_away_a_known_part_of_the_stiffness(chosen: Chosen) -> None:
    body, mirror, leg, pose = chosen
    weak, parts = toppling(body, mirror, leg, pose.position, np.full(9, 1.0))
    stiff, _ = toppling(body, mirror, leg, pose.position, np.full(9, 10.0))
    assert weak == pytest.approx(10.0 * stiff, rel=1e-3)
    assert parts.sum() == pytest.approx(1.0)
    # Were all joints but the ankle rigid, it would be half the weight times the height of the centre of mass.
    rigid = np.full(9, 1e6)
    rigid[leg.ankle] = 10.0
    posture = body.pose(pose.position)
    height = posture.center_of_mass[2] - posture.joint_anchor[leg.ankle][2]
    # The feet stay on the ground and are no part of what topples.
    ankle, _ = toppling(body, mirror, leg, pose.position, rigid)
    assert ankle == pytest.approx(0.5 * 2.9 * 9.81 * height / 10.0, rel=0.05)


def test_servos_can_carry_the_robot_and_are_alike_on_both_sides(chosen: Chosen) -> None:
    body, mirror, leg, pose = chosen
    gains = choose_gains(body, mirror, leg, pose, FREQUENCY)
    unstable, _ = toppling(body, mirror, leg, pose.position, gains.stiffness)
    assert unstable <= 1.0 / CARRY
    assert (np.abs(standing_torque(body, leg, pose.position)) <= SAG * gains.stiffness + 1e-9)[list(leg.joints)].all()
    for value in gains:
        assert value == pytest.approx(value[list(mirror.others)])
    inertia = np.diag(body.pose(pose.position).mass_matrix) + gains.armature
    assert (gains.stiffness >= 0.999 * inertia * (2.0 * np.pi * FREQUENCY) ** 2).all()
    assert gains.effort == pytest.approx(np.full(9, 12.0))


def test_what_the_model_does_not_say_is_guessed(chosen: Chosen) -> None:
    body, mirror, leg, pose = chosen
    silent = dataclasses.replace(body, effort=np.full(9, np.nan))
    gains = choose_gains(silent, mirror, leg, pose, FREQUENCY)
    assert (gains.effort > np.abs(standing_torque(body, leg, pose.position))).all()
