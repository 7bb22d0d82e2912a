"""What a URDF or an MJCF says of links and joints, read without an engine."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

LEFT_OUT = ("mesh", "texture", "material", "camera", "light", "actuator", "sensor", "keyframe")
"""Elements of an MJCF that physics does without: our own motors and sensors take the place of its."""


class ModelFile:
    """Masses of the links and ranges of the joints of one robot.

    Args:
        path: of the URDF, or of the MJCF if it ends in `.xml`.

    Raises:
        ValueError: it cannot be read, or a link has no mass.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            root = ElementTree.parse(path).getroot()
        except (ElementTree.ParseError, OSError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from None
        reader = _read_mjcf if root.tag == "mujoco" else _read_urdf
        self.links: dict[str, float]
        """Mass of each link in kg."""
        self._ranges: dict[str, tuple[float, float]]
        self.links, self._ranges = reader(root)

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints that turn, in the order of the file."""
        return tuple(self._ranges)

    def joint_ranges(self, names: Sequence[str]) -> tuple[tuple[float, float], ...]:
        """Lowest and highest position of some joints in rad; infinite where there is no limit.

        Raises:
            ValueError: there is no joint of such a name.
        """
        for name in names:
            if name not in self._ranges:
                raise ValueError(f"{self.path}: no joint named {name!r}; it has {', '.join(self._ranges)}")
        return tuple(self._ranges[name] for name in names)


def without_meshes(path: Path) -> str:
    """The text of an MJCF without its meshes, which are only looked at, and without its motors, sensors and cameras."""
    root = ElementTree.parse(path).getroot()
    kinds = {node.get("class"): node.find("geom") for node in root.iter("default")}
    shown = {name for name, geom in kinds.items() if geom is not None and geom.get("type") == "mesh"}
    for parent in list(root.iter()):
        for child in list(parent):
            is_mesh = child.tag == "geom" and ("mesh" in child.attrib or child.get("class") in shown)
            if is_mesh or child.tag in LEFT_OUT:
                parent.remove(child)
    for geom in root.iter("geom"):
        geom.attrib.pop("material", None)
    return ElementTree.tostring(root, encoding="unicode")


def _read_urdf(root: Element) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    links = {}
    for link in root.iter("link"):
        mass = link.find("inertial/mass")
        links[link.get("name", "")] = 0.0 if mass is None else float(mass.get("value", 0.0))
    ranges = {}
    for joint in root.iter("joint"):
        limit, kind = joint.find("limit"), joint.get("type")
        if kind not in ("revolute", "continuous"):
            continue
        bounds = -math.inf, math.inf
        if limit is not None and kind == "revolute":
            bounds = float(limit.get("lower", 0.0)), float(limit.get("upper", 0.0))
        ranges[joint.get("name", "")] = bounds
    return links, ranges


def _read_mjcf(root: Element) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """MJCF as robots are published: inertias are given, angles in rad unless `compiler` says otherwise."""
    compiler = root.find("compiler")
    degrees = compiler is None or compiler.get("angle", "degree") == "degree"
    factor = math.pi / 180.0 if degrees else 1.0
    defaults = dict(_joint_defaults(root.find("default"), {}, "main"))
    links: dict[str, float] = {}
    ranges: dict[str, tuple[float, float]] = {}

    def visit(body: Element, inherited: str) -> None:
        inherited = body.get("childclass", inherited)
        inertial = body.find("inertial")
        links[body.get("name", "")] = 0.0 if inertial is None else float(inertial.get("mass", 0.0))
        for joint in body.findall("joint"):
            settings = {**defaults.get(joint.get("class", inherited), {}), **joint.attrib}
            if settings.get("type", "hinge") != "hinge":
                continue
            low, high = -math.inf, math.inf
            if "range" in settings and settings.get("limited", "auto") != "false":
                low, high = (factor * float(bound) for bound in settings["range"].split())
            ranges[joint.get("name", "")] = low, high
        for child in body.findall("body"):
            visit(child, inherited)

    for body in root.findall("worldbody/body"):
        visit(body, "main")
    return links, ranges


def _joint_defaults(
    node: Element | None, inherited: Mapping[str, str], name: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Attributes of joints by class, those of the enclosing classes included."""
    if node is None:
        return
    joint = node.find("joint")
    attributes = {**inherited, **({} if joint is None else joint.attrib)}
    yield node.get("class", name), attributes
    for child in node.findall("default"):
        yield from _joint_defaults(child, attributes, "")
