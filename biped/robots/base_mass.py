"""The mass of the base that a robot's URDF states."""

from xml.etree import ElementTree

from biped.robots.robot import Robot


def base_mass(robot: Robot) -> float:
    """Mass of the robot's base in kg.

    Raises:
        ValueError: The URDF states none.
    """
    for link in ElementTree.parse(robot.asset).getroot().iter("link"):
        mass = link.find("inertial/mass")
        if link.get("name") == robot.base_link and mass is not None:
            return float(mass.get("value", 0.0))
    raise ValueError(f"{robot.asset}: no mass of a link named {robot.base_link!r}")
