"""Which part of which recording is shown, and what joints are called."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from biped.examination.examination import WARMUP_S
from biped.examination.recording import Recording
from biped.examination.trials import STRAIGHT, title
from biped.robots.robot import Robot

SIDES = re.compile(r"(?<![a-z])(right|left|lr|ll|r|l)(?![a-z])[ _-]*", re.IGNORECASE)
"""The side in the name of a joint, such as `right_knee` or `LR_KFE`."""


class JointPair(NamedTuple):
    """A joint and the one on the other side."""

    name: str
    """Without the side."""
    right: int
    """Its number; that of the joint in the middle where there is one only."""
    left: int | None
    sign: float
    """Times the angle of the left joint gives that of the right one in the mirror image."""


def label(recording: Recording) -> str:
    """The trial, and whether the robot fell."""
    return title(recording.trial) + (" (fell)" if recording.fell else "")


def steady(recording: Recording, seconds: float) -> slice:
    """Up to `seconds` after the robots have picked up speed; earlier ones where the recording is too short."""
    count, length = round(seconds / recording.control_dt), len(recording.yaw)
    begin = min(round(WARMUP_S / recording.control_dt), max(0, length - count))
    return slice(begin, min(length, begin + count))


def showcase(recordings: Sequence[Recording]) -> Recording:
    """The one that is looked at closely: straight ahead, else one that goes somewhere, else the first."""
    straight = [one for one in recordings if one.trial.commands == (STRAIGHT,)]
    going = [one for one in recordings if not one.trial.on_the_spot and len(one.trial.commands) == 1]
    return (*straight, *going, *recordings)[0]


def joint_pairs(robot: Robot) -> list[JointPair]:
    """Every joint once, together with its mirror image."""
    pairs = []
    for joint, other in enumerate(robot.mirror_joints):
        name, other_name = robot.joint_names[joint], robot.joint_names[other]
        if other == joint:
            pairs.append(JointPair(readable(name), joint, None, 1.0))
        elif joint < other:
            right, left = (other, joint) if is_left(name) and not is_left(other_name) else (joint, other)
            plain, other_plain = SIDES.sub("", name), SIDES.sub("", other_name)
            words = readable(plain) if plain == other_plain and plain else f"{readable(name)}, {readable(other_name)}"
            pairs.append(JointPair(words, right, left, robot.mirror_signs[right]))
    return pairs


def is_left(name: str) -> bool:
    """The name of a joint says that it is on the left."""
    found = SIDES.search(name)
    return found is not None and found[1].lower() in ("left", "ll", "l")


def readable(name: str) -> str:
    """The name of a joint in words."""
    return re.sub(r"[ _-]?joint$", "", name).replace("_", " ").strip()
