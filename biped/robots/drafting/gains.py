"""Gains for the servos of a body, from what each joint moves and from the weight that it carries."""

import math
from typing import NamedTuple

import numpy as np

from biped.robots.body import Array, Body, Posture
from biped.robots.drafting.crouch import Crouch, symmetric
from biped.robots.drafting.legs import Leg, in_base
from biped.robots.drafting.mirror_guess import MirrorGuess

GRAVITY = 9.81
"""m/s^2."""
CARRY = 2.5
"""How much stiffer the legs are than gravity is unstable."""
SIDEWAYS = 0.5
"""How stiff every joint of a leg is at least, over that by which gravity is unstable above it."""
SAG = 0.04
"""rad, that a joint may give way under the weight in the default pose."""
USUAL_ARMATURE = 0.01
"""kg m^2, where the model file says nothing."""
DAMPING_RATIO = 0.7
LAG = 0.06
"""s, damping over stiffness at the least, as what moves is heavier while a foot is on the ground."""
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
    stiffness = np.maximum(inertia * (2.0 * math.pi * frequency) ** 2, torque / SAG)
    share = _share_of_weight(body, leg, posture)
    stiffness = np.maximum(stiffness, SIDEWAYS * share)
    while True:
        unstable, parts = toppling(body, mirror, leg, pose.position, stiffness)
        if unstable <= 1.0 / CARRY:
            break
        # Where it gives way most.
        stiffness[list(leg.bending)] *= 1.0 + 0.05 * parts / parts.max()
    effort = np.where(np.isnan(body.effort), np.maximum(SPARE * torque, 0.5 * stiffness), body.effort)
    order = list(mirror.others)
    # Standing is computed for the right leg; both sides get the stronger servo of the two.
    stiffness, effort, inertia, armature = (
        np.maximum(one, one[order]) for one in (stiffness, effort, inertia, armature)
    )
    damping = np.maximum(2.0 * DAMPING_RATIO * np.sqrt(stiffness * inertia), LAG * stiffness)
    return Gains(stiffness, damping, effort, armature)


def _share_of_weight(body: Body, leg: Leg, posture: Posture) -> Array:
    """N m/rad `[J]` by which gravity pulls over what stands on each joint of the right leg alone; 1e-6 at the least.

    Half the weight times the height of the centre of mass above the joint.
    """
    height = posture.center_of_mass[2] - posture.joint_anchor[:, 2]
    share = np.full(len(body.joints), 1e-6)
    joints = list(leg.joints)
    share[joints] = np.maximum(share, 0.5 * float(body.mass.sum()) * GRAVITY * height)[joints]
    return share


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


def toppling(body: Body, mirror: MirrorGuess, leg: Leg, position: Array, stiffness: Array) -> tuple[float, Array]:
    """How much of the stiffness of both legs gravity takes away; from 1 on the robot topples from its own pose.

    Hip, knee and ankle give way one after the other, so that all of them count. The feet stay flat where they are, and
    both legs bend alike; what tilts them sideways is held by the other leg.

    Args:
        body: the robot.
        mirror: of its joints.
        leg: the right leg.
        position: `[J]` rad, the pose.
        stiffness: `[J]` N m/rad.

    Returns:
        That part of the stiffness, and how much each of `leg.bending` has to do with it; these add up to 1.
    """
    joints = list(leg.bending)

    def energy(change: Array) -> float:
        """J of one half of the robot, whose pose differs by `change` in the joints that bend the leg."""
        moved = position.copy()
        moved[joints] += change
        posture = body.pose(symmetric(moved, mirror, leg))
        up = posture.link_rotation[leg.foot] @ leg.normal
        height = float(up @ (posture.center_of_mass - in_base(posture, leg.foot, leg.sole)))
        return 0.5 * float(body.mass.sum()) * GRAVITY * height

    # In units in which all servos are equally stiff.
    weakest = stiffness[joints].min()
    steps = 0.01 * np.diag(np.sqrt(weakest / stiffness[joints]))
    curvature = np.array(
        [[energy(a + b) - energy(a - b) - energy(b - a) + energy(-a - b) for a in steps] for b in steps]
    )
    curvature /= 4.0 * 0.01**2 * weakest
    values, vectors = np.linalg.eigh(curvature)
    return max(0.0, float(-values[0])), vectors[:, 0] ** 2
