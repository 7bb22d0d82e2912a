"""What is wrong with the default pose of a robot: feet, heights, balance, and servos that cannot hold it."""

from collections.abc import Iterator

import numpy as np

from biped.robots.body import Body, Posture, foot_corners
from biped.robots.checks.findings import Finding, suspicious, wrong
from biped.robots.checks.model import robot_posture
from biped.robots.drafting.feet import find_sole
from biped.robots.drafting.gains import standing_torque, toppling
from biped.robots.drafting.legs import find_leg, in_base
from biped.robots.drafting.mirror_guess import MirrorGuess
from biped.robots.robot import Robot

TILTED = 3.0
"""Degrees between sole and ground."""
GAP = 0.004
"""m, between a sole and where `heights.standing` puts the ground, or what the file calls its centre."""
SAG = 0.15
"""rad, that a servo gives way under the weight."""


def check_pose(body: Body, robot: Robot) -> Iterator[Finding]:
    """Soles that are not flat, not where the file has them or not below the weight, and servos that are too weak."""
    for name, angle, (low, high) in zip(
        robot.joint_names, robot.default_joint_position, robot.joint_range, strict=True
    ):
        if not low <= angle <= high:
            yield wrong(
                f"joints.{name}.default", f"{angle:g} rad is beyond its limits {low:g} and {high:g}", "bend less"
            )
    posture = robot_posture(body, robot)
    soles = []
    for side, name, offset in zip(("right", "left"), robot.foot_links, robot.sole_offsets, strict=True):
        link = body.links.index(name)
        points = foot_corners(body, posture, link)
        if not len(points):
            yield wrong(f"link {name}", "the foot has no collision shape", "give it a box; meshes are only looked at")
            continue
        sole, given = find_sole(points), in_base(posture, link, np.array(offset))
        soles.append((given, sole.half_size))
        tilt = np.degrees(np.arccos(min(1.0, float(sole.normal[2]))))
        if tilt > TILTED:
            yield wrong(
                f"feet.{side}", f"its sole is tilted by {tilt:.0f} degrees in the default pose", "turn the ankle or hip"
            )
        if np.linalg.norm(given - sole.center) > max(GAP, 0.2 * float(sole.half_size.max())):
            seen = posture.link_rotation[link].T @ (sole.center - posture.link_position[link])
            text = ", ".join(f"{number + 0.0:.3f}" for number in seen)
            yield suspicious(f"feet.{side}.sole", "that is not the centre of the sole", f"it seems to be [{text}]")
        gap = robot.nominal_base_height + float(points[:, 2].min())
        if abs(gap) > max(GAP, 0.01 * robot.nominal_base_height):
            deep = "above" if gap > 0.0 else "below"
            yield wrong(
                "heights.standing",
                f"with it the {side} foot is {1e3 * abs(gap):.0f} mm {deep} the ground",
                f"write {robot.nominal_base_height - gap:.4f}",
            )
    yield from _lower_than_the_feet(body, robot, posture)
    if len(soles) == 2:
        ahead = float(posture.center_of_mass[0] - 0.5 * (soles[0][0][0] + soles[1][0][0]))
        length = float(min(soles[0][1][0], soles[1][1][0]))
        if abs(ahead) > 0.4 * length:
            beyond = abs(ahead) > length
            finding = wrong if beyond else suspicious
            yield finding(
                "joints: default",
                f"the centre of mass lies {1e3 * abs(ahead):.0f} mm {'ahead of' if ahead > 0.0 else 'behind'} the "
                f"middle of the soles, which reach {1e3 * length:.0f} mm",
                "turn hips and ankles until it lies above them",
            )
        yield from _strength(body, robot)


def _lower_than_the_feet(body: Body, robot: Robot, posture: Posture) -> Iterator[Finding]:
    ground = -robot.nominal_base_height
    for link, name in enumerate(body.links):
        points = foot_corners(body, posture, link)
        if name not in robot.foot_links and len(points) and float(points[:, 2].min()) < ground - GAP:
            yield wrong(
                f"link {name}",
                f"it reaches {1e3 * (ground - points[:, 2].min()):.0f} mm below the soles in the default pose",
                "name it as the foot, or bend less",
            )


def _strength(body: Body, robot: Robot) -> Iterator[Finding]:
    """Servos that gravity overcomes. Computed for the right leg; the left one is its mirror image."""
    names = robot.joint_names
    others, signs = list(range(len(body.joints))), [1.0] * len(body.joints)
    position, stiffness, effort = (np.full(len(body.joints), value) for value in (0.0, np.nan, np.nan))
    for joint, name in enumerate(names):
        place = body.joints.index(name)
        others[place] = body.joints.index(names[robot.mirror_joints[joint]])
        signs[place] = robot.mirror_signs[joint]
        position[place] = robot.default_joint_position[joint]
        stiffness[place], effort[place] = robot.stiffness[joint], robot.effort_limit[joint]
    mirror = MirrorGuess(tuple(others), tuple(signs))
    try:
        leg = find_leg(body, mirror)
    except ValueError as error:
        yield wrong("feet", str(error), "correct the model or the mirror")
        return
    torque = standing_torque(body, leg, position)
    for place in leg.joints:
        where = f"joints.{body.joints[place]}"
        if abs(torque[place]) > effort[place]:
            yield wrong(
                f"{where}.effort",
                f"standing takes {abs(torque[place]):.3g} N m, and it is {effort[place]:g}",
                "bend less, or take a stronger servo",
            )
        elif abs(torque[place]) > SAG * stiffness[place]:
            yield suspicious(
                f"{where}.stiffness",
                f"it gives way by {abs(torque[place]) / stiffness[place]:.2f} rad under the weight",
                f"write {abs(torque[place]) / SAG:.2g} or more, or bend less",
            )
    if np.isnan(stiffness[list(leg.bending)]).any():
        return
    unstable, parts = toppling(body, mirror, leg, position, stiffness)
    if unstable > 1.0:
        weakest = body.joints[leg.bending[int(parts.argmax())]]
        yield suspicious(
            f"joints.{weakest}.stiffness",
            f"the weight topples the robot over hip, knee and ankle, which need {unstable:.1f} times their stiffness",
            f"stiffen them, {weakest} first",
        )
