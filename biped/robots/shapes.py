"""What a robot looks like: the links of its URDF, the joints between them and the shapes they are drawn with."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

GREY = (0.7, 0.7, 0.7, 1.0)
"""Red, green, blue and opacity, 0 to 1, of a shape without a colour of its own."""


class Placement(NamedTuple):
    """Where a frame lies in another one."""

    position: tuple[float, float, float]
    """m."""
    quaternion: tuple[float, float, float, float]
    """w x y z, unit length."""


class Shape(NamedTuple):
    """One visible body of a link."""

    kind: Literal["box", "cylinder", "sphere", "mesh"]
    size: tuple[float, ...]
    """m: edges of a box; radius and length of a cylinder, along z; radius of a sphere; factors on a mesh."""
    mesh: Path | None
    """File of a mesh, which need not exist; None for the other kinds."""
    placement: Placement
    """In the link."""
    color: tuple[float, float, float, float]
    """Red, green, blue and opacity, 0 to 1."""


class Link(NamedTuple):
    """One link and the joint that it hangs from."""

    name: str
    parent: str | None
    """None for the base."""
    joint: str | None
    """Name of the joint, None for the base and at a joint that does not turn."""
    placement: Placement
    """In the parent at joint angle 0; the base lies at its own origin."""
    axis: tuple[float, float, float]
    """Unit vector in the link's frame that the joint turns about."""
    shapes: tuple[Shape, ...]


def read_links(asset: Path) -> tuple[Link, ...]:
    """The links of a URDF, parents before their children.

    A robot that has nothing to look at is drawn with the shapes it collides with.

    Raises:
        ValueError: it is no URDF, or its links are no tree.
    """
    try:
        root = ElementTree.parse(asset).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise ValueError(f"{asset} cannot be read: {error}") from None
    if root.tag != "robot":
        raise ValueError(f"{asset} is no URDF but <{root.tag}>, and only robots of a URDF can be drawn on a page")
    looks = "visual" if root.find("link/visual") is not None else "collision"
    # Where a shape only names its material, another element tells its colour.
    colors = {material.get("name", ""): color for material in root.iter("material") if (color := _color(material))}
    elements = {element.get("name", ""): element for element in root.iter("link")}
    joints = [joint for joint in root.iter("joint") if joint.find("child") is not None]
    hangs_from = {_link_of(joint, "child"): joint for joint in joints}
    links: dict[str, Link] = {}
    waiting = dict(elements)
    while waiting:
        ready = [name for name in waiting if name not in hangs_from or _link_of(hangs_from[name], "parent") in links]
        if not ready:
            raise ValueError(f"{asset}: the links {', '.join(waiting)} do not hang from the base")
        for name in ready:
            shapes = tuple(_shape(visual, asset, colors) for visual in waiting.pop(name).findall(looks))
            links[name] = _link(name, hangs_from.get(name), shapes)
    return tuple(links.values())


def turned(placement: Placement, axis: tuple[float, float, float], angle: float) -> tuple[float, float, float, float]:
    """Quaternion (w x y z) of a link in its parent when its joint has turned by `angle` rad."""
    sine = math.sin(0.5 * angle)
    return multiply(placement.quaternion, (math.cos(0.5 * angle), sine * axis[0], sine * axis[1], sine * axis[2]))


def multiply(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Product of two quaternions (w x y z): turn by `second`, then by `first`."""
    a, b, c, d = first
    w, x, y, z = second
    return (
        a * w - b * x - c * y - d * z,
        a * x + b * w + c * z - d * y,
        a * y - b * z + c * w + d * x,
        a * z + b * y - c * x + d * w,
    )


def _link(name: str, joint: Element | None, shapes: tuple[Shape, ...]) -> Link:
    if joint is None:
        return Link(name, None, None, _placement(None), (0.0, 0.0, 1.0), shapes)
    turns = joint.get("type") in ("revolute", "continuous")
    x, y, z = _three(joint.find("axis"), "xyz", (1.0, 0.0, 0.0))
    length = math.hypot(x, y, z) or 1.0
    axis = x / length, y / length, z / length
    placement = _placement(joint.find("origin"))
    return Link(name, _link_of(joint, "parent"), joint.get("name") if turns else None, placement, axis, shapes)


def _link_of(joint: Element, end: str) -> str:
    element = joint.find(end)
    return "" if element is None else element.get("link", "")


def _shape(visual: Element, asset: Path, colors: Mapping[str, tuple[float, ...]]) -> Shape:
    material = visual.find("material")
    own = None if material is None else _color(material) or colors.get(material.get("name", ""))
    red, green, blue, opacity = own or GREY
    color, placement = (red, green, blue, opacity), _placement(visual.find("origin"))
    for element in visual.iterfind("geometry/*"):
        if element.tag == "box":
            return Shape("box", _three(element, "size", (0.0, 0.0, 0.0)), None, placement, color)
        if element.tag == "cylinder":
            size = float(element.get("radius", 0.0)), float(element.get("length", 0.0))
            return Shape("cylinder", size, None, placement, color)
        if element.tag == "sphere":
            return Shape("sphere", (float(element.get("radius", 0.0)),), None, placement, color)
        if element.tag == "mesh":
            path = mesh_path(asset, element.get("filename", ""))
            return Shape("mesh", _three(element, "scale", (1.0, 1.0, 1.0)), path, placement, color)
    raise ValueError(f"{asset}: a shape is neither box, cylinder, sphere nor mesh")


def mesh_path(asset: Path, name: str) -> Path:
    """The file of a mesh; `package://` is looked for in the folders above the URDF, as nobody says where it lies."""
    if not name.startswith("package://"):
        return asset.parent / name.removeprefix("file://")
    package, _, rest = name.removeprefix("package://").partition("/")
    return next(
        (path for folder in asset.absolute().parents for path in _places(folder, package, rest) if path.is_file()),
        asset.parent / rest,
    )


def _places(folder: Path, package: str, rest: str) -> Iterator[Path]:
    yield folder / package / rest
    yield folder / rest


def _color(material: Element) -> tuple[float, ...] | None:
    color = material.find("color")
    return None if color is None else _numbers(color, "rgba", GREY)


def _placement(origin: Element | None) -> Placement:
    roll, pitch, yaw = _three(origin, "rpy", (0.0, 0.0, 0.0))
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(0.5 * angle), math.sin(0.5 * angle)) for angle in (roll, pitch, yaw))
    quaternion = multiply((cy, 0.0, 0.0, sy), multiply((cp, 0.0, sp, 0.0), (cr, sr, 0.0, 0.0)))
    return Placement(_three(origin, "xyz", (0.0, 0.0, 0.0)), quaternion)


def _three(element: Element | None, name: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = _numbers(element, name, default)
    return x, y, z


def _numbers(element: Element | None, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    text = None if element is None else element.get(name)
    values = default if text is None else tuple(float(word) for word in text.split())
    if len(values) != len(default):
        raise ValueError(f"{name} must be {len(default)} numbers, not {text!r}")
    return values
