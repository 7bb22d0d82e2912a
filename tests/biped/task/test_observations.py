import dataclasses
import math

import pytest
import torch

from biped.robots.library import BIPED
from biped.simulators.state import State
from biped.task.observation_sources import Knowledge, state_at_rest
from biped.task.observations import ObservationConfig, critic_only_columns
from biped.task.observer import Observer
from ppo.value_ranges import ConfigurationError
from tests.biped.environments import EVERY_PART
from tests.biped.simulators.fake_simulator import DEFAULT_POSITION, upright_state

QUIET = ObservationConfig(noise=False)


def make_observer(config: ObservationConfig) -> Observer:
    return Observer(BIPED, config, torch.Generator().manual_seed(0))


def telling_state() -> State:
    """Every joint is its index / 100 rad from the default pose and turns at its index in rad/s."""
    index = torch.arange(9.0)[None]
    return upright_state(1)._replace(
        roll_pitch_yaw=torch.tensor([[0.1, -0.2, 3.0]]),
        base_angular_velocity=torch.tensor([[1.0, 2.0, 3.0]]),
        base_linear_velocity=torch.tensor([[0.5, -0.25, 9.0]]),
        joint_position=DEFAULT_POSITION + index / 100.0,
        joint_velocity=index,
        projected_gravity=torch.tensor([[0.6, 0.0, -0.8]]),
        foot_contact_force=torch.tensor([[0.0, math.e**2 - 1.0]]),
    )


KNOWLEDGE = Knowledge(
    command=torch.tensor([[0.5, -0.3, 1.0]]),
    foot_contact=torch.tensor([[1.0, 0.0]]),
    previous_action=torch.arange(10.0, 19.0)[None],
    phase=torch.tensor([math.asin(0.6) / (2 * math.pi)]),
    standing=torch.tensor([False]),
    hidden={
        "friction": torch.tensor([0.7]),
        "motor_strength": torch.arange(1.0, 10.0)[None],
        "added_mass": torch.tensor([BIPED.base_mass / 2.0]),
        "latency": torch.tensor([2]),
        "last_push": torch.tensor([[0.3, -0.2, 1.5]]),
        "center_of_mass": torch.tensor([[0.01, -0.02, 0.03]]),
        "stiffness": torch.arange(1.1, 10.0)[None],
        "damping": torch.arange(1.2, 10.0)[None],
        "link_mass": torch.arange(1.3, 10.0)[None],
        "encoder_bias": torch.arange(0.0, 0.09, 0.01)[None],
        "sensor_delay": torch.tensor([1]),
        "impulse": 0.1 * 9.81 * BIPED.mass * torch.tensor([[1.0, -2.0, 0.0]]),
    },
)


def observe(observer: Observer, state: State) -> torch.Tensor:
    return observer(observer.measure(state), KNOWLEDGE, observer.draw_noise(len(state.failed)))


# Joint order: right_hip1 0, right_hip2 1, right_knee 2, right_ankle 3, left 4 5 6 7, torso 8.
REFERENCE = [
    *(0.1, -0.2),
    *(0.25, 0.5),
    0.75,
    *(1.0, -0.5),
    BIPED.nominal_base_height,
    *(1.0, -0.6, 0.25),
    *(0.0, 0.01, 0.04, 0.05),
    *(0.0, 0.05, 0.20, 0.25),
    *(0.02, 0.06),
    *(0.10, 0.30),
    *(0.03, 0.07),
    *(0.15, 0.35),
    *(1.0, 0.0),
    *(10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0),
]


def test_the_38_values_stand_in_the_reference_order_and_scale() -> None:
    observer = make_observer(QUIET)
    assert observer.dim == 38
    torch.testing.assert_close(observe(observer, telling_state()), torch.tensor([REFERENCE]))


def test_clock_and_torso_are_appended() -> None:
    observer = make_observer(dataclasses.replace(QUIET, clock=True, torso=True))
    assert observer.dim == 42
    torch.testing.assert_close(observe(observer, telling_state()), torch.tensor([[*REFERENCE, 0.6, 0.8, 0.08, 0.4]]))


def test_what_hardware_measures_and_what_a_simulator_knows_are_appended() -> None:
    config = dataclasses.replace(EVERY_PART, noise=False, clock=False, torso=False, other_joints=True)
    observer = make_observer(config)
    measured, known = (0.6, 0.0, -0.8, 0.08, 0.4), [0.0, 0.5, 0.7, *range(1, 10), 0.5, 2.0, 0.3, -0.2, 1.5]
    known += [0.5, -1.0, 1.5, *(joint + factor for factor in (1.1, 1.2, 1.3) for joint in range(9))]
    known += [*(0.5 * joint for joint in range(9)), 1.0, 0.1, -0.2, 0.0]
    torch.testing.assert_close(observe(observer, telling_state()), torch.tensor([[*REFERENCE, *measured, *known]]))
    assert critic_only_columns(observer.fields) == tuple(range(43, 43 + len(known)))


def test_other_joints_are_those_that_are_not_there_yet() -> None:
    names = [field.name for field in make_observer(dataclasses.replace(QUIET, torso=True, other_joints=True)).fields]
    assert names[-2:] == ["torso_position", "torso_velocity"]


def test_the_critic_alone_sees_parts_without_noise_where_they_always_were() -> None:
    config = ObservationConfig(critic_only=("roll_pitch", "base_height"), friction=True)
    observer, usual = make_observer(config), make_observer(ObservationConfig())
    assert list(observer.slices.items())[:-1] == list(usual.slices.items())
    assert critic_only_columns(observer.fields) == (0, 1, 7, 38)
    noise, usual_noise = observer.draw_noise(50).abs().amax(0), usual.draw_noise(50).abs().amax(0)
    assert not noise[[0, 1, 7, 38]].any()
    assert torch.equal(noise[2:7] > 0.0, usual_noise[2:7] > 0.0)


def test_a_part_that_is_not_there_cannot_be_hidden() -> None:
    with pytest.raises(ConfigurationError, match=r"critic_only must be among roll_pitch, .*, not clock"):
        make_observer(ObservationConfig(critic_only=("base_height", "clock")))


def test_slices_name_every_value_once_in_order() -> None:
    observer = make_observer(ObservationConfig(clock=True, torso=True))
    covered = [index for part in observer.slices.values() for index in range(42)[part]]
    assert covered == list(range(42))
    assert observer.slices["command"] == slice(8, 11)
    assert observer.slices["previous_action"] == slice(29, 38)
    assert observer.slices["clock"] == slice(38, 40)


def test_noise_is_uniform_within_the_scaled_amplitudes() -> None:
    noise = make_observer(ObservationConfig()).draw_noise(20000)
    expected = torch.tensor(
        [0.03] * 2
        + [0.15 * 0.25] * 3
        + [0.1 * 2.0] * 2
        + [0.01]
        + [0.0] * 3
        + [0.02] * 4
        + [0.2 * 0.05] * 4
        + ([0.02] * 2 + [0.2 * 0.05] * 2) * 2
        + [0.1] * 2
        + [0.0] * 9
    )
    torch.testing.assert_close(noise.amax(0), expected, rtol=2e-3, atol=0)
    torch.testing.assert_close(noise.amin(0), -expected, rtol=2e-3, atol=0)
    torch.testing.assert_close(noise.std(0), expected / 3**0.5, rtol=0.02, atol=0)


def test_noise_is_added_and_can_be_switched_off() -> None:
    quiet, noisy = make_observer(QUIET), make_observer(ObservationConfig())
    assert not quiet.draw_noise(4).any()
    difference = observe(noisy, telling_state()) - observe(quiet, telling_state())
    torch.testing.assert_close(difference, make_observer(ObservationConfig()).draw_noise(1))


def test_observations_are_clipped() -> None:
    state = upright_state(1)._replace(base_linear_velocity=torch.tensor([[1e38, -1e38, 0.0]]))
    observation = observe(make_observer(QUIET), state)
    assert observation[0, 5:7].tolist() == [100.0, -100.0]


def test_a_robot_at_rest_measures_like_its_state() -> None:
    observer = make_observer(QUIET)
    position = torch.randn(1, 9)
    state = upright_state(1)._replace(joint_position=position)
    noise = observer.draw_noise(1)
    measured = observer.measure_at_rest(state_at_rest(BIPED, 1, torch.device("cpu"))._replace(joint_position=position))
    assert torch.equal(observer(measured, KNOWLEDGE, noise), observer(observer.measure(state), KNOWLEDGE, noise))


def test_the_actor_alone_sees_what_sensors_make_of_the_state() -> None:
    config = dataclasses.replace(QUIET, projected_gravity=True, critic_only=("roll_pitch", "base_height"))
    observer = make_observer(config)
    state, sensed = upright_state(1), telling_state()
    observation = observer(observer.measure(state, sensed), KNOWLEDGE, observer.draw_noise(1))
    truth, seen = observe(observer, state), observe(observer, sensed)
    assert torch.equal(observation[:, [0, 1, 7]], truth[:, [0, 1, 7]])
    assert torch.equal(observation[:, 2:7], seen[:, 2:7])
    assert torch.equal(observation[:, 8:], seen[:, 8:])
    assert not torch.equal(truth[:, :2], seen[:, :2])


def test_observing_leaves_the_state_alone() -> None:
    state = telling_state()
    before = [value.clone() for value in state]
    observe(make_observer(ObservationConfig()), state)
    assert all(torch.equal(value, copy) for value, copy in zip(state, before, strict=True))


def test_a_robot_without_the_observed_joints_is_refused() -> None:
    with pytest.raises(ValueError, match="right_wing"):
        dataclasses.replace(BIPED, observed_groups=(("hip", ("right_hip1", "right_wing")),))
