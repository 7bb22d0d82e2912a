import torch

from biped.task.disturbances import pushed_velocity
from tests.biped.simulators.fake_simulator import upright_state
from tests.biped.task.test_randomization import assert_fills, generator


def test_a_push_changes_the_horizontal_velocity_by_up_to_its_speed() -> None:
    num_envs = 4096
    state = upright_state(num_envs)._replace(
        # Turned by 90 degrees to the left: the body's x axis is the world's y axis.
        base_quaternion=torch.tensor([[0.5**0.5, 0.0, 0.0, 0.5**0.5]]).repeat(num_envs, 1),
        base_linear_velocity=torch.tensor([[2.0, 0.0, 0.3]]).repeat(num_envs, 1),
        base_angular_velocity=torch.tensor([[1.0, 0.0, 0.7]]).repeat(num_envs, 1),
    )
    moving = torch.zeros(num_envs, dtype=torch.bool)
    linear, angular = pushed_velocity(state, moving, 1.0, generator())
    torch.testing.assert_close(angular, torch.tensor([[0.0, 1.0, 0.7]]).repeat(num_envs, 1))
    change = linear - torch.tensor([0.0, 2.0, 0.3])
    torch.testing.assert_close(change[:, 2], torch.zeros(num_envs), atol=1e-6, rtol=0)
    assert_fills(change[:, :2].norm(dim=1), 0.0, 1.0)
    assert change.mean(0).abs().amax().item() < 0.03


def test_a_robot_put_at_rest_is_pushed_from_rest() -> None:
    state = upright_state(2)._replace(base_linear_velocity=torch.full((2, 3), 5.0))
    linear, angular = pushed_velocity(state, torch.tensor([True, False]), 1.0, generator())
    assert linear[0].norm().item() <= 1.0
    assert linear[1].norm().item() > 5.0
    assert not angular.any()
