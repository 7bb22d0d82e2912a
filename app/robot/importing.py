"""`biped-robot import`: a model file becomes a first robot file."""

import os
from pathlib import Path

import numpy as np

from biped.robots.drafting.draft import Draft, draft_robot, joint_order, robot_text
from biped.robots.robot_file import PACKAGE, find_model, read_entries, robot_from_file
from biped.simulators.mujoco import import_mujoco
from biped.simulators.mujoco_body import read_body
from ppo.checkpoint.atomic import atomic_write

DEPTH = 0.12
"""Part of their length by which the legs are shortened in the default pose."""
FREQUENCY = 2.5
"""Hz, natural frequency of the servos."""
TILTED = np.radians(2.0)
OFF_CENTER = 0.01
"""m."""


def import_model(name: str, output: Path | None, depth: float, frequency: float, *, force: bool) -> int:
    """Write the robot file of a model file and say what is in it; returns the exit code.

    Args:
        name: path of the model file, or `package://<module>/<path>`.
        output: where to write to; None for the name of the model in the working folder.
        depth: part of their length by which the legs are shortened in the default pose.
        frequency: Hz, natural frequency of the servos.
        force: replace a file that there is.

    Raises:
        ValueError: the model cannot be read or is no robot on two legs, or there is such a file already.
        OSError: it cannot be written.
    """
    model = find_model(name, Path.cwd())
    if model.suffix not in (".urdf", ".xml"):
        raise ValueError(f"{name}: its name must end in .urdf or .xml (MJCF); convert it, or rename it")
    output = output or Path(f"{model.stem}.yaml")
    if output.suffix not in (".yaml", ".yml"):
        raise ValueError(f"{output}: the name of a robot file ends in .yaml; choose such a name")
    if output.exists() and not force:
        raise ValueError(f"{output} exists; choose another name with --output, or replace it with --force")
    draft = draft_robot(read_body(import_mujoco(), model), depth, frequency)
    text = robot_text(draft, name if name.startswith(PACKAGE) else os.path.relpath(model, output.absolute().parent))
    robot_from_file(read_entries(text), output.absolute())
    with atomic_write(output) as file:
        file.write(text.encode())
    print(f"{output}: {_summary(draft)}")
    for line in _doubts(draft):
        print(f"doubtful: {line}")
    return 0


def _summary(draft: Draft) -> str:
    body, leg = draft.body, draft.leg
    pairs = sum(other > joint for joint, other in enumerate(draft.mirror.others))
    middle = sum(other == joint for joint, other in enumerate(draft.mirror.others))
    return (
        f"{len(joint_order(draft))} joints ({pairs} pairs, {middle} in the middle), {body.mass.sum():.4g} kg, feet "
        f"{body.links[leg.foot]} and {body.links[leg.left_foot]}, standing {draft.pose.height:.3f} m high"
    )


def _doubts(draft: Draft) -> list[str]:
    """What did not come out as it should, a line each."""
    body, pose = draft.body, draft.pose
    doubts = []
    if pose.tilt > TILTED:
        doubts.append(f"the soles stay tilted by {np.degrees(pose.tilt):.0f} degrees; try another --crouch")
    if abs(pose.offset) > OFF_CENTER:
        doubts.append(f"the centre of mass stays {1e3 * pose.offset:.0f} mm ahead of the soles; try another --crouch")
    for quantity, missing in (("effort", np.isnan(body.effort)), ("armature", body.armature <= 0.0)):
        if missing.any():
            which = "the joints" if missing.all() else ", ".join(np.array(body.joints)[missing])
            doubts.append(f"{quantity} of {which} is a guess; the model does not say")
    return doubts
