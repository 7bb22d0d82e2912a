"""A model file as MuJoCo reads it, as plain numbers: no servos, no ground, the base held at the origin.

MuJoCo itself is passed in, as only `biped/simulators/mujoco.py` imports it.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from biped.robots.body import Array, Body, CollisionShape, Posture
from biped.robots.model_file import is_mjcf
from biped.simulators.mujoco_model import read_spec

RING = 16
"""Points on the rim of a cylinder."""


def read_body(mujoco: ModuleType, asset: Path) -> Body:
    """The body of a URDF or an MJCF.

    Raises:
        ValueError: it cannot be read, or has another tree or other joints than a robot here can have; one line that
            names file and element.
    """
    try:
        spec = read_spec(mujoco, asset, visual=False)
        base = _base(spec)
        for joint in list(base.joints):
            if joint.type != mujoco.mjtJoint.mjJNT_FREE:
                raise ValueError(
                    f"the root {base.name} moves by the joint {joint.name}; robots here float freely, so leave it out"
                )
            # It is held, whether the file lets it float or not.
            spec.delete(joint)
        base.pos, base.quat = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)
        model = spec.compile()
    except ValueError as error:
        text = " ".join(str(error).removeprefix("Error:").split())
        if "stl_decoder" in text:
            text += "; save the mesh as binary STL or as OBJ"
        raise ValueError(text if text.startswith(str(asset)) else f"{asset}: {text}") from None
    try:
        return _body(mujoco, asset, model)
    except ValueError as error:
        raise ValueError(f"{asset}: {error}") from None


def _base(spec: Any) -> Any:  # noqa: ANN401
    """The root link, on which the whole tree hangs."""
    roots = [root for root in spec.worldbody.bodies if list(root.bodies) or list(root.joints) or list(root.geoms)]
    if len(roots) > 1:
        floating = [root for root in roots if any("FREE" in str(joint.type) for joint in root.joints)]
        names = ", ".join(root.name for root in roots)
        raise ValueError(
            f"it has {len(roots)} bodies that hang from nothing ({names}); keep the robot"
            f"{f', {floating[0].name},' if floating else ''} and leave the others out"
        )
    if not roots:
        raise ValueError("it has no body; if it is a scene that includes the robot's file, name that file instead")
    if not roots[0].name:
        raise ValueError("the root body has no name; give it one")
    return roots[0]


def _body(mujoco: ModuleType, asset: Path, model: Any) -> Body:  # noqa: ANN401
    links = tuple(model.body(index).name for index in range(1, model.nbody))
    if not all(links):
        raise ValueError(
            f"the body below {links[model.body_parentid[1 + links.index('')] - 1]} has no name; give it one"
        )
    joints = [model.joint(index) for index in range(model.njnt)]
    for joint in joints:
        link = links[model.jnt_bodyid[joint.id] - 1]
        if joint.type[0] != mujoco.mjtJoint.mjJNT_HINGE:
            raise ValueError(
                f"joint {joint.name or f'of {link}'} does not turn about one axis; robots here have hinges only, so "
                "fix it or write it as hinges"
            )
        if not joint.name:
            raise ValueError(f"a joint of {link} has no name; give it one")
    limited = model.jnt_limited.astype(bool)[:, None]
    armature = model.dof_armature.copy()
    model.dof_armature[:] = 0.0
    mass = model.body_mass[1:].copy()
    inertia = model.body_inertia[1:].max(axis=1, initial=0.0)
    data = mujoco.MjData(model)

    def pose(position: Sequence[float] | Array) -> Posture:
        data.qpos[:] = position
        mujoco.mj_fwdPosition(model, data)
        data.qvel[:] = 0.0
        mujoco.mj_fwdVelocity(model, data)
        matrix = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, data, matrix)
        return Posture(
            link_position=data.xpos[1:].copy(),
            link_rotation=data.xmat[1:].reshape(-1, 3, 3).copy(),
            joint_anchor=data.xanchor.copy(),
            joint_axis=data.xaxis.copy(),
            moved_center=data.subtree_com[model.jnt_bodyid].copy(),
            center_of_mass=data.subtree_com[0].copy(),
            mass_matrix=matrix,
            gravity_torque=data.qfrc_bias.copy(),
        )

    return Body(
        path=asset,
        links=links,
        parents=tuple(int(parent) - 1 for parent in model.body_parentid[1:]),
        mass=mass,
        gyration=np.sqrt(np.divide(inertia, mass, out=np.zeros_like(mass), where=mass > 0.0)),
        joints=tuple(joint.name for joint in joints),
        joint_link=tuple(int(body) - 1 for body in model.jnt_bodyid),
        joint_range=np.where(limited, model.jnt_range, [-np.inf, np.inf]),
        effort=_efforts(mujoco, asset, model),
        armature=armature,
        shapes=tuple(_shapes(mujoco, model)),
        pose=pose,
    )


def _efforts(mujoco: ModuleType, asset: Path, model: Any) -> Array:  # noqa: ANN401
    """Largest torque of each joint: its own limit, else that of its motor; NaN where neither is given."""
    efforts = np.where(model.jnt_actfrclimited.astype(bool), np.abs(model.jnt_actfrcrange).max(axis=1), np.nan)
    if is_mjcf(asset):
        for motor in mujoco.MjSpec.from_file(str(asset)).actuators:
            index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, motor.target)
            if index < 0 or not np.isnan(efforts[index]):
                continue
            force = np.abs(motor.forcerange).max()
            if not force and motor.biastype == mujoco.mjtBias.mjBIAS_NONE:
                # A motor whose command is the force.
                force = np.abs(motor.ctrlrange).max()
            efforts[index] = force * abs(motor.gear[0]) or np.nan
    efforts[efforts == 0.0] = np.nan
    return efforts


def _shapes(mujoco: ModuleType, model: Any) -> list[CollisionShape]:  # noqa: ANN401
    found = []
    for index in range(model.ngeom):
        if not (model.geom_contype[index] or model.geom_conaffinity[index]):
            continue
        points, radius = _points(mujoco, model, index)
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, model.geom_quat[index])
        placed = model.geom_pos[index] + points @ rotation.reshape(3, 3).T
        found.append(CollisionShape(int(model.geom_bodyid[index]) - 1, placed, radius))
    return [shape for shape in found if shape.link >= 0]


def _points(mujoco: ModuleType, model: Any, index: int) -> tuple[Array, float]:  # noqa: ANN401
    """Points of a geom in its own frame, and how far its surface lies beyond their hull, in m."""
    kind, size = model.geom_type[index], model.geom_size[index]
    kinds = mujoco.mjtGeom
    signs = np.array(np.meshgrid([-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0])).reshape(3, -1).T
    if kind == kinds.mjGEOM_BOX:
        return signs * size, 0.0
    if kind == kinds.mjGEOM_SPHERE:
        return np.zeros((1, 3)), float(size[0])
    if kind == kinds.mjGEOM_CAPSULE:
        return np.array([[0.0, 0.0, -size[1]], [0.0, 0.0, size[1]]]), float(size[0])
    if kind == kinds.mjGEOM_CYLINDER:
        angle = np.linspace(0.0, 2.0 * np.pi, RING, endpoint=False)
        rim = np.stack((size[0] * np.cos(angle), size[0] * np.sin(angle), np.full(RING, size[1])), axis=1)
        return np.concatenate((rim, rim * [1.0, 1.0, -1.0])), 0.0
    if kind == kinds.mjGEOM_MESH:
        mesh = model.mesh(int(model.geom_dataid[index]))
        start, count = int(mesh.vertadr[0]), int(mesh.vertnum[0])
        return model.mesh_vert[start : start + count].astype(np.float64), 0.0
    # An ellipsoid, roughly: what it measures along its axes.
    return np.concatenate((np.diag(size), -np.diag(size))), 0.0
