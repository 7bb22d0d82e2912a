from typing import Any

import pytest
import torch

from biped.task.contact_sensor import ContactSensor
from biped.task.randomization import Longest, Randomization, RandomizationConfig
from tests.biped.environments import EVERYTHING
from tests.biped.simulators.fake_simulator import FakeSimulator

OFF = RandomizationConfig(friction=None, motor_strength=None, backlash=None)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def assert_fills(values: torch.Tensor, low: float, high: float) -> None:
    assert values.amin().item() >= low
    assert values.amax().item() <= high
    margin = 0.01 * (high - low)
    assert values.amin().item() < low + margin
    assert values.amax().item() > high - margin


def test_properties_fill_the_reference_ranges() -> None:
    config = RandomizationConfig(added_mass=(-0.2, 0.4), encoder_bias=(-0.01, 0.02), center_of_mass=(-0.03, 0.04))
    drawn = Randomization(config, 4096, 9, generator())
    assert drawn.lasting["motor_strength"].shape == drawn.backlash.shape == (4096, 9)
    assert_fills(drawn.lasting["friction"], 0.4, 1.25)
    assert_fills(drawn.lasting["motor_strength"], 0.6, 1.2)
    assert_fills(drawn.lasting["added_mass"], -0.2, 0.4)
    assert drawn.lasting["encoder_bias"].shape == (4096, 9)
    assert_fills(drawn.lasting["encoder_bias"], -0.01, 0.02)
    assert drawn.lasting["center_of_mass"].shape == (4096, 3)
    assert_fills(drawn.lasting["center_of_mass"], -0.03, 0.04)
    assert_fills(drawn.backlash, 0.01, 0.07)
    assert drawn.latency.eq(1).all()
    assert drawn.contact_delay.eq(0).all()


def test_robots_differ_from_each_other() -> None:
    drawn = Randomization(RandomizationConfig(), 64, 9, generator())
    assert drawn.lasting["friction"].unique().numel() == 64


def test_apply_hands_over_what_is_on_and_nothing_else() -> None:
    simulator = FakeSimulator(4)
    drawn = Randomization(RandomizationConfig(motor_strength=None), 4, 9, generator())
    drawn.apply(simulator)
    assert torch.equal(simulator.friction, drawn.lasting["friction"])
    assert simulator.motor_strength.eq(1.0).all()
    assert simulator.added_mass.eq(0.0).all()


def test_the_simulator_gets_what_it_simulates_and_not_the_faults_of_sensors() -> None:
    simulator = FakeSimulator(4)
    names = ("stiffness", "damping", "armature", "joint_friction", "joint_damping", "link_mass", "center_of_mass")
    config = RandomizationConfig(
        **dict.fromkeys((*names, "encoder_bias", "imu_tilt"), (0.1, 0.2))  # type: ignore[arg-type]
    )
    drawn = Randomization(config, 4, 9, generator())
    drawn.apply(simulator)
    assert simulator.other_properties.keys() == set(names)
    for name, value in simulator.other_properties.items():
        assert torch.equal(value, drawn.lasting[name])


@pytest.mark.parametrize(
    "further",
    [
        dict.fromkeys(("stiffness", "link_mass", "encoder_bias", "imu_tilt"), (0.1, 0.2)),
        {"sensor_delay_steps": (0, 3)},
        {"impulse_force": 3.0},
    ],
)
def test_what_is_switched_on_leaves_what_was_drawn_before_it(further: dict[str, Any]) -> None:
    """And what is off draws nothing, so that older configurations give the robots that they always gave."""
    drawn = Randomization(RandomizationConfig(), 16, 9, generator())
    richer = Randomization(RandomizationConfig(**further), 16, 9, generator())
    assert torch.equal(drawn.lasting["motor_strength"], richer.lasting["motor_strength"])
    assert drawn.sensor_delay is None
    assert set(drawn.state_dict()) == {"friction", "motor_strength", "backlash", "latency", "contact_delay"}


def test_no_delay_is_longer_than_the_longest() -> None:
    config = RandomizationConfig(latency_steps=(1, 5), sensor_delay_steps=(0, 2))
    drawn = Randomization(config, 5, 9, generator())
    drawn.latency = torch.tensor([1, 2, 3, 4, 5])
    drawn.sensor_delay = torch.tensor([0, 1, 2, 2, 2])
    for longest, latency, sensor_delay in (
        (Longest(1, 0), [1] * 5, [0] * 5),
        (Longest(3, 1), [1, 2, 3, 3, 3], [0, 1, 1, 1, 1]),
        (Longest(5, 2), [1, 2, 3, 4, 5], [0, 1, 2, 2, 2]),
    ):
        hidden = drawn.hidden(longest)
        assert hidden["latency"].tolist() == latency
        assert hidden["sensor_delay"].tolist() == sensor_delay


def test_latency_covers_its_range_ends_included() -> None:
    config = RandomizationConfig(latency_steps=(0, 2), contact_delay_steps=(0, 2), sensor_delay_steps=(0, 2))
    drawn = Randomization(config, 256, 9, generator())
    assert drawn.sensor_delay is not None
    assert drawn.sensor_delay.unique().tolist() == [0, 1, 2]
    assert drawn.latency.unique().tolist() == [0, 1, 2]
    assert drawn.contact_delay.unique().tolist() == [0, 1, 2]


def test_redraw_changes_backlash_and_latencies_of_masked_robots_only() -> None:
    config = RandomizationConfig(latency_steps=(0, 50), contact_delay_steps=(0, 50), sensor_delay_steps=(0, 50))
    drawn = Randomization(config, 256, 9, generator())
    before = drawn.state_dict()
    mask = torch.arange(256) < 128
    drawn.redraw(mask)
    after = drawn.state_dict()
    assert (after["backlash"] != before["backlash"]).any(1).equal(mask)
    for name in ("latency", "contact_delay", "sensor_delay"):
        changed = after[name] != before[name]
        assert not changed[~mask].any()
        assert changed[mask].float().mean().item() > 0.9
    for name in ("friction", "motor_strength"):
        assert torch.equal(after[name], before[name])


def test_switched_off_means_neutral() -> None:
    drawn = Randomization(OFF, 8, 9, generator())
    drawn.redraw(torch.ones(8, dtype=torch.bool))
    assert drawn.lasting == {}
    assert not drawn.backlash.any()
    assert set(drawn.state_dict()) == {"backlash", "latency", "contact_delay"}


def test_properties_survive_saving() -> None:
    drawn = Randomization(EVERYTHING.randomization, 8, 9, generator())
    other = Randomization(EVERYTHING.randomization, 8, 9, torch.Generator().manual_seed(1))
    assert not torch.equal(other.lasting["imu_tilt"], drawn.lasting["imu_tilt"])
    other.load_state_dict(drawn.state_dict())
    assert all(torch.equal(value, drawn.state_dict()[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    "wrong",
    [
        {"friction": (1.0, 0.5)},
        {"backlash": (-0.1, 0.1)},
        {"latency_steps": (2, 1)},
        {"push_interval_s": 0.0},
        {"link_mass": (0.0, 1.0)},
        {"center_of_mass": (0.1, -0.1)},
        {"sensor_delay_steps": (1, 0)},
        {"impulse_duration_s": 8.0, "impulse_force": 1.0},
    ],
)
def test_impossible_ranges_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"RandomizationConfig.{next(iter(wrong))}"):
        RandomizationConfig(**wrong)  # type: ignore[arg-type]


def sensor_readings(config: RandomizationConfig, delay: int, contacts: list[bool]) -> list[float]:
    sensor = ContactSensor(config, 1, generator())
    readings = []
    for contact in contacts:
        sensor.step(torch.tensor([[contact, contact]]), torch.tensor([delay]))
        readings.append(sensor.reading[0, 0].item())
    return readings


def test_a_faultless_sensor_reads_the_contact() -> None:
    assert sensor_readings(OFF, 0, [True, False, True]) == [1.0, 0.0, 1.0]


def test_a_late_sensor_reads_the_past() -> None:
    config = RandomizationConfig(contact_delay_steps=(0, 2))
    assert sensor_readings(config, 2, [True, False, True, True]) == [0.0, 0.0, 1.0, 0.0]
    assert sensor_readings(config, 1, [True, False, True, True]) == [0.0, 1.0, 0.0, 1.0]


def test_false_readings_come_with_their_probability() -> None:
    sensor = ContactSensor(RandomizationConfig(contact_false_probability=0.1), 8192, generator())
    contact = torch.rand(8192, 2) < 0.5
    sensor.step(contact, torch.zeros(8192, dtype=torch.long))
    assert (sensor.reading != contact.float()).float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_contact_noise_is_uniform_around_the_reading() -> None:
    sensor = ContactSensor(RandomizationConfig(contact_noise=0.2), 4096, generator())
    sensor.step(torch.ones(4096, 2, dtype=torch.bool), torch.zeros(4096, dtype=torch.long))
    assert_fills(sensor.reading, 0.8, 1.2)


def test_sensor_reset_forgets_delayed_contacts_of_masked_robots_only() -> None:
    sensor = ContactSensor(RandomizationConfig(contact_delay_steps=(1, 1)), 2, generator())
    on, delay = torch.ones(2, 2, dtype=torch.bool), torch.ones(2, dtype=torch.long)
    sensor.step(on, delay)
    sensor.step(on, delay)
    sensor.reset(torch.tensor([True, False]))
    assert sensor.reading[:, 0].tolist() == [0.0, 1.0]
    sensor.step(on, delay)
    assert sensor.reading[:, 0].tolist() == [0.0, 1.0]
