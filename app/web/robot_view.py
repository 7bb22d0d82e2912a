"""The robot in 3D: its own shapes, the ground, the feet that carry it, and arrows for what it should do and does."""

import math
from collections.abc import Sequence

import numpy as np
import trimesh
import viser
from numpy.typing import NDArray

from app.steering.frames import Frame, Pose
from biped.robots.robot import Robot
from biped.robots.shapes import Link, Shape, read_links, turned

COMMANDED, ACTUAL = (37, 99, 235), (234, 88, 12)
"""Colours of what is asked for and of what is."""
CONTACT = (34, 197, 94)
"""Colour of the ground under a foot that carries."""
FOLLOWING_S = 0.4
"""s in which the eye follows the robot: shorter, and every sway of the body would shake the ground instead."""
ARC_POINTS = 17
"""Of the arc that shows a yaw rate."""


class RobotView:
    """One robot on a server's page, beside which the ground moves, so that every browser keeps its own view of it.

    Args:
        server: of the page.
        robot: what is shown.
        control_dt: s between two poses in real time.
    """

    def __init__(self, server: viser.ViserServer, robot: Robot, control_dt: float) -> None:
        self._server = server
        self._size = robot.nominal_base_height
        self._weight = control_dt / (FOLLOWING_S + control_dt)
        self._eye = np.zeros(2)
        self.follow = True
        """Keep the robot in the middle."""
        scene = server.scene
        size = self._size
        # Without the picture of a hall that viser mirrors in everything, colours are those of the robot.
        scene.configure_environment_map(hdri=None)
        scene.add_light_hemisphere("/sky", sky_color=(255, 255, 255), ground_color=(200, 200, 200), intensity=2.0)
        self._ground = scene.add_grid(
            "/ground",
            infinite_grid=True,
            cell_size=0.25,
            section_size=1.0,
            cell_color=(196, 205, 216),
            section_color=(150, 163, 180),
            plane_color=(232, 237, 243),
            plane_opacity=1.0,
            shadow_opacity=0.3,
            fade_distance=30.0 * size,
        )
        self._base = scene.add_frame("/robot", show_axes=False)
        paths: dict[str, str] = {}
        self._joints: list[tuple[viser.FrameHandle, Link, int]] = []
        for link in read_links(robot.asset):
            paths[link.name] = f"{paths[link.parent] if link.parent else '/robot'}/{link.name}"
            frame = scene.add_frame(
                paths[link.name],
                show_axes=False,
                position=link.placement.position,
                wxyz=link.placement.quaternion,
            )
            if link.joint in robot.joint_names:
                self._joints.append((frame, link, robot.joint_names.index(link.joint)))
            for number, shape in enumerate(link.shapes):
                add_shape(scene, f"{paths[link.name]}/shape_{number}", shape)
        self._contacts = [
            scene.add_cylinder(
                f"/contacts/{side}",
                radius=0.24 * size,
                height=0.006 * size,
                color=CONTACT,
                opacity=0.9,
                cast_shadow=False,
                visible=False,
            )
            for side in ("right", "left")
        ]
        self._arrows = [
            scene.add_arrows(
                f"/velocity/{name}",
                np.zeros((1, 2, 3)),
                colors=color,
                shaft_radius=0.022 * size,
                head_radius=0.06 * size,
                head_length=0.13 * size,
                visible=False,
            )
            for name, color in (("commanded", COMMANDED), ("actual", ACTUAL))
        ]
        self._arcs = [
            scene.add_line_segments(
                f"/yaw_rate/{name}",
                np.zeros((ARC_POINTS - 1, 2, 3)),
                colors=color,
                thickness=0.025 * size,
                visible=False,
            )
            for name, color in (("commanded", COMMANDED), ("actual", ACTUAL))
        ]
        self._command = self._velocity = (0.0, 0.0, 0.0)

    def look(self) -> None:
        """Let a browser begin with the robot in front of it."""
        camera = self._server.initial_camera
        camera.position = (2.3 * self._size, -2.7 * self._size, 1.6 * self._size)
        camera.look_at = (0.0, 0.0, 0.85 * self._size)

    def note(self, frame: Frame) -> None:
        """Show which feet carry, and the velocities; these are smoothed over a stride, as the body sways."""
        for contact, carries in zip(self._contacts, frame.contact, strict=True):
            contact.visible = carries
        self._command = frame.command
        vx, vy, yaw_rate = (
            before + self._weight * (now - before) for before, now in zip(self._velocity, frame.velocity, strict=True)
        )
        self._velocity = vx, vy, yaw_rate

    def show(self, pose: Pose) -> None:
        """Move everything to where it is."""
        if self.follow:
            gap = pose.base_position[:2] - self._eye
            # A robot that was put elsewhere is not followed there step by step.
            self._eye = self._eye + gap * (1.0 if float(np.hypot(*gap)) > 2.0 * self._size else self._weight)
        x, y = pose.base_position[:2] - self._eye
        self._ground.position = (-self._eye[0] % 1.0, -self._eye[1] % 1.0, 0.0)
        self._base.position = (x, y, pose.base_position[2])
        self._base.wxyz = pose.base_quaternion
        for frame, link, joint in self._joints:
            frame.wxyz = turned(link.placement, link.axis, float(pose.joint_position[joint]))
        for contact, foot in zip(self._contacts, pose.foot_position, strict=True):
            contact.position = (foot[0] - self._eye[0], foot[1] - self._eye[1], 0.004 * self._size)
        w, qx, qy, qz = pose.base_quaternion
        heading = math.atan2(2.0 * (w * qz + qx * qy), 1.0 - 2.0 * (qy * qy + qz * qz))
        for number, velocity in enumerate((self._command, self._velocity)):
            # One above the other, so that they do not hide each other where they agree.
            height = (1.62 + 0.09 * number) * self._size
            self._show_velocity(number, np.array((x, y, height)), heading, velocity)

    def _show_velocity(
        self, number: int, origin: NDArray[np.float64], heading: float, velocity: Sequence[float]
    ) -> None:
        vx, vy, yaw_rate = velocity
        cosine, sine = math.cos(heading), math.sin(heading)
        # The robot's height for the speed at which it covers that in a second.
        ahead = 1.4 * np.array((cosine * vx - sine * vy, sine * vx + cosine * vy, 0.0)) * self._size / 0.434
        arrow, arc = self._arrows[number], self._arcs[number]
        arrow.visible = bool(np.linalg.norm(ahead) > 0.1 * self._size)
        if arrow.visible:
            arrow.points = np.stack((origin, origin + ahead))[None].astype(np.float32)
        arc.visible = abs(yaw_rate) > 0.05
        if arc.visible:
            angles = heading + np.linspace(0.0, max(-3.0, min(3.0, yaw_rate)), ARC_POINTS)
            radius = (0.55 + 0.06 * number) * self._size
            points = origin + radius * np.stack((np.cos(angles), np.sin(angles), np.zeros(ARC_POINTS)), axis=1)
            arc.points = np.stack((points[:-1], points[1:]), axis=1).astype(np.float32)


def add_shape(scene: viser.SceneApi, name: str, shape: Shape) -> None:
    """Add one shape to a link's frame; a mesh that cannot be read is left out."""
    red, green, blue = (round(255 * part) for part in shape.color[:3])
    opacity = None if shape.color[3] >= 1.0 else shape.color[3]
    color, position, wxyz = (red, green, blue), shape.placement.position, shape.placement.quaternion
    match shape.kind:
        case "box":
            x, y, z = shape.size
            scene.add_box(name, color=color, dimensions=(x, y, z), opacity=opacity, position=position, wxyz=wxyz)
        case "cylinder":
            radius, height = shape.size
            scene.add_cylinder(
                name, radius=radius, height=height, color=color, opacity=opacity, position=position, wxyz=wxyz
            )
        case "sphere":
            scene.add_icosphere(name, radius=shape.size[0], color=color, opacity=opacity, position=position, wxyz=wxyz)
        case "mesh":
            mesh = read_mesh(shape)
            if mesh is not None:
                scene.add_mesh_simple(
                    name, mesh.vertices, mesh.faces, color=color, opacity=opacity, position=position, wxyz=wxyz
                )


def read_mesh(shape: Shape) -> trimesh.Trimesh | None:
    """The mesh of a shape in m; None where the file is missing or is none."""
    try:
        mesh = trimesh.load(shape.mesh, force="mesh")
    except Exception:
        # Each format has a reader with exceptions of its own.
        return None
    if not isinstance(mesh, trimesh.Trimesh) or mesh.is_empty:
        return None
    return trimesh.Trimesh(mesh.vertices * np.array(shape.size), mesh.faces, process=False)
