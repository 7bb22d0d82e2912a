"""A robot's body as numbers: links, joints and shapes of its model file, and where they are in a posture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIRROR = np.array([1.0, -1.0, 1.0])
"""Factors on a vector seen in the x-z plane as a mirror; a vector that something turns about has the opposite ones."""


class CollisionShape(NamedTuple):
    """One shape that a link collides with: the points within `radius` of the convex hull of `points`."""

    link: int
    points: Array
    """`[P, 3]` m, in the link."""
    radius: float
    """m."""


class Posture(NamedTuple):
    """A body of `L` links and `J` joints with its base upright at the origin, in the frame of the base."""

    link_position: Array
    """`[L, 3]` m."""
    link_rotation: Array
    """`[L, 3, 3]` from link to base."""
    joint_anchor: Array
    """`[J, 3]` m, a point on each joint's axis."""
    joint_axis: Array
    """`[J, 3]` unit vectors."""
    moved_center: Array
    """`[J, 3]` m, centre of mass of all that each joint moves."""
    center_of_mass: Array
    """`[3]` m, of the whole robot."""
    mass_matrix: Array
    """`[J, J]` kg m^2, of the joints while the base is held, without armature."""
    gravity_torque: Array
    """`[J]` N m with which the joints hold the links up while the base is held and no foot touches anything."""


@dataclass(frozen=True)
class Body:
    """What a model file says, as an engine reads it. Parents come before their children; link 0 is the base."""

    path: Path
    """The model file."""
    links: tuple[str, ...]
    parents: tuple[int, ...]
    """Index of each link's parent, -1 for the base."""
    mass: Array
    """`[L]` kg."""
    gyration: Array
    """`[L]` m, largest radius of gyration: root of inertia over mass, 0 for a link without mass."""
    joints: tuple[str, ...]
    """Names of the joints that turn about an axis, in the order of the file."""
    joint_link: tuple[int, ...]
    """The link that each joint moves."""
    joint_range: Array
    """`[J, 2]` rad, infinite where there is no limit."""
    effort: Array
    """`[J]` N m, largest torque; NaN where the file does not say."""
    armature: Array
    """`[J]` kg m^2; 0 where the file does not say."""
    shapes: tuple[CollisionShape, ...]
    pose: Callable[[Sequence[float] | Array], Posture]
    """The posture with these joint positions `[J]` in rad."""

    def chain(self, link: int) -> tuple[int, ...]:
        """Joints between the base and a link, from the base outwards."""
        joints: list[int] = []
        while link >= 0:
            joints = [joint for joint, moved in enumerate(self.joint_link) if moved == link] + joints
            link = self.parents[link]
        return tuple(joints)

    def height(self) -> float:
        """m, what the body measures along its longest side while all joints are at 0: the scale of its parts."""
        posture = self.pose(np.zeros(len(self.joints)))
        points = [posture.joint_anchor, posture.link_position, *(corners(posture, one) for one in self.shapes)]
        every = np.concatenate(points)
        return float((every.max(axis=0) - every.min(axis=0)).max())


def corners(posture: Posture, shape: CollisionShape) -> Array:
    """The points `[P, 3]` of a shape, lowered by its radius, in the frame of the base, in m."""
    points: Array = posture.link_position[shape.link] + shape.points @ posture.link_rotation[shape.link].T
    points[:, 2] -= shape.radius
    return points


def foot_corners(body: Body, posture: Posture, link: int) -> Array:
    """`corners` of all shapes of one link, `[P, 3]`; none where it has no shape."""
    found = [corners(posture, shape) for shape in body.shapes if shape.link == link]
    return np.concatenate(found) if found else np.zeros((0, 3))


def mirrored_axis(axis: Array) -> Array:
    """What a joint turns about, `[..., 3]`, as seen in the mirror."""
    return -MIRROR * axis
