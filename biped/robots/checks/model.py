"""What is wrong with the model file of a robot: units, masses, limits, meshes, joints that nobody drives."""

import math
from collections.abc import Iterator

import numpy as np

from biped.robots.body import Body, Posture
from biped.robots.checks.findings import Finding, suspicious, wrong
from biped.robots.model_file import ModelFile, missing_meshes
from biped.robots.robot import Robot

MASSES = 0.2, 300.0
"""kg, of a whole robot."""
HEIGHTS = 0.08, 3.0
"""m, of a standing base."""
GYRATION = 0.002, 0.5
"""Radii of gyration of a link: the smallest in m, the largest as a part of the robot's size."""
GENESIS_ARMATURE = 0.1
"""kg m^2, what Genesis gives joints whose armature it is not told."""
PLACEHOLDER_EFFORT = 100.0
"""N m per N of the robot's weight times its height, beyond which no servo is."""


def check_model(body: Body, robot: Robot) -> Iterator[Finding]:
    """What is odd about the model file, seen alone and beside the robot file."""
    if robot.base_link != body.links[0]:
        root = body.links[0]
        remedy = f"name {root}" if body.mass[0] > 0.0 else f"leave {root} out of the model, as it has no mass"
        yield wrong("base", f"{robot.base_link} hangs from {root}, the root of the model", remedy)
    yield from _joints(body, robot)
    yield from _units(body, robot)
    yield from _inertias(body)
    yield from _servos(body, robot)
    for name in missing_meshes(body.path):
        yield suspicious(f"mesh {name}", "there is no such file", "copy it to where the model names it, for pictures")


def _joints(body: Body, robot: Robot) -> Iterator[Finding]:
    for name in body.joints:
        if name not in robot.joint_names:
            yield wrong(
                f"joints.{name}",
                "the joint turns in the model and the robot file does not list it, so that nothing drives it",
                f"list {name} under joints, or make it fixed in the model",
            )


def _units(body: Body, robot: Robot) -> Iterator[Finding]:
    mass = float(body.mass.sum())
    if not MASSES[0] < mass < MASSES[1]:
        yield wrong("model: masses", f"the robot weighs {mass:.4g} kg", "masses are in kg, not in g or lb")
    if not HEIGHTS[0] < robot.nominal_base_height < HEIGHTS[1]:
        yield wrong(
            "heights.standing", f"it is {robot.nominal_base_height:g} m", "lengths are in m, not in mm, cm or inches"
        )
    for name, (low, high) in zip(robot.joint_names, robot.joint_range, strict=True):
        if max(abs(low), abs(high)) > 4.0 * math.pi and math.isfinite(high - low):
            yield wrong(
                f"joint {name}",
                f"its limits are {low:g} and {high:g} rad, which look like degrees",
                "write them in rad, or in an MJCF set <compiler angle='degree'/>",
            )
        elif not low < high:
            yield wrong(
                f"joint {name}", f"its limits are {low:g} and {high:g} rad", "the lower one must be the smaller"
            )


def _inertias(body: Body) -> Iterator[Finding]:
    size = body.height()
    for link, (name, mass, gyration) in enumerate(zip(body.links, body.mass, body.gyration, strict=True)):
        moved = link in body.joint_link
        if mass <= 0.0:
            if moved:
                yield wrong(f"link {name}", "it has no mass", "give it an <inertial> with mass and inertia")
        elif gyration < GYRATION[0] or gyration > GYRATION[1] * size:
            yield suspicious(
                f"link {name}",
                f"its inertia is that of {mass:.3g} kg at {gyration:.2g} m from the middle",
                "inertia is in kg m^2; a box has mass / 12 * (a^2 + b^2)",
            )
    stated = ModelFile(body.path).links
    guessed = [
        (name, mass)
        for name, mass in zip(body.links, body.mass, strict=True)
        if mass > 0.0 and not stated.get(name, 0.0) > 0.0
    ]
    if guessed:
        weight = sum(mass for _, mass in guessed)
        finding = wrong if weight > 0.01 * body.mass.sum() else suspicious
        yield finding(
            f"{'link' if len(guessed) == 1 else 'links'} {', '.join(name for name, _ in guessed)}",
            f"there is no <inertial>, and {weight:.3g} kg are worked out from shapes",
            "give each an <inertial> with mass and inertia",
        )


def _servos(body: Body, robot: Robot) -> Iterator[Finding]:
    largest = PLACEHOLDER_EFFORT * float(body.mass.sum()) * 9.81 * robot.nominal_base_height
    for index, name in enumerate(robot.joint_names):
        place = body.joints.index(name)
        armature, effort = robot.armature[index], robot.effort_limit[index]
        given, limit = float(body.armature[place]), float(body.effort[place])
        if armature == 0.0:
            yield suspicious(
                f"joints.{name}.armature", "it is 0", "it is the rotor's inertia times the gear ratio squared"
            )
        elif given > 0.0 and not 0.5 < armature / given < 2.0:
            yield suspicious(
                f"joints.{name}.armature",
                f"it is {armature:g}, and {given:g} in the model",
                "decide which one is right",
            )
        elif armature == GENESIS_ARMATURE and given != armature:
            yield suspicious(
                f"joints.{name}.armature", f"{armature:g} kg m^2 is a default of Genesis", "see the motor's data sheet"
            )
        if effort > 1.01 * limit:
            yield suspicious(
                f"joints.{name}.effort",
                f"it is {effort:g} N m, and {limit:g} in the model",
                "decide which one is right",
            )
        elif effort > largest:
            yield suspicious(
                f"joints.{name}.effort", f"{effort:g} N m is no servo of such a robot", "see the motor's data sheet"
            )


def robot_posture(body: Body, robot: Robot) -> Posture:
    """The default pose of a robot; joints that its file does not list stand at 0."""
    position = np.zeros(len(body.joints))
    for name, angle in zip(robot.joint_names, robot.default_joint_position, strict=True):
        position[body.joints.index(name)] = angle
    return body.pose(position)
