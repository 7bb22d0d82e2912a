"""Which links are the feet of a body, and where their soles are."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from biped.robots.body import MIRROR, Array, Body, Posture, foot_corners

MOST_CORNERS = 40
"""Corners of a foot that its sole is looked for among: the lowest ones."""
FLAT = 0.002
"""m, how far corners may lie above the plane of a sole that they belong to."""


class Sole(NamedTuple):
    """The face that a foot stands on, in the frame that its corners were given in."""

    center: Array
    """`[3]` m, the middle of the face."""
    normal: Array
    """`[3]` unit vector, upwards; vertical for a foot of a point or an edge."""
    half_size: Array
    """`[2]` m, half of what the face measures along x and y."""


def find_feet(body: Body, others: Sequence[int]) -> tuple[int, int]:
    """The links of the right and the left foot: of those that mirror each other, the pair with the lowest shapes.

    Args:
        body: the robot.
        others: for each joint the one on the other side.

    Raises:
        ValueError: there is no such pair; the message says what to do.
    """
    posture = body.pose(np.zeros(len(body.joints)))
    lowest = {
        link: float(points[:, 2].min())
        for link in range(len(body.links))
        if len(points := foot_corners(body, posture, link))
    }
    pairs = [(link, other) for link, other in link_pairs(body, posture, others) if link in lowest and other in lowest]
    if not pairs:
        shaped = ", ".join(body.links[link] for link in lowest) or "none"
        raise ValueError(
            "no two feet are found: no link with a collision shape has a mirror image that has one too (with a shape: "
            f"{shaped}); give each foot a box, as the meshes of an MJCF are only looked at"
        )
    link, other = min(pairs, key=lambda pair: max(lowest[pair[0]], lowest[pair[1]]))
    return (link, other) if posture.link_position[link][1] < posture.link_position[other][1] else (other, link)


def link_pairs(body: Body, posture: Posture, others: Sequence[int]) -> list[tuple[int, int]]:
    """Links that are each other's mirror image, each pair once; those in the middle are left out."""
    hangs = [max(body.chain(link), default=-1, key=body.chain(link).index) for link in range(len(body.links))]
    position, scale = posture.link_position, body.height()
    pairs = []
    for link, joint in enumerate(hangs):
        if joint < 0 or others[joint] == joint:
            continue
        fitting = [other for other, hang in enumerate(hangs) if hang == others[joint]]
        gap = {other: float(np.linalg.norm(position[other] - MIRROR * position[link])) for other in fitting}
        best = min(gap, key=lambda other: gap[other], default=link)
        if best > link and gap[best] < 0.05 * scale:
            pairs.append((link, best))
    return pairs


def find_sole(points: Array) -> Sole:
    """The face of a foot's hull that it would stand on, turned as it is.

    Args:
        points: `[P, 3]` m, its corners in a frame whose z axis is up; at least one.
    """
    lowest = points[np.argsort(points[:, 2], kind="stable")][:MOST_CORNERS]
    middle = 0.5 * (lowest.max(axis=0) + lowest.min(axis=0))[:2]
    slope, height = _supporting_plane(lowest, middle)
    plane = height + (points[:, :2] - middle) @ slope
    face = points[points[:, 2] - plane < FLAT]
    low, high = face.min(axis=0), face.max(axis=0)
    center = 0.5 * (low + high)
    center[2] = height + (center[:2] - middle) @ slope
    normal = np.array([-slope[0], -slope[1], 1.0])
    return Sole(center, normal / np.linalg.norm(normal), 0.5 * (high - low)[:2])


def _supporting_plane(points: Array, middle: Array) -> tuple[Array, float]:
    """Slope `[2]` of the plane through three points that none lies below, highest at `middle`, and its height there."""
    if len(points) >= 3:
        triples = points[np.array(list(combinations(range(len(points)), 3)))]
        edges = triples[:, 1:] - triples[:, :1]
        determinant = np.linalg.det(edges[:, :, :2])
        sound = np.abs(determinant) > 1e-9
        triples, edges = triples[sound], edges[sound]
        if len(triples):
            slopes = np.linalg.solve(edges[:, :, :2], edges[:, :, 2:])[..., 0]
            heights = triples[:, 0, 2] + ((middle - triples[:, 0, :2]) * slopes).sum(axis=1)
            planes = heights[:, None] + slopes @ (points[:, :2] - middle).T
            below = (planes > points[:, 2] + 1e-6).any(axis=1)
            if not below.all():
                best = int(np.argmax(np.where(below, -np.inf, heights)))
                return slopes[best], float(heights[best])
    return np.zeros(2), float(points[:, 2].min())
