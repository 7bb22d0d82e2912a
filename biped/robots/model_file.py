"""What a URDF or an MJCF says of links and joints, read without an engine."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from biped.robots.shapes import mesh_path

MJCF = "mujoco"
"""Tag of its root element."""
SHOWN = ("mesh", "texture", "material")
"""Elements of an MJCF that are only looked at."""
LEFT_OUT = ("camera", "light", "actuator", "sensor", "keyframe", "option")
"""Elements of an MJCF whose place ours take."""


class ModelFile:
    """Masses of the links and ranges of the joints of one robot.

    Args:
        path: of the URDF or the MJCF.

    Raises:
        ValueError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        root = read_xml(path)
        reader = _read_mjcf if root.tag == MJCF else _read_urdf
        self.links: dict[str, float]
        """Mass of each link in kg; 0 where the file does not say."""
        self._ranges: dict[str, tuple[float, float]]
        try:
            self.links, self._ranges = reader(root)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

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


def read_xml(path: Path) -> Element:
    """The root element of a file.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, LookupError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def is_mjcf(path: Path) -> bool:
    """Whether a file is an MJCF, and no URDF, whatever its name.

    Raises:
        ValueError: it cannot be read.
    """
    return read_xml(path).tag == MJCF


def without_meshes(path: Path) -> str:
    """The text of an MJCF without its meshes, which are only looked at, its ground, and what `LEFT_OUT` names.

    Raises:
        ValueError: it cannot be read, or lies in several files.
    """
    root = read_xml(path)
    include = root.find(".//include")
    if include is not None:
        raise ValueError(
            f"{path}: <include file={include.get('file')!r}>: a robot must lie in one file; name that file instead if "
            "it holds the robot, or paste it in"
        )
    kinds = _defaults(root, "geom")

    def strip(parent: Element, inherited: str) -> None:
        inherited = parent.get("childclass", inherited)
        for child in list(parent):
            kind = {**kinds.get(child.get("class", inherited), {}), **child.attrib}
            is_mesh = child.tag == "geom" and parent.tag != "default" and ("mesh" in kind or kind.get("type") == "mesh")
            is_scenery = child.tag == "geom" and parent.tag == "worldbody"
            if is_mesh or is_scenery or child.tag in (*SHOWN, *LEFT_OUT):
                parent.remove(child)
            else:
                strip(child, inherited)

    strip(root, "main")
    for element in root.iter():
        element.attrib.pop("material", None)
    return ElementTree.tostring(root, encoding="unicode")


def urdf_with_found_meshes(path: Path, formats: Sequence[str] | None) -> Element:
    """A URDF whose meshes are named by their full paths.

    Args:
        path: of the URDF.
        formats: endings of the meshes that are shown, in small letters; what is drawn with any other is left out, and
            so is what is drawn with a file that there is not. None for all endings.

    Raises:
        ValueError: it cannot be read, or a mesh that the robot collides with is missing.
    """
    root = read_xml(path)
    for link in root.iter("link"):
        for shape in (*link.findall("visual"), *link.findall("collision")):
            mesh = shape.find("geometry/mesh")
            if mesh is None:
                continue
            file = mesh_path(path, mesh.get("filename", ""))
            shown = file.is_file() and (formats is None or file.suffix.lower() in formats)
            if shape.tag == "visual" and not shown:
                link.remove(shape)
            elif not file.is_file():
                raise ValueError(
                    f"{path}: link {link.get('name')} collides with the mesh {mesh.get('filename')}, and there is no "
                    f"file {file}; copy it there, or give the link a box, cylinder or sphere"
                )
            mesh.set("filename", str(file.absolute()))
    return root


def missing_meshes(path: Path) -> tuple[str, ...]:
    """Names of the meshes that a URDF or an MJCF draws or collides with and that do not lie where it says."""
    root = read_xml(path)
    if root.tag != MJCF:
        names = [mesh.get("filename", "") for mesh in root.iter("mesh")]
        return tuple(dict.fromkeys(name for name in names if not mesh_path(path, name).is_file()))
    settings = _compiler(root)
    folder = path.parent / settings.get("meshdir", settings.get("assetdir", ""))
    names = [mesh.get("file", "") for mesh in root.iter("mesh") if mesh.get("file")]
    return tuple(dict.fromkeys(name for name in names if not (folder / name).is_file()))


def _read_urdf(root: Element) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    links = {}
    for link in root.iter("link"):
        mass = link.find("inertial/mass")
        links[link.get("name", "")] = 0.0 if mass is None else _number(mass, "value")
    ranges = {}
    for joint in root.iter("joint"):
        limit, kind = joint.find("limit"), joint.get("type")
        if kind not in ("revolute", "continuous"):
            continue
        bounds = -math.inf, math.inf
        if limit is not None and kind == "revolute":
            bounds = _number(limit, "lower"), _number(limit, "upper")
        ranges[joint.get("name", "")] = bounds
    return links, ranges


def _read_mjcf(root: Element) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """MJCF as robots are published: inertias are given, angles in rad unless `compiler` says otherwise."""
    factor = math.pi / 180.0 if _compiler(root).get("angle", "degree") == "degree" else 1.0
    defaults = _defaults(root, "joint")
    links: dict[str, float] = {}
    ranges: dict[str, tuple[float, float]] = {}

    def visit(parent: Element, inherited: str) -> None:
        inherited = parent.get("childclass", inherited)
        if parent.tag == "body":
            inertial = parent.find("inertial")
            links[parent.get("name", "")] = 0.0 if inertial is None else _number(inertial, "mass")
        for child in parent:
            if child.tag == "joint":
                settings = {**defaults.get(child.get("class", inherited), {}), **child.attrib}
                if settings.get("type", "hinge") == "hinge":
                    ranges[child.get("name", "")] = joint_range(child, settings)
            elif child.tag in ("body", "frame"):
                # A frame only moves what is in it.
                visit(child, inherited)

    def joint_range(joint: Element, settings: Mapping[str, str]) -> tuple[float, float]:
        if "range" not in settings or settings.get("limited", "auto") == "false":
            return -math.inf, math.inf
        try:
            low, high = (factor * float(bound) for bound in settings["range"].split())
        except ValueError:
            raise ValueError(f"joint {joint.get('name')}: its range {settings['range']!r} is not two numbers") from None
        return low, high

    for world in root.findall("worldbody"):
        visit(world, "main")
    return links, ranges


def _number(element: Element, attribute: str) -> float:
    """A number that an element has as an attribute; 0 where it does not."""
    text = element.get(attribute, "0")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'<{element.tag} {attribute}="{text}">: that is no number') from None


def _compiler(root: Element) -> Mapping[str, str]:
    """How to read an MJCF; like all of its sections, this one may stand there several times."""
    return {key: value for section in root.findall("compiler") for key, value in section.attrib.items()}


def _defaults(root: Element, tag: str) -> dict[str, dict[str, str]]:
    """Attributes of joints or other elements of an MJCF by class, those of the enclosing classes included."""
    found: dict[str, dict[str, str]] = {"main": {}}

    def visit(node: Element, enclosing: str, name: str) -> None:
        own = {key: value for element in node.findall(tag) for key, value in element.attrib.items()}
        found[name] = {**found[enclosing], **found.get(name, {}), **own}
        for child in node.findall("default"):
            visit(child, name, child.get("class", ""))

    for section in root.findall("default"):
        visit(section, "main", "main")
    return found
