"""What a checkpoint says of the robot that it was trained with, and whether that is the robot of today."""

from collections.abc import Mapping
from typing import Any

from biped.robots.robot import Robot

PER_JOINT = {
    "default_joint_position": "rad",
    "stiffness": "N m/rad",
    "damping": "N m s/rad",
    "effort_limit": "N m",
    "armature": "kg m^2",
}
"""Numbers of each joint that a policy is trained to, fields of `Robot`, and their units."""


def robot_facts(robot: Robot) -> dict[str, Any]:
    """The joints and their servos as plain values, to be stored in a checkpoint."""
    return {"joint_names": list(robot.joint_names), **{name: list(getattr(robot, name)) for name in PER_JOINT}}


def difference(facts: Mapping[str, Any], robot: Robot) -> str | None:
    """The first thing in which a robot is not the one that `robot_facts` described; None where it is the same.

    What the facts leave out, as those of older checkpoints do, is not compared.
    """
    names = facts.get("joint_names", list(robot.joint_names))
    if names != list(robot.joint_names):
        return f"joints {_short(names)}, and the robot now has {_short(list(robot.joint_names))}"
    for field, unit in PER_JOINT.items():
        then, now = facts.get(field), list(getattr(robot, field))
        if then is None or then == now:
            continue
        if not isinstance(then, list) or len(then) != len(now):
            return f"{field} {_short(then)}, and the robot now has {_short(now)}"
        joint = next(index for index in range(len(now)) if then[index] != now[index])
        return f"{field} {then[joint]} {unit} for {robot.joint_names[joint]}, and the robot now has {now[joint]}"
    return None


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
