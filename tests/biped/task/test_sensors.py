import dataclasses
import math

import pytest
import torch
from torch import Tensor

from biped.robots.library import BIPED
from biped.simulators.state import State, euler_angles, rotate_inverse
from biped.task.observation_sources import state_at_rest
from biped.task.observations import ObservationConfig
from biped.task.observer import Observer
from biped.task.sensors import Sensors, rotation_quaternion, through_tilted_imu
from tests.biped.environments import PLAIN, make_env, random_actions
from tests.biped.simulators.fake_simulator import DEFAULT_POSITION, upright_state

AXES = torch.eye(3)
QUIET = ObservationConfig(noise=False, critic_only=("base_height",))


def random_state(num_envs: int) -> State:
    """Tilted and moving."""
    generator = torch.Generator().manual_seed(0)
    quaternion = torch.tensor([1.0, 0.0, 0.0, 0.0]) + 0.3 * torch.randn(num_envs, 4, generator=generator)
    quaternion = torch.nn.functional.normalize(quaternion, dim=-1)
    return upright_state(num_envs)._replace(
        base_quaternion=quaternion,
        base_linear_velocity=torch.randn(num_envs, 3, generator=generator),
        base_angular_velocity=torch.randn(num_envs, 3, generator=generator),
        projected_gravity=rotate_inverse(quaternion, torch.tensor([0.0, 0.0, -1.0]).expand(num_envs, 3)),
        roll_pitch_yaw=euler_angles(quaternion),
        joint_position=torch.randn(num_envs, 9, generator=generator),
    )


def test_a_rotation_vector_turns_about_its_axis() -> None:
    quarter = rotation_quaternion(0.5 * math.pi * AXES)
    torch.testing.assert_close(rotate_inverse(quarter, AXES.roll(-1, 0)), -AXES.roll(1, 0), atol=1e-6, rtol=0.0)
    assert rotation_quaternion(torch.zeros(1, 3)).tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_an_imu_that_is_straight_shows_the_state() -> None:
    state = random_state(64)
    seen = through_tilted_imu(state, torch.zeros(64, 3))
    for value, truth in zip(seen, state, strict=True):
        torch.testing.assert_close(value, truth, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("axis", "sign"), [(0, 1.0), (1, 1.0)])
def test_a_robot_that_stands_upright_seems_to_lean_as_its_imu_does(axis: int, sign: float) -> None:
    seen = through_tilted_imu(upright_state(1), 0.1 * AXES[axis : axis + 1])
    expected = torch.zeros(1, 3)
    expected[0, axis] = sign * 0.1
    torch.testing.assert_close(seen.roll_pitch_yaw, expected, atol=1e-6, rtol=0.0)


def test_an_imu_in_another_frame_shows_what_that_frame_does() -> None:
    """The frame of the IMU, followed in the world."""
    state, tilt = random_state(64), 0.3 * torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    seen = through_tilted_imu(state, tilt)
    w, v = state.base_quaternion[:, :1], state.base_quaternion[:, 1:]
    turned = rotation_quaternion(tilt)
    a, u = turned[:, :1], turned[:, 1:]
    whole = torch.cat((w * a - (v * u).sum(1, keepdim=True), w * u + a * v + torch.linalg.cross(v, u)), dim=1)
    down = torch.tensor([0.0, 0.0, -1.0]).expand(64, 3)
    torch.testing.assert_close(seen.projected_gravity, rotate_inverse(whole, down), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(seen.roll_pitch_yaw[:, :2], euler_angles(whole)[:, :2], atol=1e-4, rtol=0.0)
    for name in ("base_linear_velocity", "base_angular_velocity"):
        torch.testing.assert_close(getattr(seen, name), rotate_inverse(turned, getattr(state, name)))
    assert torch.equal(seen.joint_position, state.joint_position)


def make_sensors(num_envs: int, longest_delay: int) -> tuple[Sensors, Observer]:
    observer = Observer(BIPED, QUIET, torch.Generator().manual_seed(0))
    return Sensors(observer, state_at_rest(BIPED, num_envs, torch.device("cpu")), longest_delay), observer


def test_encoders_show_their_bias_and_the_critic_the_truth() -> None:
    sensors, observer = make_sensors(3, 0)
    state, bias = random_state(3), torch.randn(3, 9)
    expected = observer.measure(state, state._replace(joint_position=state.joint_position + bias))
    measured = sensors.measure(state, {"encoder_bias": bias})
    assert torch.equal(measured, expected)
    assert measured.shape[1] == observer.sensed_width + 3


def test_each_robot_measures_as_late_as_its_delay_and_the_critic_at_once() -> None:
    sensors, observer = make_sensors(3, 2)
    delay, width = torch.tensor([0, 1, 2]), observer.sensed_width
    rest = torch.zeros(3, width + 3)
    sensors.reset(torch.ones(3, dtype=torch.bool), rest)
    seen = [sensors.arrive(rest + step, delay) for step in (1.0, 2.0, 3.0)]
    assert [[float(row[0]) for row in each] for each in seen] == [[1.0, 0.0, 0.0], [2.0, 1.0, 0.0], [3.0, 2.0, 1.0]]
    assert [each[:, width:].unique().tolist() for each in seen] == [[1.0], [2.0], [3.0]]
    other, _ = make_sensors(3, 2)
    other.load_state_dict(sensors.state_dict())
    sensors.reset(torch.tensor([False, False, True]), rest + 9.0)
    assert sensors.arrive(rest + 4.0, delay)[:, 0].tolist() == [4.0, 3.0, 9.0]
    assert other.arrive(rest + 4.0, delay)[:, 0].tolist() == [4.0, 3.0, 2.0]


def joint_columns(observation: Tensor) -> Tensor:
    """Angles of hips, knees and ankles."""
    return observation[:, [11, 12, 13, 14, 19, 20, 23, 24]]


def test_a_biased_encoder_deceives_the_policy_and_the_servo_alike() -> None:
    """A robot told to go to an angle sees itself there, and stands as far off as its encoders are wrong."""
    randomization = dataclasses.replace(PLAIN.randomization, encoder_bias=(-0.1, 0.1), latency_steps=(0, 0))
    env, simulator = make_env(dataclasses.replace(PLAIN, randomization=randomization))
    bias = env.randomization.lasting["encoder_bias"]
    first = env.reset()
    columns = [0, 1, 4, 5, 2, 6, 3, 7]
    torch.testing.assert_close(joint_columns(first), bias[:, columns])
    action = torch.full((4, 9), 0.4)
    for _ in range(30):
        observation = env.step(action).observation
    torch.testing.assert_close(simulator.targets[-1], DEFAULT_POSITION + 0.1 - bias)
    torch.testing.assert_close(env.state.joint_position, DEFAULT_POSITION + 0.1 - bias, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(joint_columns(observation), torch.full((4, 8), 0.1), atol=1e-5, rtol=0.0)


def test_command_clock_contacts_and_last_action_are_not_late() -> None:
    observations = ObservationConfig(noise=False, clock=True, critic_only=("base_height",))
    late = dataclasses.replace(PLAIN.randomization, sensor_delay_steps=(2, 2))
    env, _ = make_env(dataclasses.replace(PLAIN, observations=observations))
    late_env, _ = make_env(dataclasses.replace(PLAIN, observations=observations, randomization=late))
    at_once = ["command", "foot_contact", "previous_action", "clock", "base_height"]
    measured = [name for name in env.observation_slices if name not in at_once]
    for each in (env, late_env):
        each.set_command(torch.tensor([0.5, 0.1, 0.2]))
    past = []
    for step, action in enumerate(random_actions(12, size=0.3)):
        prompt, delayed = env.step(action).observation, late_env.step(action).observation
        past.append(prompt)
        for name in at_once:
            assert torch.equal(prompt[:, env.observation_slices[name]], delayed[:, env.observation_slices[name]])
        if step >= 2:
            for name in measured:
                columns = env.observation_slices[name]
                assert torch.equal(past[step - 2][:, columns], delayed[:, columns])
