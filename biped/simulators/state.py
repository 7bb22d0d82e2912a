"""The physical state of all robots after one control step, in SI units, and the rotations to read it by."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class State(NamedTuple):
    """State of `N` robots with `J` joints and two feet. World frame: z up; body frame: x forward, y left, z up.

    Joints stand in the robot's `joint_names` order, feet in the order right, left.
    """

    base_position: Tensor
    """`[N, 3]` m, world frame."""
    base_quaternion: Tensor
    """`[N, 4]` rotation from body to world, w x y z, unit length."""
    base_linear_velocity: Tensor
    """`[N, 3]` m/s, body frame."""
    base_angular_velocity: Tensor
    """`[N, 3]` rad/s, body frame."""
    projected_gravity: Tensor
    """`[N, 3]` unit vector of gravity in the body frame; (0, 0, -1) when upright."""
    roll_pitch_yaw: Tensor
    """`[N, 3]` rad, intrinsic z-y-x Euler angles of the base."""
    joint_position: Tensor
    """`[N, J]` rad."""
    joint_velocity: Tensor
    """`[N, J]` rad/s."""
    joint_torque: Tensor
    """`[N, J]` N m of the servos, at the end of the control step."""
    foot_position: Tensor
    """`[N, 2, 3]` m, world frame; the centre of the sole."""
    foot_velocity: Tensor
    """`[N, 2, 3]` m/s, world frame; of the centre of the sole."""
    foot_contact_force: Tensor
    """`[N, 2]` N, magnitude of the net contact force on each foot."""
    failed: Tensor
    """`[N]` bool; the solver reported an error or a value was beyond reason. All other fields are finite even there."""


def rotate_inverse(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Express a world vector `[..., 3]` in the frame turned by `quaternion` `[..., 4]` (w x y z) from the world."""
    w, xyz = quaternion[..., :1], quaternion[..., 1:]
    cross = 2.0 * torch.linalg.cross(xyz, vector)
    rotated: Tensor = vector - w * cross + torch.linalg.cross(xyz, cross)
    return rotated


def rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Express a body vector `[..., 3]` in the world, given the body's rotation `quaternion` `[..., 4]` (w x y z)."""
    w, xyz = quaternion[..., :1], quaternion[..., 1:]
    cross = 2.0 * torch.linalg.cross(xyz, vector)
    rotated: Tensor = vector + w * cross + torch.linalg.cross(xyz, cross)
    return rotated


def euler_angles(quaternion: Tensor) -> Tensor:
    """Roll, pitch and yaw `[..., 3]` in rad (intrinsic z-y-x) of unit quaternions `[..., 4]` (w x y z)."""
    values = quaternion.movedim(-1, 0).contiguous()
    # Twice the product of each two values.
    products = (2.0 * values).unsqueeze(1) * values
    (_, wx, wy, wz), (_, xx, xy, xz), (_, _, yy, yz), (_, _, _, zz) = (row.unbind() for row in products.unbind())
    roll = torch.atan2(wx + yz, 1.0 - (xx + yy))
    pitch = torch.asin((wy - xz).clamp(-1.0, 1.0))
    yaw = torch.atan2(wz + xy, 1.0 - (yy + zz))
    return torch.stack((roll, pitch, yaw), dim=-1)


def make_state(
    *,
    base_position: Tensor,
    base_quaternion: Tensor,
    base_linear_velocity_world: Tensor,
    base_angular_velocity_world: Tensor,
    joint_position: Tensor,
    joint_velocity: Tensor,
    joint_torque: Tensor,
    foot_position: Tensor,
    foot_velocity: Tensor,
    foot_contact_force: Tensor,
    failed: Tensor,
) -> State:
    """Derive the body-frame quantities of `State` from what a simulator reports in the world frame.

    Shapes and units as in `State`; both base velocities in the world frame. Values must already be finite.
    """
    down = torch.zeros_like(base_position)
    down[:, 2] = -1.0
    in_body = rotate_inverse(
        base_quaternion.unsqueeze(1),
        torch.stack((base_linear_velocity_world, base_angular_velocity_world, down), dim=1),
    )
    return State(
        base_position=base_position,
        base_quaternion=base_quaternion,
        base_linear_velocity=in_body[:, 0],
        base_angular_velocity=in_body[:, 1],
        projected_gravity=in_body[:, 2],
        roll_pitch_yaw=euler_angles(base_quaternion),
        joint_position=joint_position,
        joint_velocity=joint_velocity,
        joint_torque=joint_torque,
        foot_position=foot_position,
        foot_velocity=foot_velocity,
        foot_contact_force=foot_contact_force,
        failed=failed,
    )


def state_from_rows(rows: Tensor, num_joints: int, failed: Tensor) -> State:
    """`make_state` of its arguments side by side in one row per robot, in its order, all but `failed` `[N]` bool."""
    position, quaternion, linear, angular, q, qd, tau, feet, feet_velocity, force = rows.split(
        (3, 4, 3, 3, num_joints, num_joints, num_joints, 6, 6, 2), dim=1
    )
    return make_state(
        base_position=position,
        base_quaternion=quaternion,
        base_linear_velocity_world=linear,
        base_angular_velocity_world=angular,
        joint_position=q,
        joint_velocity=qd,
        joint_torque=tau,
        foot_position=feet.unflatten(1, (2, 3)),
        foot_velocity=feet_velocity.unflatten(1, (2, 3)),
        foot_contact_force=force,
        failed=failed,
    )


def even_index(indices: Sequence[int], device: torch.device) -> slice | Tensor:
    """`indices` as a slice where they rise evenly, as then reads are views and writes need no scatter."""
    step = max(1, indices[1] - indices[0])
    if list(indices) == list(range(indices[0], indices[-1] + 1, step)):
        return slice(indices[0], indices[-1] + 1, step)
    return torch.tensor(indices, device=device)
