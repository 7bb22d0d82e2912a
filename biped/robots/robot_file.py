"""A robot as a file: what is about the body, in YAML, beside the URDF or MJCF that it names."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dacite
import yaml

from biped.robots.model_file import ModelFile
from biped.robots.robot import Robot

BUILT_IN = Path(__file__).parent / "library"
"""Folder of the robots that are named without a path."""
LARGEST_NUMBER = 1e9
"""Beyond, an entry is no quantity of a robot in SI units."""
PACKAGE = "package://"
"""Begins the name of a model file in an installed Python package: `package://<module>/<path>`."""


@dataclass(frozen=True)
class JointEntry:
    """One actuated joint."""

    mirror: str
    """Name of the joint on the other side, its own in the middle, with a minus sign where angles change sign."""
    default: float = 0.0
    """rad."""
    stiffness: float = 0.0
    """N m/rad."""
    damping: float = 0.0
    """N m s/rad."""
    effort: float = 0.0
    """N m."""
    armature: float = 0.0
    """kg m^2."""


@dataclass(frozen=True)
class FootEntry:
    """One foot."""

    link: str
    sole: tuple[float, float, float]
    """m, centre of the sole in the frame of the link."""


@dataclass(frozen=True)
class FeetEntry:
    """Both feet."""

    right: FootEntry
    left: FootEntry


@dataclass(frozen=True)
class HeightsEntry:
    """Heights of the base above flat ground, m."""

    standing: float
    """In the default pose, the soles just touching."""
    low: float
    """Below it the robot crouches more than walking needs."""
    lowest: float
    """Below it the robot has fallen."""


@dataclass(frozen=True)
class RobotFile:
    """The file as it is written; the fields of `biped.robots.robot.Robot` say what each means."""

    model: str
    """Path of the URDF or MJCF, relative to this file, or `package://<module>/<path>`."""
    base: str
    feet: FeetEntry
    heights: HeightsEntry
    joints: dict[str, JointEntry]
    """In the order of every joint vector."""
    groups: dict[str, tuple[str, ...]]
    """What every policy observes."""
    turns: bool = False
    torso: tuple[str, ...] = ()
    sideways: tuple[str, ...] = ()
    rhythmic: tuple[str, ...] = ()
    joint_defaults: dict[str, float] = field(default_factory=dict)
    """Values of `joints` that hold for each one that does not say otherwise."""


def load_robot(name: str) -> Robot:
    """The robot of a file.

    Args:
        name: that of a built-in robot, or the path of a `.yaml` file.

    Raises:
        ValueError: there is no such file, or it does not describe a robot; the message names file, entry and remedy.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else BUILT_IN / f"{name}.yaml"
    if path.parent == BUILT_IN and not path.is_file():
        raise ValueError(f"there is no robot called {name}: choose one of {', '.join(built_in())}, or a .yaml file")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text") from None
    try:
        return robot_from_file(read_entries(text), path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def built_in() -> list[str]:
    """Names of the robots that come with the project."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


def read_entries(text: str) -> RobotFile:
    """The entries of a robot file.

    Raises:
        ValueError: it is no YAML, or an entry is missing, unknown or of the wrong kind.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"this is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, Mapping):
        raise ValueError("a robot is a list of entries, such as `model: robot.urdf`")
    defaults = data.get("joint_defaults") or {}
    joints = data.get("joints")
    if isinstance(joints, Mapping) and isinstance(defaults, Mapping):
        for name, joint in joints.items():
            if not isinstance(joint, Mapping):
                raise ValueError(f"joints.{name} must be entries, `mirror` and others, not {joint!r:.40}")
        data = {**data, "joints": {name: {**defaults, **joint} for name, joint in joints.items()}}
    groups = data.get("groups")
    lists = {name: data.get(name) for name in ("torso", "sideways", "rhythmic")}
    lists |= {f"groups.{name}": group for name, group in groups.items()} if isinstance(groups, Mapping) else {}
    for name, value in lists.items():
        if isinstance(value, str):
            raise ValueError(f"{name} must be a list: [{value}]")
    try:
        return dacite.from_dict(RobotFile, _plain(data), dacite.Config(strict=True))
    except (dacite.DaciteError, TypeError) as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("an entry contains itself") from None


def _plain(value: Any, name: str = "") -> Any:  # noqa: ANN401 - the tree holds anything YAML can hold
    """The same with whole numbers as floats, as a file may say 15 where 15.0 is meant, and lists as tuples.

    Raises:
        ValueError: a number is not finite.
    """
    if isinstance(value, Mapping):
        return {key: _plain(one, f"{name}.{key}" if name else str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return tuple(_plain(one, name) for one in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise ValueError(f"{name} must be a number that a robot can have, not {value!r:.80}")
    return float(value)


def robot_from_file(entries: RobotFile, path: Path) -> Robot:
    """The robot that the entries of the file at `path` describe.

    Raises:
        ValueError: an entry does not go together with the others or with the model file.
    """
    names = tuple(entries.joints)
    joints = list(entries.joints.values())
    for name, joint in entries.joints.items():
        for quantity in ("stiffness", "effort"):
            if not getattr(joint, quantity) > 0.0:
                raise ValueError(f"joints.{name}.{quantity} must be above 0")
        for quantity in ("damping", "armature"):
            if not getattr(joint, quantity) >= 0.0:
                raise ValueError(f"joints.{name}.{quantity} must be at least 0")
    mirrors = [joint.mirror.removeprefix("-") for joint in joints]
    for name, other in zip(names, mirrors, strict=True):
        if other not in names:
            raise ValueError(f"joints.{name}.mirror names {other}, which is no joint")
    heights = entries.heights
    if not 0.0 < heights.lowest <= heights.low <= heights.standing:
        raise ValueError("heights must rise from above 0: lowest, low, standing")
    try:
        model_path = find_model(entries.model, path.parent)
    except ValueError as error:
        raise ValueError(f"model: {error}") from None
    model = ModelFile(model_path)
    feet = entries.feet.right, entries.feet.left
    for link in (entries.base, *(foot.link for foot in feet)):
        if link not in model.links:
            raise ValueError(f"{model.path} has no link named {link!r}; it has {', '.join(model.links)}")
    if feet[0].link == feet[1].link:
        raise ValueError(f"feet.right and feet.left are both {feet[0].link}; name two links")
    if not model.links[entries.base] > 0.0:
        raise ValueError(
            f"{model.path}: the base, {entries.base}, has no mass, and it is pushed and loaded in training; give it an "
            "<inertial> with mass and inertia, or leave it out of the model so that the link below it is the root"
        )
    for name, group in entries.groups.items():
        if not group:
            raise ValueError(f"groups.{name} is empty; list its joints or leave it out")
    return Robot(
        name=path.stem,
        asset=model.path,
        joint_names=names,
        default_joint_position=tuple(joint.default for joint in joints),
        stiffness=tuple(joint.stiffness for joint in joints),
        damping=tuple(joint.damping for joint in joints),
        effort_limit=tuple(joint.effort for joint in joints),
        armature=tuple(joint.armature for joint in joints),
        joint_range=model.joint_ranges(names),
        mirror_joints=tuple(names.index(name) for name in mirrors),
        mirror_signs=tuple(-1.0 if joint.mirror.startswith("-") else 1.0 for joint in joints),
        base_link=entries.base,
        foot_links=(feet[0].link, feet[1].link),
        sole_offsets=(feet[0].sole, feet[1].sole),
        nominal_base_height=heights.standing,
        low_height=heights.low,
        lowest_height=heights.lowest,
        mass=sum(model.links.values()),
        base_mass=model.links[entries.base],
        turns=entries.turns,
        observed_groups=tuple(entries.groups.items()),
        torso_joints=entries.torso,
        sideways_joints=entries.sideways,
        rhythmic_joints=entries.rhythmic,
    )


def find_model(name: str, folder: Path) -> Path:
    """The model file of this name.

    Args:
        name: path relative to `folder`, or `package://<module>/<path>`.
        folder: that of the robot file.

    Raises:
        ValueError: there is none.
    """
    if not name.startswith(PACKAGE):
        path = (folder / name).resolve()
    else:
        module, _, rest = name.removeprefix(PACKAGE).partition("/")
        if not all(part.isidentifier() for part in module.split(".")):
            raise ValueError(f"{name} names no package; write {PACKAGE}<module>/<path>")
        try:
            spec = importlib.util.find_spec(module)
        except ImportError:
            # Of `a.b` where there is no `a`, or it is no package.
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(f"the package {module} is not installed: pip install {module.replace('_', '-')}")
        path = Path(next(iter(spec.submodule_search_locations))) / rest
    try:
        found = path.is_file()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if not found:
        raise ValueError(f"there is no file {path}; name a URDF or an MJCF")
    return path
