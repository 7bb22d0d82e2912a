import math

import pytest
import torch
from torch import Tensor

from biped.simulators.state import State
from biped.task.mean_velocity import MeanVelocityError
from tests.biped.simulators.fake_simulator import upright_state

DT = 0.02
COMMAND = torch.tensor([[0.5, 0.0, 0.0], [0.1, -0.2, 0.3]])


def moving(linear: list[list[float]], angular: list[list[float]]) -> State:
    return upright_state(2)._replace(
        base_linear_velocity=torch.tensor(linear), base_angular_velocity=torch.tensor(angular)
    )


def make_average(time_constant: float = 0.06, settling_time: float = 0.0) -> MeanVelocityError:
    return MeanVelocityError(time_constant, settling_time, 2, DT, torch.device("cpu"))


def test_velocities_and_yaw_rate_beyond_the_command_are_averaged() -> None:
    average = make_average()
    state = moving([[0.9, 0.4, 7.0], [0.1, -0.2, 7.0]], [[7.0, 7.0, -0.8], [7.0, 7.0, 0.3]])
    # A quarter of the way to the error in each step.
    first = torch.tensor([[0.1, 0.1, -0.2], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(average.step(state, COMMAND), first)
    torch.testing.assert_close(average.step(state, COMMAND), 1.75 * first)


def test_what_swings_within_a_stride_hardly_counts() -> None:
    average = make_average(0.6)
    seen: list[Tensor] = []
    for step in range(300):
        swing = 0.3 * math.sin(2.0 * math.pi * step * DT / 0.3)
        seen.append(average.step(moving([[0.47 + swing, 0.0, 0.0]] * 2, [[0.0, 0.0, 0.0]] * 2), COMMAND)[0, 0])
    last = torch.stack(seen[-30:])
    assert last.mean().item() == pytest.approx(-0.03, abs=0.003)
    assert last.std().item() < 0.02


def test_an_episode_begins_without_an_error() -> None:
    average = make_average()
    state = moving([[1.0, 1.0, 0.0]] * 2, [[0.0, 0.0, 1.0]] * 2)
    average.step(state, COMMAND)
    average.reset(torch.tensor([True, False]))
    torch.testing.assert_close(average.step(state, COMMAND)[0], 0.25 * torch.tensor([0.5, 1.0, 1.0]))
    torch.testing.assert_close(average.step(state, COMMAND)[1], (1 - 0.75**3) * torch.tensor([0.9, 1.2, 0.7]))


def test_nothing_counts_until_robots_can_have_reached_a_new_velocity() -> None:
    average = make_average(settling_time=0.06)
    state = moving([[1.0, 0.0, 0.0]] * 2, [[0.0, 0.0, 0.0]] * 2)
    errors = [average.step(state, COMMAND)[0, 0].item() for _ in range(5)]
    # Three control steps to settle in, also where an episode begins.
    assert errors == pytest.approx([0.0, 0.0, 0.0, 0.25 * 0.5, (1 - 0.75**2) * 0.5])
    command = COMMAND.clone()
    command[0] = torch.tensor([0.2, 0.0, 0.0])
    seen = [average.step(state, command)[:, 0] for _ in range(4)]
    assert [one[0].item() for one in seen] == pytest.approx([0.0, 0.0, 0.0, 0.25 * 0.8])
    # The other robot was told nothing new.
    assert seen[-1][1].item() == pytest.approx((1 - 0.75**6) * 0.9)


def test_a_new_yaw_rate_alone_needs_no_settling() -> None:
    average = make_average(settling_time=0.06)
    state = moving([[1.0, 0.0, 0.0]] * 2, [[0.0, 0.0, 0.0]] * 2)
    for _ in range(4):
        average.step(state, COMMAND)
    turning = COMMAND + torch.tensor([0.0, 0.0, 0.1])
    assert average.step(state, turning)[0, 0].item() == pytest.approx((1 - 0.75**2) * 0.5)


def test_a_saved_average_goes_on_settling() -> None:
    average, restored = make_average(settling_time=0.06), make_average(settling_time=0.06)
    state = moving([[1.0, 0.0, 0.0]] * 2, [[0.0, 0.0, 0.0]] * 2)
    average.step(state, COMMAND)
    restored.load_state_dict(average.state_dict())
    for _ in range(4):
        torch.testing.assert_close(restored.step(state, COMMAND), average.step(state, COMMAND), rtol=0.0, atol=0.0)


def test_without_settling_no_more_is_remembered_than_the_average() -> None:
    average = make_average()
    average.step(moving([[1.0, 0.0, 0.0]] * 2, [[0.0, 0.0, 0.0]] * 2), COMMAND)
    assert average.state_dict().keys() == {"_error"}
