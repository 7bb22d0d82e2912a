"""The right leg of a body: its joints from the base to the foot, which of them is the knee, and its sole."""

from typing import NamedTuple

import numpy as np

from biped.robots.body import Array, Body, Posture, foot_corners
from biped.robots.drafting.feet import find_feet, find_sole
from biped.robots.drafting.mirror_guess import MirrorGuess

PITCH = 0.7
"""How much of a joint's axis must point along y for it to bend the leg forwards and backwards."""
YAW = 0.6
"""How much of a hip joint's axis must be vertical for the robot to turn by it."""


class Leg(NamedTuple):
    """The right leg. Joints and links are indices into `Body`."""

    joints: tuple[int, ...]
    """From the base to the foot."""
    bending: tuple[int, ...]
    """Those of them that bend it forwards and backwards."""
    knee: int
    """The one of these in the middle."""
    foot: int
    """Link of the foot."""
    left_foot: int
    sole: Array
    """`[3]` m, centre of the sole in the link of the foot."""
    left_sole: Array
    normal: Array
    """`[3]` upwards from the sole, in the link of the foot."""
    forward: Array
    """`[3]` forwards along the sole, in the link of the foot."""

    @property
    def hip(self) -> int:
        """The first joint that bends the leg."""
        return self.bending[0]

    @property
    def ankle(self) -> int:
        """The last joint that bends the leg; the knee on one without an ankle."""
        return self.bending[-1]


def find_leg(body: Body, mirror: MirrorGuess) -> Leg:
    """The right leg, in the posture with all joints at 0.

    Raises:
        ValueError: there are no feet, or the leg does not bend about y; the message says what to do.
    """
    posture = body.pose(np.zeros(len(body.joints)))
    foot, left_foot = find_feet(body, mirror.others)
    # A joint in the middle, such as a waist between the base and both legs, is no part of one leg.
    joints = tuple(joint for joint in body.chain(foot) if mirror.others[joint] != joint)
    bending = [joint for joint in joints if abs(posture.joint_axis[joint][1]) > PITCH]
    if len(bending) < 2:
        names = ", ".join(body.joints[joint] for joint in joints)
        raise ValueError(
            f"the leg of {body.links[foot]} has {len(bending)} joints about y among {names or 'none'}, and needs two "
            "to bend; the frame of the base must be x forward, y left, z up: turn it in the model if it is not"
        )
    sole = find_sole(foot_corners(body, posture, foot))
    left = find_sole(foot_corners(body, posture, left_foot))
    return Leg(
        joints=joints,
        bending=tuple(bending),
        knee=bending[len(bending) // 2],
        foot=foot,
        left_foot=left_foot,
        sole=in_link(posture, foot, sole.center),
        left_sole=in_link(posture, left_foot, left.center),
        normal=posture.link_rotation[foot].T @ sole.normal,
        forward=posture.link_rotation[foot].T @ np.array([sole.normal[2], 0.0, -sole.normal[0]]),
    )


def in_link(posture: Posture, link: int, point: Array) -> Array:
    """A point `[3]` of the frame of the base in the frame of a link, in m."""
    turned: Array = posture.link_rotation[link].T @ (point - posture.link_position[link])
    return turned


def in_base(posture: Posture, link: int, point: Array) -> Array:
    """A point `[3]` of the frame of a link in the frame of the base, in m."""
    turned: Array = posture.link_position[link] + posture.link_rotation[link] @ point
    return turned


def turns_about_vertical(body: Body, leg: Leg) -> bool:
    """Whether the leg has a hip joint about the vertical, by which the robot can turn on the spot."""
    axes = body.pose(np.zeros(len(body.joints))).joint_axis
    return any(abs(axes[joint][2]) > YAW for joint in leg.joints)
