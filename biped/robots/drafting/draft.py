"""A first robot file, worked out from a model file alone."""

import json
import re
from typing import NamedTuple

import numpy as np
import yaml

from biped.robots.body import Array, Body
from biped.robots.drafting.crouch import Crouch, solve_crouch
from biped.robots.drafting.gains import Gains, choose_gains
from biped.robots.drafting.legs import PITCH, Leg, find_leg, turns_about_vertical
from biped.robots.drafting.mirror_guess import MirrorGuess, guess_mirror, mirror_error

LOW, LOWEST = 0.82, 0.7
"""Parts of the standing height below which a robot crouches and has fallen."""


class Draft(NamedTuple):
    """What was worked out; joints and links are indices into `body`."""

    body: Body
    mirror: MirrorGuess
    leg: Leg
    pose: Crouch
    gains: Gains
    asymmetry: float
    """Largest difference between the mass matrices of a posture and of its mirror image, as a part."""


def draft_robot(body: Body, depth: float, frequency: float) -> Draft:
    """Work out a robot.

    Args:
        body: of the model file.
        depth: part of their length by which the legs are shortened in the default pose.
        frequency: Hz, natural frequency of the servos.

    Raises:
        ValueError: it is no robot on two legs, or not one whose sides are alike; names file, element and remedy.
    """
    try:
        mirror = guess_mirror(body)
        leg = find_leg(body, mirror)
    except ValueError as error:
        raise ValueError(f"{body.path}: {error}") from None
    pose = solve_crouch(body, mirror, leg, depth)
    gains = choose_gains(body, mirror, leg, pose, frequency)
    asymmetry = float(mirror_error(body, mirror.others, mirror.signs, pose.position).max())
    return Draft(body, mirror, leg, pose, gains, asymmetry)


def joint_order(draft: Draft) -> list[int]:
    """The joints as the file lists them: right leg, left leg, all others in the order of the model file."""
    right = list(draft.leg.joints)
    left = [draft.mirror.others[joint] for joint in right]
    legs = {*right, *left}
    return [*right, *left, *(joint for joint in range(len(draft.body.joints)) if joint not in legs)]


def groups(draft: Draft) -> dict[str, list[int]]:
    """The joints by what a policy sees them as: hips, knees and ankles of both legs, and the upper body."""
    joints = draft.leg.joints
    place = joints.index(draft.leg.knee)
    parts = {"hip": joints[:place], "knee": joints[place : place + 1], "ankle": joints[place + 1 :]}
    found = {name: [*part, *(draft.mirror.others[joint] for joint in part)] for name, part in parts.items()}
    found["upper_body"] = joint_order(draft)[2 * len(joints) :]
    return {name: part for name, part in found.items() if part}


def robot_text(draft: Draft, model: str) -> str:
    """The robot file as text.

    Args:
        draft: the robot.
        model: how the file names its model.
    """
    body, mirror, leg, pose = draft.body, draft.mirror, draft.leg, draft.pose
    axes = body.pose(np.zeros(len(body.joints))).joint_axis
    order = joint_order(draft)
    legs = order[: 2 * len(leg.joints)]
    sideways = [joint for joint in order if joint not in legs or abs(axes[joint][1]) < PITCH]
    swinging = [leg.hip, mirror.others[leg.hip], leg.knee, mirror.others[leg.knee]]
    lines = [
        f"# A first draft, worked out from {body.path.name}: {len(order)} joints, {body.mass.sum():.4g} kg.",
        "# Look it through, then let `biped-robot check` do so.",
        f"model: {_word(model)}",
        f"base: {_word(body.links[0])}",
        "# The links with the lowest collision shapes; the sole is the middle of the face that they stand on.",
        "feet:",
        f"  right: {_foot(body.links[leg.foot], leg.sole)}",
        f"  left: {_foot(body.links[leg.left_foot], leg.left_sole)}",
        f"# Standing: in the default pose. Low and lowest: {LOW:g} and {LOWEST:g} of it, a guess.",
        f"heights: {{standing: {pose.height:.4f}, low: {LOW * pose.height:.3f}, lowest: {LOWEST * pose.height:.3f}}}",
        f"turns: {str(turns_about_vertical(body, leg)).lower()}",
        "",
        *_notes(draft),
        "joints:",
        *(f"  {_word(body.joints[joint])}: {_joint(draft, joint)}" for joint in order),
        "",
        "# What every policy observes.",
        "groups:",
        *(f"  {name}: {_names(body, part)}" for name, part in groups(draft).items()),
        f"sideways: {_names(body, sideways)}",
        f"rhythmic: {_names(body, swinging if leg.hip != leg.knee else swinging[:2])}",
    ]
    return "\n".join(lines) + "\n"


def _notes(draft: Draft) -> list[str]:
    """Comments on what the numbers of the joints were taken from."""
    body = draft.body
    notes = [
        f"default [rad]: knees bent, soles level within {np.degrees(draft.pose.tilt):.1f} degrees, centre of mass "
        f"within {1e3 * abs(draft.pose.offset):.0f} mm of their middle.",
        "stiffness [N m/rad], damping [N m s/rad]: from what each joint moves and the weight that it carries.",
        f"mirror: from names and geometry; mass matrices of postures and their images differ by {draft.asymmetry:.1%}.",
    ]
    for quantity, missing in (("effort [N m]", np.isnan(body.effort)), ("armature [kg m^2]", body.armature <= 0.0)):
        if missing.all():
            notes.append(f"{quantity}: A GUESS, as the model says nothing; see the data sheet of the motors.")
        elif missing.any():
            notes.append(f"{quantity}: of the model, and A GUESS for {_names(body, np.flatnonzero(missing).tolist())}.")
        else:
            notes.append(f"{quantity}: of the model.")
    return [f"# {note}" for note in notes]


def _joint(draft: Draft, joint: int) -> str:
    gains = draft.gains
    other = draft.body.joints[draft.mirror.others[joint]]
    mirror = other if draft.mirror.signs[joint] > 0.0 else f"-{other}"
    # Adding 0 takes the sign from a zero.
    default = round(float(draft.pose.position[joint]), 4) + 0.0
    numbers = {
        # Two digits, as more would look as if they were known.
        "stiffness": _number(gains.stiffness[joint], 2),
        "damping": _number(gains.damping[joint], 2),
        "effort": _number(gains.effort[joint], 4),
        "armature": _number(gains.armature[joint], 4),
    }
    text = ", ".join(f"{name}: {number}" for name, number in numbers.items())
    return f"{{default: {default}, {text}, mirror: {_word(mirror)}}}"


def _number(value: float, digits: int) -> str:
    """A number that YAML reads as one: never as 1e-05, which it takes for a word."""
    return np.format_float_positional(float(f"{value:.{digits}g}"), trim="-")


def _foot(link: str, sole: Array) -> str:
    numbers = ", ".join(str(round(float(number), 5) + 0.0) for number in sole)
    return f"{{link: {_word(link)}, sole: [{numbers}]}}"


def _names(body: Body, joints: list[int]) -> str:
    return f"[{', '.join(_word(body.joints[joint]) for joint in joints)}]"


def _word(text: str) -> str:
    """A word of YAML, in quotes where it would be read as anything else."""
    plain = re.fullmatch(r"[\w./:-]+", text) and yaml.safe_load(f"[{text}]") == [text]
    return text if plain else json.dumps(text)
