"""A default pose: knees bent, soles flat, and the weight above the middle of the soles."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from biped.robots.body import Array, Body
from biped.robots.drafting.legs import Leg, in_base
from biped.robots.drafting.mirror_guess import MirrorGuess

LARGEST_ANGLE = 2.6
"""rad, that a joint without limits is bent by at most."""
MARGIN = 0.02
"""Part of its range that a joint keeps from its limits."""
ITERATIONS = 60


class Crouch(NamedTuple):
    """A default pose and how well it came out."""

    position: Array
    """`[J]` rad, in the order of `Body.joints`."""
    height: float
    """m, of the base above the soles."""
    tilt: float
    """rad, between sole and ground."""
    offset: float
    """m, of the centre of mass ahead of the middle of the soles."""


def solve_crouch(body: Body, mirror: MirrorGuess, leg: Leg, depth: float) -> Crouch:
    """The symmetric pose in which the legs are shortened by `depth`, a part of their length from hip to ankle.

    All other joints stay at 0, or as near as their limits allow. The feet lie below the last joint of the hip, which is
    narrower than where they are at 0 on robots that straddle, and point forwards. The knees point forwards, or
    backwards on robots whose knees bend only that way.
    """
    low, high = symmetric_limits(body, mirror)
    start = np.clip(np.zeros(len(body.joints)), low, high)
    start[leg.knee] = _bent_knee(body, leg, depth, low, high)
    free = [joint for joint in leg.joints if joint != leg.knee]
    knee_place = leg.joints.index(leg.knee)
    last_hip = leg.joints[max(knee_place - 1, 0)]
    width = body.pose(np.zeros(len(body.joints))).joint_anchor[last_hip][1]
    scale = body.height()

    def whole(angles: Array) -> Array:
        position = start.copy()
        position[free] = angles
        return symmetric(position, mirror, leg)

    def residuals(angles: Array) -> Array:
        posture = body.pose(whole(angles))
        rotation = posture.link_rotation[leg.foot]
        sole = in_base(posture, leg.foot, leg.sole)
        normal, forward = rotation @ leg.normal, rotation @ leg.forward
        place = (sole[0] - posture.center_of_mass[0]) / scale, (sole[1] - width) / scale
        # The last part decides where several poses are as good.
        return np.array([*normal[:2], forward[1], *place, *(0.003 * (angles - start[free]))])

    position = whole(least_squares(residuals, start[free], low[free], high[free]))
    posture = body.pose(position)
    sole = in_base(posture, leg.foot, leg.sole)
    upright = float((posture.link_rotation[leg.foot] @ leg.normal)[2])
    return Crouch(
        position,
        height=float(-sole[2]),
        tilt=float(np.arccos(min(1.0, upright))),
        offset=float(posture.center_of_mass[0] - sole[0]),
    )


def symmetric_limits(body: Body, mirror: MirrorGuess) -> tuple[Array, Array]:
    """Lowest and highest angles `[J]` in rad that both sides can take, a little inside of their limits."""
    low, high = np.clip(body.joint_range, -LARGEST_ANGLE, LARGEST_ANGLE).T
    order, sign = list(mirror.others), np.array(mirror.signs)
    images = np.sort(np.stack((sign * low[order], sign * high[order])), axis=0)
    low, high = np.maximum(low, images[0]), np.minimum(high, images[1])
    margin = MARGIN * np.maximum(high - low, 0.0)
    return low + margin, high - margin


def symmetric(position: Array, mirror: MirrorGuess, leg: Leg) -> Array:
    """The pose `[J]` whose left leg is the mirror image of its right one; what else is paired follows the first."""
    result = position.copy()
    for joint, (other, sign) in enumerate(zip(mirror.others, mirror.signs, strict=True)):
        if other != joint and (joint in leg.joints or (other not in leg.joints and joint < other)):
            result[other] = sign * position[joint]
    return result


def least_squares(residuals: Callable[[Array], Array], start: Array, low: Array, high: Array) -> Array:
    """Where the sum of squared `residuals` is least between `low` and `high`, from `start` on: Levenberg-Marquardt."""
    x, damping = start.copy(), 1e-3
    value = residuals(x)
    for _ in range(ITERATIONS):
        steps = 1e-6 * np.eye(len(x))
        slope = np.stack([(residuals(x + step) - residuals(x - step)) / 2e-6 for step in steps], axis=1)
        # A joint at its limit that is pulled beyond it stays there and lets the others move.
        pull = -slope.T @ value
        moving = ~(((x <= low) & (pull < 0.0)) | ((x >= high) & (pull > 0.0)))
        if not moving.any():
            break
        part = slope[:, moving]
        step = np.zeros_like(x)
        step[moving] = np.linalg.solve(part.T @ part + damping * np.eye(part.shape[1]), pull[moving])
        candidate = np.clip(x + step, low, high)
        found = residuals(candidate)
        if found @ found < value @ value:
            moved = float(np.abs(candidate - x).max())
            x, value, damping = candidate, found, 0.3 * damping
            if moved < 1e-9:
                break
        else:
            damping *= 5.0
    return x


def _bent_knee(body: Body, leg: Leg, depth: float, low: Array, high: Array) -> float:
    """The angle of the knee in rad at which hip and ankle are nearer to each other by the part `depth` of the most."""
    angles = np.linspace(low[leg.knee], high[leg.knee], 521)
    lengths, bends = np.zeros_like(angles), np.zeros_like(angles)
    position = np.clip(np.zeros(len(body.joints)), low, high)
    for index, angle in enumerate(angles):
        position[leg.knee] = angle
        anchor = body.pose(position).joint_anchor
        end = anchor[leg.ankle] if leg.ankle != leg.knee else in_base(body.pose(position), leg.foot, leg.sole)
        thigh, shank = anchor[leg.knee] - anchor[leg.hip], end - anchor[leg.knee]
        lengths[index] = np.linalg.norm(thigh + shank)
        # Positive where the knee lies before the line from hip to ankle.
        bends[index] = thigh[2] * shank[0] - thigh[0] * shank[2]
    wanted = (1.0 - depth) * lengths.max()
    error = np.abs(lengths - wanted)
    forwards = np.where(bends >= 0.0, error, np.inf)
    best = int(np.argmin(forwards))
    if forwards[best] > 0.02 * wanted:
        best = int(np.argmin(error))
    return float(angles[best])
