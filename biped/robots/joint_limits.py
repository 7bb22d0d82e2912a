"""The joint limits that a robot's URDF states."""

import math
from xml.etree import ElementTree

from biped.robots.robot import Robot


def joint_limits(robot: Robot) -> tuple[tuple[float, float], ...]:
    """Lowest and highest position of each joint in rad, in the order of `robot.joint_names`.

    A joint without limits gets infinite ones.

    Raises:
        ValueError: The URDF lacks a joint of the robot.
    """
    joints = {joint.get("name"): joint for joint in ElementTree.parse(robot.asset).getroot().iter("joint")}
    limits = []
    for name in robot.joint_names:
        if name not in joints:
            raise ValueError(f"{robot.asset}: no joint named {name!r}")
        limit = joints[name].find("limit")
        if limit is None or joints[name].get("type") == "continuous":
            limits.append((-math.inf, math.inf))
        else:
            limits.append((float(limit.get("lower", 0.0)), float(limit.get("upper", 0.0))))
    return tuple(limits)
