"""A reward and an observation of a user's own: made here, outside of the package, one place each."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.gymnasium_env import BipedVectorEnv
from biped.robots.robot import Robot
from biped.simulators.state import State
from biped.task.commands import CommandConfig
from biped.task.mirror import OTHER_FOOT, MirrorRule, in_place, other_joints
from biped.task.observation_sources import BASE_LINEAR_VELOCITY, JOINT_VELOCITY, Knowledge, Known, Measured
from biped.task.observations import ObservationConfig, ObservationField, PartFields, part
from biped.task.reward_terms import RewardInputs, RobotConstants
from biped.task.rewards import RewardConfig, Weight, term
from ppo.value_ranges import ConfigurationError
from tests.biped.simulators.fake_simulator import FakeSimulator


def hop(inputs: RewardInputs, config: "MyRewards", robot: RobotConstants) -> Tensor:
    return inputs.state.base_position[:, 2] - config.hop_height


def both_feet_came_down(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    return inputs.touchdown.all(dim=1).float()


def rhythm(inputs: RewardInputs, config: RewardConfig, robot: RobotConstants) -> Tensor:
    return inputs.harmonic_motion + inputs.alternation


@dataclass(frozen=True)
class MyRewards(RewardConfig):
    hop: Weight = term(hop, 0.5)
    """m above `hop_height`."""
    landing: Weight = term(both_feet_came_down, 3.0, at_once=True)
    rhythm: Weight = term(rhythm, 0.0, needs=("harmonic_motion", "alternation"))
    alive: Weight = 0.75
    hop_height: float = 0.1


def torques_and_urge(robot: Robot, config: "MyObservations") -> list[ObservationField]:
    torque = Measured(lambda state: state.joint_torque, other_joints)
    urge = Known(lambda knowledge: knowledge.command[:, :2] * knowledge.phase[:, None], in_place(1.0, -1.0))
    return [
        ObservationField("torque", torque, range(robot.num_joints), config.torque_scale, noise=0.5),
        ObservationField("urge", urge, (0, 1), scale=(2.0, 3.0)),
    ]


@dataclass(frozen=True)
class MyObservations(ObservationConfig):
    torques: bool = part(torques_and_urge, on=True)
    vertical_velocity: bool = part(lambda robot, config: [ObservationField("velocity_z", BASE_LINEAR_VELOCITY, (2,))])
    torque_scale: float = 0.1


TASK = EnvConfig(
    rewards=MyRewards(), observations=MyObservations(clock=True, vertical_velocity=True), mirror_left_stance=True
)


def make_env(config: EnvConfig = TASK, num_envs: int = 4) -> BipedEnv:
    env = BipedEnv(FakeSimulator(num_envs), config, seed=0)
    env.reset()
    return env


def random_actions(count: int) -> list[Tensor]:
    return list(0.5 * torch.randn(count, 4, 9, generator=torch.Generator().manual_seed(7)))


def observing(fields: PartFields) -> EnvConfig:
    @dataclass(frozen=True)
    class Observations(ObservationConfig):
        mine: bool = part(fields, on=True)

    return replace(TASK, observations=Observations())


def test_a_reward_is_paid_and_logged() -> None:
    env = make_env(replace(TASK, mirror_left_stance=False))
    landings = 0
    for action in random_actions(40):
        step = env.step(action)
        height = env.state.base_position[:, 2] - 0.1
        landed = env.gait.touchdown.all(dim=1).float()
        landings += int(landed.sum())
        torch.testing.assert_close(step.metrics["reward/hop"], 0.5 * height.mean())
        torch.testing.assert_close(step.metrics["reward/landing"], 3.0 * landed.mean() / env.control_dt)
        assert step.metrics["reward/alive"].item() == 0.75
        parts = sum(value for name, value in step.metrics.items() if name.startswith("reward/"))
        torch.testing.assert_close(torch.as_tensor(parts) * env.control_dt, step.reward.mean(), rtol=1e-4, atol=1e-5)
        assert "reward/rhythm" not in step.metrics
    assert landings > 0


def test_rewards_of_the_package_stay_as_they_are() -> None:
    plain = make_env(replace(TASK, rewards=RewardConfig(alive=0.75)))
    env = make_env()
    for action in random_actions(20):
        expected, step = plain.step(action).metrics, env.step(action).metrics
        assert list(step) == [*list(expected)[:-6], "reward/hop", "reward/landing", *list(expected)[-6:]]
        assert all(torch.equal(step[name], value) for name, value in expected.items())


def test_what_is_costly_is_followed_for_a_reward_that_needs_it() -> None:
    off = {"sinusoidal_motion": 0.0, "foot_alternation": 0.0}
    env = make_env(replace(TASK, rewards=MyRewards(**off, rhythm=1.0)))
    twin = make_env(replace(TASK, rewards=MyRewards()))
    for action in random_actions(20):
        metrics, expected = env.step(action).metrics, twin.step(action).metrics
        alternation = expected["reward/foot_alternation"] * env.control_dt
        torch.testing.assert_close(metrics["reward/rhythm"], expected["reward/sinusoidal_motion"] + alternation)


def test_what_no_reward_needs_is_neither_followed_nor_saved() -> None:
    followed = {"harmonic_motion", "foot_alternation"}
    unpaid = replace(TASK, rewards=MyRewards(sinusoidal_motion=0.0, foot_alternation=0.0))
    assert followed <= make_env().state_dict().keys()
    assert followed.isdisjoint(make_env(unpaid).state_dict())


def test_a_weight_has_a_range_and_one_is_needed() -> None:
    with pytest.raises(ConfigurationError, match=r"MyRewards\.hop must be from"):
        MyRewards(hop=float("nan"))
    weights = {field.name: 0.0 for field in dataclasses.fields(MyRewards) if field.metadata} | {"alive": 0.0}
    assert MyRewards(**{**weights, "hop": 1.0}).hop == 1.0
    with pytest.raises(ConfigurationError, match="every weight is 0"):
        MyRewards(**weights)


def test_a_reward_of_another_shape_is_named() -> None:
    @dataclass(frozen=True)
    class Rewards(RewardConfig):
        column: Weight = term(lambda inputs, config, robot: inputs.state.base_position[:, 2:], 1.0)

    with pytest.raises(ValueError, match=r"reward column must have shape \[4\], not \[4, 1\]"):
        make_env(replace(TASK, rewards=Rewards())).step(torch.zeros(4, 9))


def test_a_class_that_is_no_dataclass_is_named() -> None:
    class Forgotten(RewardConfig):
        hop: Weight = term(hop, 0.5)

    with pytest.raises(TypeError, match=r"Forgotten .*@dataclass\(frozen=True\)"):
        Forgotten()


def test_an_observation_is_appended() -> None:
    env = make_env(replace(TASK, mirror_left_stance=False, observations=replace(TASK.observations, noise=False)))
    part = env.observation_slices
    assert env.observation_dim == 52
    assert list(part)[-4:] == ["clock", "torque", "urge", "velocity_z"]
    assert [(part[name].start, part[name].stop) for name in list(part)[-3:]] == [(40, 49), (49, 51), (51, 52)]
    for action in random_actions(20):
        observation = env.step(action).final_observation
        torch.testing.assert_close(observation[:, part["torque"]], 0.1 * env.state.joint_torque)
        torch.testing.assert_close(observation[:, 51], env.state.base_linear_velocity[:, 2])
    observation = env.step(action).observation
    urge = env.commands.value[:, :2] * env.gait.phase[:, None] * torch.tensor([2.0, 3.0])
    torch.testing.assert_close(observation[:, part["urge"]], urge)


def test_an_observation_begins_an_episode_as_the_robot_does() -> None:
    env = make_env(replace(TASK, episode_length_s=0.02, observations=replace(TASK.observations, noise=False)))
    part = env.observation_slices
    env.step(torch.ones(4, 9))
    step = env.step(torch.ones(4, 9))
    assert step.final_observation[:, part["torque"]].all()
    assert not step.observation[:, part["torque"]].any()


def test_an_observation_has_noise_in_its_scale() -> None:
    env = make_env()
    noise = env.observer.draw_noise(10000)
    amplitude = torch.tensor([0.05] * 9 + [0.0] * 3)
    torch.testing.assert_close(noise[:, 40:].amax(0), amplitude, rtol=0.01, atol=0.0)
    torch.testing.assert_close(noise[:, 40:].amin(0), -amplitude, rtol=0.01, atol=0.0)


def test_an_observation_is_mirrored() -> None:
    task = replace(TASK, commands=CommandConfig((0.3, 0.6), (0.1, 0.3)))
    env, part = make_env(task), make_env(task).observation_slices
    assert env.mirror is not None
    everyone = torch.ones(4, dtype=torch.bool)
    seen = env.step(random_actions(1)[0]).observation
    image = env.mirror.observation(seen, everyone)
    torque = seen[:, part["torque"]]
    assert torch.equal(image[:, part["torque"]], -torch.cat((torque[:, 4:8], torque[:, 0:4], torque[:, 8:]), dim=1))
    assert torch.equal(image[:, part["urge"]], seen[:, part["urge"]] * torch.tensor([1.0, -1.0]))
    assert torch.equal(image[:, part["velocity_z"]], seen[:, part["velocity_z"]])
    assert torch.equal(env.mirror.observation(image, everyone), seen)


@pytest.mark.parametrize(
    ("mirror", "columns", "problem"),
    [
        (None, (0, 1), "mine does not say how it looks in the mirror"),
        (OTHER_FOOT, (0,), "mine lacks what column 0 looks like in the mirror"),
        (in_place(1.0), (0, 1), "mine lacks what column 1 looks like in the mirror"),
    ],
)
def test_an_observation_without_an_image_is_named_where_there_is_a_mirror(
    mirror: MirrorRule | None, columns: tuple[int, ...], problem: str
) -> None:
    source = Known(lambda knowledge: knowledge.foot_contact, mirror)
    config = observing(lambda robot, config: [ObservationField("mine", source, columns)])
    with pytest.raises(ValueError, match=problem):
        make_env(config)
    assert make_env(replace(config, mirror_left_stance=False)).observation_dim == 38 + len(columns)


def foot_heights(state: State) -> Tensor:
    return state.foot_position[..., 2]


@pytest.mark.parametrize(
    ("source", "columns", "problem"),
    [
        (Measured(foot_heights, OTHER_FOOT), (0, 1), "mine is not known of a robot at rest"),
        (Measured(lambda state: state.foot_position, OTHER_FOOT), (0, 1), r"mine must have shape \[N, W\]"),
        (JOINT_VELOCITY, (9,), "mine takes column 9 of a quantity of 9"),
    ],
)
def test_an_observation_that_cannot_be_made_is_named(source: Measured, columns: Sequence[int], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make_env(observing(lambda robot, config: [ObservationField("mine", source, columns)]))


def test_an_observation_can_say_what_it_is_at_rest() -> None:
    source = Measured(foot_heights, OTHER_FOOT, at_rest=lambda state: state.foot_contact_force + 0.01)
    env = make_env(observing(lambda robot, config: [ObservationField("mine", source, (0, 1))]))
    assert env._observation[:, env.observation_slices["mine"]].eq(0.01).all()


def test_names_are_used_once() -> None:
    again: Callable[[Robot, Any], Sequence[ObservationField]] = lambda robot, config: [  # noqa: E731
        ObservationField("command", BASE_LINEAR_VELOCITY, (0,))
    ]
    with pytest.raises(ValueError, match="two parts of the observation have the name command"):
        make_env(observing(again))


def test_gymnasiums_interface_and_continuing_know_them() -> None:
    env = BipedVectorEnv(BipedEnv(FakeSimulator(4), TASK, seed=0))
    observation, _ = env.reset(seed=1)
    assert observation.shape == env.observation_space.shape == (4, 52)
    first, second = make_env(), make_env()
    for action in random_actions(5):
        first.step(action)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.step(random_actions(1)[0]).observation, second.step(random_actions(1)[0]).observation)


def test_what_a_robot_knows_is_read_once_for_all_parts() -> None:
    calls = []

    def read(knowledge: Knowledge) -> Tensor:
        calls.append(knowledge)
        return knowledge.command

    source = Known(read, in_place(1.0, -1.0, -1.0))
    env = make_env(
        observing(
            lambda robot, config: [ObservationField("a", source, (0,)), ObservationField("b", source, (1, 2), 2.0)]
        )
    )
    calls.clear()
    observation = env.step(torch.zeros(4, 9)).observation
    assert len(calls) == 2
    command = env.observation_slices["command"]
    assert torch.equal(observation[:, -3:-1], observation[:, command][:, :2] * torch.tensor([0.5, 1.0]))
