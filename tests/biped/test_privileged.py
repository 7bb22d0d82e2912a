"""What a simulator knows of its robots, as the environment shows it to the critic."""

import dataclasses

import torch

from biped.robots.library import BIPED
from biped.simulators.state import rotate
from biped.task.observations import ObservationConfig
from tests.biped.environments import EVERYTHING, PLAIN, make_env, random_actions

PROPERTIES = (
    *("friction", "motor_strength", "added_mass", "latency", "last_push", "center_of_mass", "stiffness", "damping"),
    *("link_mass", "encoder_bias", "sensor_delay", "impulse"),
)
EVERY_PROPERTY = ObservationConfig(**dict.fromkeys(PROPERTIES, True), noise=False, critic_only=("base_height",))


def test_the_critic_is_shown_what_was_drawn() -> None:
    randomization = dataclasses.replace(EVERYTHING.randomization, push_speed=0.0, impulse_force=0.0)
    env, simulator = make_env(dataclasses.replace(PLAIN, observations=EVERY_PROPERTY, randomization=randomization))
    observation = env.step(random_actions(1)[0]).observation
    shown = {name: observation[:, env.observation_slices[name]] for name in PROPERTIES}
    assert torch.equal(shown["friction"][:, 0], simulator.friction)
    assert torch.equal(shown["motor_strength"], simulator.motor_strength)
    torch.testing.assert_close(shown["added_mass"][:, 0] * BIPED.base_mass, simulator.added_mass)
    for name in ("stiffness", "damping", "link_mass"):
        assert torch.equal(shown[name], simulator.other_properties[name])
    torch.testing.assert_close(shown["center_of_mass"] / 50.0, simulator.other_properties["center_of_mass"])
    torch.testing.assert_close(shown["encoder_bias"] / 50.0, env.randomization.lasting["encoder_bias"])
    assert torch.equal(shown["latency"][:, 0], env.randomization.latency.float())
    assert env.randomization.sensor_delay is not None
    assert torch.equal(shown["sensor_delay"][:, 0], env.randomization.sensor_delay.float())
    assert simulator.motor_strength.std() > 0.0
    assert len(env.randomization.latency.unique()) > 1
    assert list(env.privileged_columns) == [7, *range(38, 38 + 1 + 9 + 1 + 1 + 3 + 3 + 4 * 9 + 1 + 3)]


def test_where_nothing_is_drawn_the_robots_are_like_the_model() -> None:
    env, _ = make_env(dataclasses.replace(PLAIN, observations=EVERY_PROPERTY))
    observation = env.step(random_actions(1)[0]).observation
    shown = {name: observation[0, env.observation_slices[name]].tolist() for name in PROPERTIES}
    factors = ("motor_strength", "stiffness", "damping", "link_mass")
    assert {name: shown[name] for name in factors} == dict.fromkeys(factors, [1.0] * 9)
    assert [shown[name] for name in ("friction", "added_mass", "latency", "sensor_delay")] == [
        [1.0],
        [0.0],
        [1.0],
        [0.0],
    ]
    assert not any(map(any, (shown[name] for name in ("center_of_mass", "encoder_bias", "impulse"))))


def test_a_latency_that_grows_is_shown_as_it_is() -> None:
    randomization = dataclasses.replace(PLAIN.randomization, latency_steps=(0, 2), growth_s=1.0)
    env, _ = make_env(dataclasses.replace(PLAIN, observations=EVERY_PROPERTY, randomization=randomization), num_envs=64)
    largest = [
        int(env.step(action).observation[:, env.observation_slices["latency"]].max())
        for action in random_actions(50, 64)
    ]
    assert (largest[0], largest[25], largest[-1]) == (0, 1, 2)


def test_the_last_push_and_the_time_since_then_until_the_episode_ends() -> None:
    randomization = dataclasses.replace(PLAIN.randomization, push_speed=1.0, push_interval_s=0.2)
    env, simulator = make_env(dataclasses.replace(PLAIN, observations=EVERY_PROPERTY, randomization=randomization))
    place = env.observation_slices["last_push"]
    for step in range(1, 15):
        before = env.state
        observation = env.step(torch.zeros(4, 9)).observation[:, place]
        if step < 10:
            torch.testing.assert_close(observation, torch.tensor([0.0, 0.0, 0.02 * step]).repeat(4, 1))
        elif step == 10:
            change = simulator.velocity_settings[0][0] - rotate(before.base_quaternion, before.base_linear_velocity)
            assert change.norm(dim=1).min() > 0.01
            pushed = observation
            in_world = rotate(before.base_quaternion, torch.nn.functional.pad(pushed[:, :2], (0, 1)))
            torch.testing.assert_close(in_world[:, :2], change[:, :2], atol=1e-3, rtol=1e-3)
            assert not pushed[:, 2].any()
    torch.testing.assert_close(observation, pushed + torch.tensor([0.0, 0.0, 0.08]))
    simulator.overrides["failed"] = torch.tensor([True, False, False, False])
    step_after = env.step(torch.zeros(4, 9))
    assert not step_after.observation[0, place].any()
    torch.testing.assert_close(step_after.final_observation[0, place], pushed[0] + torch.tensor([0.0, 0.0, 0.1]))
