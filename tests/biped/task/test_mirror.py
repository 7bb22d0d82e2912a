import dataclasses

import pytest
import torch
from torch import Tensor

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.robots.library import BIPED
from biped.simulators.state import State
from biped.task.commands import CommandConfig
from biped.task.gait import GaitConfig
from biped.task.mirror import Image, Mirror, other_joints
from biped.task.observation_sources import Knowledge
from biped.task.observations import observation_image
from biped.task.observer import Observer
from biped.task.randomization import RandomizationConfig
from biped.task.reset import ResetConfig
from tests.biped.environments import EVERY_PART
from tests.biped.simulators.fake_simulator import DEFAULT_POSITION, FakeSimulator, upright_state

CPU = torch.device("cpu")
EVERYTHING = dataclasses.replace(EVERY_PART, noise=False)
LEFT_TO_RIGHT = torch.tensor([1.0, -1.0, 1.0])
AXIAL = torch.tensor([-1.0, 1.0, -1.0])
"""Signs of vectors of rotation, which a mirror turns the other way."""

FACTORS = ("motor_strength", "stiffness", "damping", "link_mass")
"""Properties of joints that have no direction."""
PLAIN = EnvConfig(
    commands=CommandConfig(linear_velocity_x=(0.3, 0.3), linear_velocity_y=(0.2, 0.2)),
    observations=EVERYTHING,
    randomization=RandomizationConfig(friction=None, motor_strength=None, backlash=None, latency_steps=(0, 0)),
    reset=ResetConfig(joint_noise=0.0),
    randomize_episode_start=False,
    mirror_left_stance=True,
)
"""Nothing random."""


def mirrored_joints(value: Tensor) -> Tensor:
    """Written out for this robot: four joints of the right leg, four of the left, the torso."""
    return -torch.cat((value[:, 4:8], value[:, 0:4], value[:, 8:9]), dim=1)


def mirrored_state(state: State) -> State:
    return state._replace(
        base_linear_velocity=state.base_linear_velocity * LEFT_TO_RIGHT,
        base_angular_velocity=state.base_angular_velocity * AXIAL,
        roll_pitch_yaw=state.roll_pitch_yaw * AXIAL,
        projected_gravity=state.projected_gravity * LEFT_TO_RIGHT,
        foot_contact_force=state.foot_contact_force.flip(1),
        joint_position=mirrored_joints(state.joint_position),
        joint_velocity=mirrored_joints(state.joint_velocity),
    )


def mirrored_knowledge(knowledge: Knowledge) -> Knowledge:
    return knowledge._replace(
        command=knowledge.command * torch.tensor([1.0, -1.0, -1.0]),
        foot_contact=knowledge.foot_contact.flip(1),
        previous_action=mirrored_joints(knowledge.previous_action),
        phase=(knowledge.phase + 0.5) % 1.0,
        hidden={
            **knowledge.hidden,
            **{name: -mirrored_joints(knowledge.hidden[name]) for name in FACTORS},
            **{name: knowledge.hidden[name] * LEFT_TO_RIGHT for name in ("last_push", "center_of_mass", "impulse")},
            "encoder_bias": mirrored_joints(knowledge.hidden["encoder_bias"]),
        },
    )


def observe(observer: Observer, state: State, knowledge: Knowledge) -> Tensor:
    return observer(observer.measure(state), knowledge, observer.draw_noise(len(knowledge.phase)))


def make_env(config: EnvConfig = PLAIN) -> tuple[BipedEnv, FakeSimulator]:
    simulator = FakeSimulator(2)
    return BipedEnv(simulator, config, seed=0), simulator


def test_the_mirror_image_is_what_the_mirrored_robot_would_observe() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    state = upright_state(2)._replace(
        base_linear_velocity=draw(2, 3),
        base_angular_velocity=draw(2, 3),
        roll_pitch_yaw=draw(2, 3),
        projected_gravity=draw(2, 3),
        foot_contact_force=draw(2, 2).abs(),
        joint_position=draw(2, 9),
        joint_velocity=draw(2, 9),
    )
    knowledge = Knowledge(
        command=draw(2, 3),
        foot_contact=draw(2, 2),
        previous_action=draw(2, 9),
        phase=torch.tensor([0.1, 0.7]),
        standing=torch.zeros(2, dtype=torch.bool),
        hidden={
            "friction": draw(2),
            **{name: draw(2, 9) for name in (*FACTORS, "encoder_bias")},
            "added_mass": draw(2),
            "latency": torch.tensor([1, 2]),
            "sensor_delay": torch.tensor([0, 1]),
            **{name: draw(2, 3) for name in ("last_push", "center_of_mass", "impulse")},
        },
    )
    observer = Observer(BIPED, EVERYTHING, generator)
    mirror = Mirror(BIPED, observation_image(BIPED, observer.fields), CPU)
    seen = observe(observer, state, knowledge)
    expected = observe(observer, mirrored_state(state), mirrored_knowledge(knowledge))
    action = knowledge.previous_action
    everyone = torch.ones(2, dtype=torch.bool)
    torch.testing.assert_close(mirror.observation(seen, everyone), expected, atol=1e-6, rtol=0.0)
    torch.testing.assert_close(mirror.action(action, everyone), mirrored_joints(action))
    assert torch.equal(mirror.observation(mirror.observation(seen, everyone), everyone), seen)
    assert torch.equal(mirror.observation(seen, ~everyone), seen)
    assert torch.equal(mirror.action(action, ~everyone), action)


def test_the_default_pose_is_symmetric() -> None:
    everyone = torch.ones(1, dtype=torch.bool)
    pose = DEFAULT_POSITION.unsqueeze(0)
    assert torch.equal(Mirror(BIPED, other_joints(BIPED), CPU).action(pose, everyone), pose)


def test_joints_change_sides_with_the_signs_of_the_robot() -> None:
    signs = (1.0, *BIPED.mirror_signs[1:4], 1.0, *BIPED.mirror_signs[5:])
    mirror = Mirror(dataclasses.replace(BIPED, mirror_signs=signs), other_joints(BIPED), CPU)
    action = torch.arange(1.0, 10.0).unsqueeze(0)
    mirrored = torch.tensor([[5.0, -6.0, -7.0, -8.0, 1.0, -2.0, -3.0, -4.0, -9.0]])
    assert torch.equal(mirror.action(action, torch.ones(1, dtype=torch.bool)), mirrored)


@pytest.mark.parametrize(
    ("columns", "signs"),
    [((0, 1), (1.0,)), ((1, 2, 0), (1.0, 1.0, 1.0)), ((0, 2), (1.0, 1.0)), ((1, 0), (1.0, -1.0)), ((0,), (2.0,))],
)
def test_an_image_of_an_image_is_the_vector(columns: tuple[int, ...], signs: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="twice"):
        Image(columns, signs)


def test_actions_are_mirrored_while_the_left_foot_carries() -> None:
    env, simulator = make_env()
    env.reset()
    action = torch.linspace(-0.4, 0.4, 9).expand(2, 9)
    for _ in range(40):
        phase = env.gait.phase.clone()
        mirrored = bool(phase[0] >= 0.5)
        assert env.mirrored.tolist() == [mirrored] * 2
        env.step(action)
        applied = mirrored_joints(action) if mirrored else action
        torch.testing.assert_close(env.action, applied)
        torch.testing.assert_close(simulator.targets[-1], DEFAULT_POSITION + 0.25 * applied)
        left_of_it = env.observation_slices["command"].start + 1
        observation = env.step(action).observation
        torch.testing.assert_close(observation[:, left_of_it].sign(), torch.where(env.mirrored, -1.0, 1.0))


def test_nothing_is_mirrored_when_standing_or_when_it_is_switched_off() -> None:
    standing = dataclasses.replace(PLAIN, commands=CommandConfig((0.0, 0.0), (0.0, 0.0)))
    for config in (standing, dataclasses.replace(PLAIN, mirror_left_stance=False)):
        env, _ = make_env(config)
        env.reset()
        for _ in range(40):
            env.step(torch.ones(2, 9))
            assert not env.mirrored.any()
            assert env.action.eq(1.0).all()


def test_feet_must_carry_for_half_a_period_each() -> None:
    with pytest.raises(ValueError, match=r"left_offset 0\.5, got 0\.4"):
        EnvConfig(gait=GaitConfig(left_offset=0.4), mirror_left_stance=True)
