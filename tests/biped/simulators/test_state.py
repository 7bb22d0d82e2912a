import math

import torch
from torch.testing import assert_close

from biped.simulators.state import euler_angles, make_state, rotate, rotate_inverse

HALF = math.sqrt(0.5)


def test_a_quarter_turn_about_z_takes_x_to_y_and_back() -> None:
    quaternion = torch.tensor([HALF, 0.0, 0.0, HALF])
    x, y = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    assert_close(rotate(quaternion, x), y)
    assert_close(rotate_inverse(quaternion, y), x)


def test_a_third_of_a_turn_about_the_diagonal_permutes_the_axes_exactly() -> None:
    quaternion = torch.full((4,), 0.5)
    assert rotate(quaternion, torch.tensor([1.0, 2.0, 3.0])).tolist() == [3.0, 1.0, 2.0]
    assert rotate_inverse(quaternion, torch.tensor([1.0, 2.0, 3.0])).tolist() == [2.0, 3.0, 1.0]


def test_rotations_broadcast_over_leading_dimensions() -> None:
    quaternion = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]).unsqueeze(1)
    vector = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).expand(2, 2, 3)
    expected = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[-1.0, -2.0, 3.0], [-4.0, -5.0, 6.0]]])
    assert torch.equal(rotate(quaternion, vector), expected)
    assert torch.equal(rotate_inverse(quaternion, vector), expected)


def test_euler_angles_recover_the_turns_about_z_then_y_then_x() -> None:
    roll, pitch, yaw = 0.3, -0.5, 2.0

    def turn(axis: int, angle: float) -> torch.Tensor:
        quaternion = torch.zeros(1, 4)
        quaternion[0, 0], quaternion[0, axis] = math.cos(angle / 2), math.sin(angle / 2)
        return quaternion

    # Intrinsic z-y-x angles mean Rz Ry Rx. The rows are the turned axes, so the transpose of the rotation matrix.
    axes = rotate(turn(3, yaw), rotate(turn(2, pitch), rotate(turn(1, roll), torch.eye(3))))
    w = 0.5 * math.sqrt(1.0 + float(axes.trace()))
    quaternion = torch.tensor(
        [
            w,
            float(axes[1, 2] - axes[2, 1]) / (4 * w),
            float(axes[2, 0] - axes[0, 2]) / (4 * w),
            float(axes[0, 1] - axes[1, 0]) / (4 * w),
        ]
    )
    assert_close(euler_angles(quaternion), torch.tensor([roll, pitch, yaw]))


def test_euler_angles_stay_finite_where_rounding_exceeds_a_vertical_pitch() -> None:
    quaternion = torch.tensor([HALF, 0.0, HALF, 0.0]) * 1.0001
    angles = euler_angles(quaternion)
    assert torch.isfinite(angles).all()
    assert_close(angles[1], torch.tensor(math.pi / 2))


def test_make_state_expresses_velocities_and_gravity_in_the_body_frame() -> None:
    # Pitched nose down by a quarter turn: the body's x axis points down, its z axis forward.
    nose_down = torch.tensor([[HALF, 0.0, HALF, 0.0]])
    nothing = torch.zeros(1, 9)
    state = make_state(
        base_position=torch.tensor([[1.0, 2.0, 3.0]]),
        base_quaternion=nose_down,
        base_linear_velocity_world=torch.tensor([[1.0, 2.0, 3.0]]),
        base_angular_velocity_world=torch.tensor([[0.0, 0.0, 1.0]]),
        joint_position=nothing,
        joint_velocity=nothing,
        joint_torque=nothing,
        foot_position=torch.zeros(1, 2, 3),
        foot_velocity=torch.zeros(1, 2, 3),
        foot_contact_force=torch.zeros(1, 2),
        failed=torch.zeros(1, dtype=torch.bool),
    )
    assert_close(state.base_linear_velocity, torch.tensor([[-3.0, 2.0, 1.0]]))
    assert_close(state.base_angular_velocity, torch.tensor([[-1.0, 0.0, 0.0]]))
    assert_close(state.projected_gravity, torch.tensor([[1.0, 0.0, 0.0]]))
    assert_close(state.base_position, torch.tensor([[1.0, 2.0, 3.0]]))
