"""The robot's URDF or MJCF as Genesis reads it.

Genesis itself is passed in, as only `biped/simulators/genesis.py` imports it.
"""

from types import ModuleType
from typing import Any
from xml.etree import ElementTree

from biped.robots.model_file import is_mjcf, urdf_with_found_meshes, without_meshes
from biped.robots.robot import Robot


def morph(gs: ModuleType, robot: Robot) -> Any:  # noqa: ANN401
    """The robot's model file as Genesis reads it."""
    settings = {
        "pos": (0.0, 0.0, robot.nominal_base_height),
        # The defaults would move the base frame to the centre of mass and give every joint 0.1 kg m^2.
        "align": False,
        "default_armature": None,
    }
    if is_mjcf(robot.asset):
        return gs.morphs.MJCF(file=without_meshes(robot.asset), **settings)
    text = ElementTree.tostring(urdf_with_found_meshes(robot.asset, None), encoding="unicode")
    return gs.morphs.URDF(file=text, links_to_keep=[robot.base_link, *robot.foot_links], **settings)
