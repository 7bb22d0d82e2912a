"""What is wrong with the mirror image of a robot: pairs, signs, masses, and a default pose with two different sides."""

from collections.abc import Iterator

import numpy as np

from biped.robots.body import Body
from biped.robots.checks.findings import Finding, suspicious, wrong
from biped.robots.drafting.feet import link_pairs
from biped.robots.drafting.mirror_guess import GOOD, expected_sign, mirror_error, unlikeness
from biped.robots.robot import Robot

ALIKE = 0.03
"""Difference between mass matrices of a posture and its image that published models of symmetric robots stay below."""
SAME_ANGLE = 0.01
"""rad."""


def check_mirror(body: Body, robot: Robot) -> Iterator[Finding]:
    """Joints that mirror the wrong one or with the wrong sign, and sides that are not alike."""
    posture = body.pose(np.zeros(len(body.joints)))
    distance = unlikeness(posture, body.height())
    names = robot.joint_names
    places = [body.joints.index(name) for name in names]
    mistaken = False
    for joint, (other, sign) in enumerate(zip(robot.mirror_joints, robot.mirror_signs, strict=True)):
        here, there = places[joint], places[other]
        where = f"joints.{names[joint]}.mirror"
        if distance[here, there] > GOOD:
            mistaken = True
            best = int(np.argmin(distance[here]))
            likely = f"{'-' if expected_sign(posture, here, best) < 0.0 else ''}{body.joints[best]}"
            remedy = f"its image is {likely}" if distance[here, best] < GOOD else "the model is not alike on both sides"
            yield wrong(where, f"{names[other]} is not where its mirror image would be", remedy)
        elif expected_sign(posture, here, there) != sign:
            mistaken = True
            word = "opposite" if sign > 0.0 else "equal"
            yield wrong(
                where,
                f"a symmetric posture has {word} angles of {names[joint]} and {names[other]}",
                f"write mirror: {'-' if sign > 0.0 else ''}{names[other]}",
            )
    if not mistaken and len(places) == len(body.joints):
        yield from _masses(body, robot, places)
    yield from _pose_and_servos(robot)


def _masses(body: Body, robot: Robot, places: list[int]) -> Iterator[Finding]:
    """Links that weigh more on one side; the mass matrix also sees where in them the weight is."""
    others, signs, center = (np.zeros(len(places), dtype=kind) for kind in (int, float, float))
    for joint, place in enumerate(places):
        others[place] = places[robot.mirror_joints[joint]]
        signs[place] = robot.mirror_signs[joint]
        center[place] = robot.default_joint_position[joint]
    heavier = [
        (link, other)
        for link, other in link_pairs(body, body.pose(np.zeros(len(places))), others.tolist())
        if abs(body.mass[link] - body.mass[other]) > ALIKE * max(body.mass[link], body.mass[other])
    ]
    for link, other in heavier:
        yield suspicious(
            f"links {body.links[link]} and {body.links[other]}",
            f"they mirror each other and weigh {body.mass[link]:.4g} and {body.mass[other]:.4g} kg",
            "a policy that is mirrored takes them for equal; correct the masses if they are",
        )
    error = mirror_error(body, others.tolist(), signs.tolist(), center)
    if error.max() > ALIKE and not heavier:
        yield suspicious(
            f"joint {body.joints[int(error.argmax())]}",
            f"the mass matrix of a posture differs from that of its mirror image by {error.max():.0%}",
            "compare inertias and centres of mass of both sides",
        )


def _pose_and_servos(robot: Robot) -> Iterator[Finding]:
    for joint, (other, sign) in enumerate(zip(robot.mirror_joints, robot.mirror_signs, strict=True)):
        if other < joint:
            continue
        one, two = robot.joint_names[joint], robot.joint_names[other]
        angle, image = robot.default_joint_position[joint], sign * robot.default_joint_position[other]
        if abs(angle - image) > SAME_ANGLE:
            remedy = f"write {image:g}, or change {two}" if other != joint else "write 0"
            yield wrong(f"joints.{one}.default", f"{angle:g} rad is not the mirror image of {two}", remedy)
        for quantity in ("stiffness", "damping", "effort_limit", "armature"):
            values = getattr(robot, quantity)
            if values[joint] != values[other]:
                yield suspicious(
                    f"joints.{one}.{quantity.removesuffix('_limit')}",
                    f"it is {values[joint]:g}, and {values[other]:g} for {two}",
                    "give both sides the same servo",
                )
    right, left = robot.sole_offsets
    if abs(np.linalg.norm(right) - np.linalg.norm(left)) > 0.002:
        yield suspicious(
            "feet", "the soles lie differently in their links", "compare feet.right.sole and feet.left.sole"
        )
