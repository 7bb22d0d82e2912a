"""The robot's URDF or MJCF as a MuJoCo model: free base, servos, sensors, ground, and scenery where there is a camera.

MuJoCo itself is passed in, as only `biped/simulators/mujoco.py` imports it.
"""

from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

from biped.robots.model_file import is_mjcf, urdf_with_found_meshes, without_meshes
from biped.robots.robot import Robot
from biped.simulators.config import GROUND_FRICTION, SimulationConfig

MESH_FORMATS = (".stl", ".obj", ".msh")
"""Endings of the meshes that MuJoCo reads."""


def sole_site(foot_link: str) -> str:
    """Name of the site at the centre of a foot's sole."""
    return f"{foot_link}/sole"


def contact_sensor(foot_link: str) -> str:
    """Name of the sensor of the net contact force on a foot, `[3]` N."""
    return f"{foot_link}/contact"


def build_model(mujoco: ModuleType, robot: Robot, config: SimulationConfig, *, visual: bool) -> Any:  # noqa: ANN401
    """The robot with a free base, servos and ground, compiled to an `MjModel`; `visual` for one to look at."""
    spec = read_spec(mujoco, robot.asset, visual=visual)
    spec.option.timestep = config.control_dt / config.substeps
    spec.option.iterations = config.iterations
    spec.option.tolerance = config.tolerance
    # Treats the damping of joints and servos implicitly: 0.8 N m s/rad is much for a foot of 0.01 kg m^2.
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Contacts that could be solved apart, those of other bodies, are not there, and looking for them takes time.
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
    cones = {"pyramidal": mujoco.mjtCone.mjCONE_PYRAMIDAL, "elliptic": mujoco.mjtCone.mjCONE_ELLIPTIC}
    spec.option.cone = cones[config.friction_cone]
    if not any(joint.type == mujoco.mjtJoint.mjJNT_FREE for joint in spec.body(robot.base_link).joints):
        spec.body(robot.base_link).add_freejoint()
    for joint in spec.joints:
        # The range of the servo limits its torque, and grows with its strength; that of the URDF would not.
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE
    for index, name in enumerate(robot.joint_names):
        spec.joint(name).armature = robot.armature[index]
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.gainprm[0] = robot.stiffness[index]
        servo.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        servo.biasprm[1:3] = -robot.stiffness[index], -robot.damping[index]
        servo.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        servo.forcerange = -robot.effort_limit[index], robot.effort_limit[index]
    for name, offset in zip(robot.foot_links, robot.sole_offsets, strict=True):
        spec.body(name).add_site(name=sole_site(name), pos=offset)
        spec.add_sensor(
            name=contact_sensor(name),
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_BODY,
            objname=name,
            # The force only, the sum over all contacts, one slot.
            intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), 3, 1],
        )
    for geom in spec.geoms:
        if geom.contype or geom.conaffinity:
            # All of them collide with the ground, which no bit of theirs keeps from it.
            geom.contype, geom.conaffinity = int(config.self_collision), 1
            # Hidden from cameras behind the visual shapes.
            geom.group = 3
    # MuJoCo, too, takes the larger friction of two surfaces, so the robot's own decides.
    ground = spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0.0, 0.0, 1.0], friction=[GROUND_FRICTION, 0.005, 0.0001]
    )
    if visual:
        _add_scenery(mujoco, spec, ground)
    return spec.compile()


def read_spec(mujoco: ModuleType, asset: Path, *, visual: bool) -> Any:  # noqa: ANN401
    """The robot of a URDF or an MJCF alone as an `MjSpec`, with its meshes if it is to be looked at.

    Raises:
        ValueError: it cannot be read, or lacks a file.
    """
    if is_mjcf(asset):
        spec = mujoco.MjSpec.from_file(str(asset)) if visual else mujoco.MjSpec.from_string(without_meshes(asset))
        # Every link keeps its name and mass, also one that does not move.
        spec.compiler.fusestatic = False
        for group in (spec.actuators, spec.sensors, spec.keys, spec.cameras, spec.lights, spec.worldbody.geoms):
            for one in list(group):
                spec.delete(one)
        spec.option = mujoco.MjSpec().option
        for geom in spec.geoms:
            if geom.meshname or geom.type == mujoco.mjtGeom.mjGEOM_MESH:
                # What is looked at neither weighs nor collides, as where nobody looks.
                geom.mass, geom.contype, geom.conaffinity = 0.0, 0, 0
        return spec
    description = urdf_with_found_meshes(asset, MESH_FORMATS if visual else ())
    # MuJoCo reads how to read a URDF from the URDF. Without fusing, every link keeps its name and mass, also one that
    # hangs from a fixed joint.
    settings = {"fusestatic": "false", "discardvisual": "false" if visual else "true", "strippath": "false"}
    ElementTree.SubElement(ElementTree.SubElement(description, "mujoco"), "compiler", settings)
    return mujoco.MjSpec.from_string(ElementTree.tostring(description, encoding="unicode"))


def _add_scenery(mujoco: ModuleType, spec: Any, ground: Any) -> None:  # noqa: ANN401
    """Sky, a chequered ground and light."""
    spec.visual.global_.fovy = 40.0
    spec.visual.headlight.ambient = [0.4, 0.4, 0.4]
    spec.worldbody.add_light(dir=[-0.3, 0.3, -1.0], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=False)
    picture = {"width": 256, "height": 256, "rgb1": [0.80, 0.86, 0.92], "rgb2": [0.70, 0.76, 0.82]}
    spec.add_texture(
        name="our/sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT, **picture
    )
    spec.add_texture(
        name="our/ground", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER, **picture
    )
    material = spec.add_material(name="our/ground", texrepeat=[1.0, 1.0], texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "our/ground"
    ground.material = "our/ground"
