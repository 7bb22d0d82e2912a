"""What a URDF or an MJCF says of links and joints, read without an engine."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from biped.robots.shapes import mesh_path

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
    """The text of an MJCF without its meshes, which are only looked at, and without its motors, sensors and cameras.

    Raises:
        ValueError: it cannot be read, or lies in several files.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    include = root.find(".//include")
    if include is not None:
        raise ValueError(
            f"{path}: <include file={include.get('file')!r}>: a robot must lie in one file; name that file instead if "
            "it holds the robot, or paste it in"
        )
    kinds = dict(_defaults(root.find("default"), "geom", {}, "main"))

    def strip(parent: Element, inherited: str) -> None:
        inherited = parent.get("childclass", inherited)
        for child in list(parent):
            kind = {**kinds.get(child.get("class", inherited), {}), **child.attrib}
            is_mesh = child.tag == "geom" and parent.tag != "default" and ("mesh" in kind or kind.get("type") == "mesh")
            if is_mesh or child.tag in LEFT_OUT:
                parent.remove(child)
            else:
                strip(child, inherited)

    strip(root, "main")
    for geom in root.iter("geom"):
        geom.attrib.pop("material", None)
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
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
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
    root = ElementTree.parse(path).getroot()
    if root.tag != "mujoco":
        names = [mesh.get("filename", "") for mesh in root.iter("mesh")]
        return tuple(dict.fromkeys(name for name in names if not mesh_path(path, name).is_file()))
    compiler = root.find("compiler")
    settings: Mapping[str, str] = {} if compiler is None else compiler.attrib
    folder = path.parent / settings.get("meshdir", settings.get("assetdir", ""))
    names = [mesh.get("file", "") for mesh in root.iter("mesh") if mesh.get("file")]
    return tuple(dict.fromkeys(name for name in names if not (folder / name).is_file()))


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
    defaults = dict(_defaults(root.find("default"), "joint", {}, "main"))
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


def _defaults(
    node: Element | None, tag: str, inherited: Mapping[str, str], name: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Attributes of joints or other elements by class, those of the enclosing classes included."""
    if node is None:
        return
    element = node.find(tag)
    attributes = {**inherited, **({} if element is None else element.attrib)}
    yield node.get("class", name), attributes
    for child in node.findall("default"):
        yield from _defaults(child, tag, attributes, "")
