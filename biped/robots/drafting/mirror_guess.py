"""Which joints are each other's mirror image, from names and geometry, and how far a body is from its own image."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from biped.robots.body import MIRROR, Array, Body, Posture, mirrored_axis

GOOD = 0.05
"""Largest `unlikeness` of two joints that mirror each other; published models differ by up to 0.02."""
SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}


class MirrorGuess(NamedTuple):
    """The joints on the other side of each one. Both in the order of `Body.joints`."""

    others: tuple[int, ...]
    """The joint's own index in the middle."""
    signs: tuple[float, ...]
    """1 or -1, the factor between its angle and the other one's in a symmetric posture."""


def guess_mirror(body: Body) -> MirrorGuess:
    """The mirror image of each joint: by name where a name has a counterpart, else by geometry alone.

    Raises:
        ValueError: a joint has no mirror image; the message names it and says what to do.
    """
    posture = body.pose(np.zeros(len(body.joints)))
    distance = unlikeness(posture, body.height())
    others: list[int] = []
    for joint, name in enumerate(body.joints):
        named = [other for other, word in enumerate(body.joints) if word in counterparts(name)]
        best = min(named, key=lambda other: distance[joint, other], default=None)
        if best is None or distance[joint, best] > GOOD:
            best = int(np.argmin(distance[joint]))
            # Both knees of a robot turn about one line, so a joint in the middle must also move what is in the middle.
            if distance[joint, joint] <= distance[joint, best] + 1e-9:
                best = joint
        if distance[joint, best] > GOOD:
            raise ValueError(
                f"joint {name} has no mirror image: the nearest, {body.joints[best]}, is off by "
                f"{distance[joint, best]:.0%} of the robot's size; robots here are alike on both sides of the x-z "
                "plane of their base, x forward and y left"
            )
        others.append(best)
    for joint, other in enumerate(others):
        if others[other] != joint:
            raise ValueError(
                f"joint {body.joints[joint]} looks like the mirror image of {body.joints[other]}, and that one like "
                f"that of {body.joints[others[other]]}; name them alike, such as left_knee and right_knee"
            )
    signs = [expected_sign(posture, joint, other) for joint, other in enumerate(others)]
    return MirrorGuess(tuple(others), tuple(signs))


def unlikeness(posture: Posture, height: float) -> Array:
    """How much each joint's mirror image differs from each other joint, `[J, J]`; 0 for a perfect one.

    The largest of: the distance between their axes and half of that between the centres of what they move, both over
    `height`, and half of the angle between their axes in rad.
    """
    anchor, axis = posture.joint_anchor * MIRROR, mirrored_axis(posture.joint_axis)
    gap = posture.joint_anchor[None] - anchor[:, None]
    along = np.einsum("jkx,kx->jk", gap, posture.joint_axis)[..., None] * posture.joint_axis[None]
    between = np.linalg.norm(gap - along, axis=-1) / height
    moved = np.linalg.norm(posture.moved_center[None] - posture.moved_center[:, None] * MIRROR, axis=-1) / height
    angle = np.arccos(np.clip(np.abs(axis @ posture.joint_axis.T), 0.0, 1.0))
    unlike: Array = np.maximum(np.maximum(between, 0.5 * moved), 0.5 * angle)
    return unlike


def expected_sign(posture: Posture, joint: int, other: int) -> float:
    """1 or -1: the factor between a joint's angle and that of its mirror image in a symmetric posture."""
    image = mirrored_axis(posture.joint_axis[joint])
    return 1.0 if float(image @ posture.joint_axis[other]) > 0.0 else -1.0


def counterparts(name: str) -> set[str]:
    """What a joint or link may be called on the other side: one `left`, `right`, `l` or `r` in its name exchanged."""
    found = set()
    for pattern in ("left|right", "l|r"):
        for match in re.finditer(pattern, name, flags=re.IGNORECASE):
            word = match[0]
            side = SIDES[word.lower()]
            side = side.upper() if word.isupper() else side.capitalize() if word[0].isupper() else side
            found.add(name[: match.start()] + side + name[match.end() :])
    return found


def mirror_error(body: Body, others: Sequence[int], signs: Sequence[float], center: Array) -> Array:
    """How much the mass matrix of a posture differs from that of its mirror image, per joint `[J]`.

    The largest difference in a joint's row over the square root of the two diagonal elements, over three random
    postures around a symmetric one.

    Args:
        body: the robot.
        others: the joint on the other side of each.
        signs: factors between their angles.
        center: `[J]` rad, the posture that the random ones lie around.
    """
    order, factor = list(others), np.asarray(signs)
    low, high = np.clip(body.joint_range, center[:, None] - 0.5, center[:, None] + 0.5).T
    generator = np.random.default_rng(1)
    worst = np.zeros(len(order))
    for _ in range(3):
        posture = generator.uniform(low, high)
        matrix = body.pose(posture).mass_matrix
        image = body.pose(factor * posture[order]).mass_matrix
        image = image[np.ix_(order, order)] * np.outer(factor, factor)
        scale = np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
        worst = np.maximum(worst, (np.abs(image - matrix) / scale).max(axis=1))
    return worst
