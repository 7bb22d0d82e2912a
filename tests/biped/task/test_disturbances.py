import dataclasses

import pytest
import torch

from biped.simulators.state import rotate
from biped.task.disturbances import Disturbances, pushed_velocity
from biped.task.randomization import RandomizationConfig
from tests.biped.simulators.fake_simulator import FakeSimulator, upright_state
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


IMPULSES = RandomizationConfig(impulse_force=20.0, impulse_duration_s=0.06, impulse_interval_s=0.2)
MOVING = torch.zeros(512, dtype=torch.bool)


def disturbed(config: RandomizationConfig, steps: int) -> tuple[Disturbances, FakeSimulator, list[int]]:
    """What happens to 512 robots, and in which control steps a force acts."""
    simulator = FakeSimulator(512)
    disturbances = Disturbances(config, simulator, None, generator())
    pulled = []
    for step in range(1, steps + 1):
        before = len(simulator.forces)
        disturbances.step(simulator.read(), MOVING)
        if len(simulator.forces) > before:
            pulled.append(step)
    return disturbances, simulator, pulled


def test_impulses_pull_for_their_duration_at_their_interval() -> None:
    disturbances, simulator, pulled = disturbed(IMPULSES, 34)
    assert pulled == [10, 11, 12, 20, 21, 22, 30, 31, 32]
    forces = torch.stack(simulator.forces)
    assert torch.equal(forces[0], forces[1])
    assert torch.equal(forces[1], forces[2])
    assert not torch.equal(forces[2], forces[3])
    assert not forces[..., 2].any()
    assert_fills(forces[..., :2].norm(dim=-1), 0.0, 20.0)
    assert forces[0].mean(dim=0).abs().max() < 1.5
    assert disturbances.force is not None
    assert not disturbances.force.any()


def test_an_impulse_may_last_until_the_next() -> None:
    _, simulator, pulled = disturbed(RandomizationConfig(impulse_force=1.0, impulse_interval_s=0.1), 16)
    assert pulled == list(range(5, 17))
    assert len({float(force[0, 0]) for force in simulator.forces}) == 3


def test_without_impulses_no_force_acts() -> None:
    disturbances, simulator, pulled = disturbed(RandomizationConfig(), 400)
    assert pulled == []
    assert disturbances.force is None
    assert disturbances.hidden(simulator.read()) == {}
    assert disturbances.state_dict() == {}


def test_impulses_grow() -> None:
    _, simulator, _ = disturbed(dataclasses.replace(IMPULSES, growth_s=0.8), 62)
    strongest = [float(force.norm(dim=-1).max()) for force in simulator.forces[::3]]
    assert strongest == pytest.approx([20.0 * step / 40.0 for step in (9, 19, 29, 39)] + [20.0] * 2, rel=0.02)


def test_an_impulse_ends_with_the_episode_and_goes_on_from_a_saved_state() -> None:
    disturbances, simulator, _ = disturbed(IMPULSES, 10)
    other, twin, _ = disturbed(IMPULSES, 0)
    other.step_count = disturbances.step_count
    other.load_state_dict(disturbances.state_dict())
    ended = torch.arange(512) < 100
    disturbances.reset(ended)
    for each in (disturbances, other):
        each.step(simulator.read(), MOVING)
    assert not simulator.forces[1][ended].any()
    assert torch.equal(simulator.forces[1][~ended], simulator.forces[0][~ended])
    assert torch.equal(twin.forces[0], simulator.forces[0])


def test_the_force_is_shown_in_the_body_frame() -> None:
    disturbances, _, _ = disturbed(IMPULSES, 11)
    quaternion = torch.nn.functional.normalize(torch.randn(512, 4, generator=generator()), dim=-1)
    shown = disturbances.hidden(upright_state(512)._replace(base_quaternion=quaternion))["impulse"]
    assert disturbances.force is not None
    torch.testing.assert_close(rotate(quaternion, shown), disturbances.force, atol=1e-5, rtol=1e-5)
