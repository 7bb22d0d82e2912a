"""Gains for the servos of a body, from what each joint moves and from the weight that it carries."""

import math
from typing import NamedTuple

import numpy as np

from biped.robots.body import Array, Body
from biped.robots.crouch import Crouch
from biped.robots.legs import Leg, in_base
from biped.robots.mirror_guess import MirrorGuess

GRAVITY = 9.81
"""m/s^2."""
CARRY = 2.0
"""How much stiffer a leg's joint is than gravity is unstable."""
SIDEWAYS = 0.3
"""Part of that for joints that tilt sideways, where the other leg helps."""
SAG = 0.08
"""rad, that a joint may give way under the weight in the default pose."""
USUAL_ARMATURE = 0.01
"""kg m^2, where the model file says nothing."""
DAMPING_RATIO = 0.7
SPARE = 4.0
"""Times the torque of standing that a servo can give, where the model file does not say what it can."""


class Gains(NamedTuple):
    """Servos of all joints, `[J]` each."""

    stiffness: Array
    """N m/rad."""
    damping: Array
    """N m s/rad."""
    effort: Array
    """N m."""
    armature: Array
    """kg m^2."""


def choose_gains(body: Body, mirror: MirrorGuess, leg: Leg, pose: Crouch, frequency: float) -> Gains:
    """Servos that swing what they move at `frequency` Hz, and that are stiff enough to stand in `pose`."""
    posture = body.pose(pose.position)
    armature = np.where(body.armature > 0.0, body.armature, USUAL_ARMATURE)
    inertia = np.diag(posture.mass_matrix) + armature
    torque = np.abs(standing_torque(body, leg, pose.position))
    unstable = toppling_stiffness(body, leg, pose.position)
    stiffness = np.maximum(inertia * (2.0 * math.pi * frequency) ** 2, np.maximum(CARRY * unstable, torque / SAG))
    effort = np.where(np.isnan(body.effort), np.maximum(SPARE * torque, 0.5 * stiffness), body.effort)
    order = list(mirror.others)
    # Standing is computed for the right leg; both sides get the stronger servo of the two.
    stiffness, effort, inertia, armature = (
        np.maximum(one, one[order]) for one in (stiffness, effort, inertia, armature)
    )
    damping = 2.0 * DAMPING_RATIO * np.sqrt(stiffness * inertia)
    return Gains(stiffness, damping, effort, armature)


def standing_torque(body: Body, leg: Leg, position: Array) -> Array:
    """Torques `[J]` in N m with which the joints hold the robot up, half the weight on the centre of each sole.

    Those of the left leg are left at what holds it up in the air.
    """
    posture = body.pose(position)
    sole = in_base(posture, leg.foot, leg.sole)
    torque = posture.gravity_torque.copy()
    for joint in leg.joints:
        lever = np.cross(posture.joint_axis[joint], sole - posture.joint_anchor[joint])
        torque[joint] -= 0.5 * float(body.mass.sum()) * GRAVITY * lever[2]
    return torque


def toppling_stiffness(body: Body, leg: Leg, position: Array) -> Array:
    """N m/rad `[J]` that each joint of the right leg needs at least, lest the weight above it topples.

    Half the weight times the height of the centre of mass above the joint; for a joint about x a part of it.
    """
    posture = body.pose(position)
    needed = np.zeros(len(body.joints))
    for joint in leg.joints:
        height = max(0.0, float(posture.center_of_mass[2] - posture.joint_anchor[joint][2]))
        x, y, _ = posture.joint_axis[joint] ** 2
        needed[joint] = 0.5 * float(body.mass.sum()) * GRAVITY * height * (y + SIDEWAYS * x)
    return needed
