"""Environments of robots without physics."""

from dataclasses import replace

import torch
from torch import Tensor

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.task.commands import CommandConfig
from biped.task.gait import GaitConfig
from biped.task.observations import ObservationConfig
from biped.task.randomization import RandomizationConfig
from biped.task.reset import ResetConfig
from biped.task.rewards import RewardConfig, Term
from biped.task.table import entries
from ppo.env import Step
from tests.biped.simulators.fake_simulator import FakeSimulator

EVERY_TERM = RewardConfig(**dict.fromkeys(entries(RewardConfig, Term), 0.5))


PLAIN = EnvConfig(
    observations=ObservationConfig(noise=False),
    randomization=RandomizationConfig(friction=None, motor_strength=None, backlash=None),
    reset=ResetConfig(joint_noise=0.0),
    randomize_episode_start=False,
)
"""Nothing random but the commands."""


EVERY_PART = ObservationConfig(
    clock=True,
    torso=True,
    projected_gravity=True,
    contact_force=True,
    friction=True,
    motor_strength=True,
    added_mass=True,
    latency=True,
    last_push=True,
    center_of_mass=True,
    stiffness=True,
    damping=True,
    link_mass=True,
    encoder_bias=True,
    sensor_delay=True,
    impulse=True,
)
"""Of the observation; the torso is the only joint that no other part shows."""


EVERYTHING = EnvConfig(
    mirror_left_stance=True,
    commands=CommandConfig(
        resampling_time_s=0.2, standing_probability=0.2, yaw_rate=(-1.0, 1.0), course_gain=2.0, course_rate=1.0
    ),
    observations=replace(EVERY_PART, critic_only=("linear_velocity_xy", "base_height")),
    gait=GaitConfig(random_phase=True, stopping_time=0.1),
    rewards=EVERY_TERM,
    randomization=RandomizationConfig(
        added_mass=(0.0, 0.4),
        stiffness=(0.9, 1.1),
        damping=(0.9, 1.1),
        armature=(0.9, 1.1),
        joint_friction=(0.0, 0.05),
        joint_damping=(0.0, 0.1),
        center_of_mass=(-0.02, 0.02),
        link_mass=(0.9, 1.1),
        encoder_bias=(-0.02, 0.02),
        imu_tilt=(-0.02, 0.02),
        latency_steps=(0, 2),
        sensor_delay_steps=(0, 2),
        push_speed=1.0,
        push_interval_s=0.1,
        impulse_force=20.0,
        impulse_duration_s=0.06,
        impulse_interval_s=0.16,
        contact_noise=0.1,
        contact_false_probability=0.1,
        contact_delay_steps=(0, 2),
    ),
    reset=ResetConfig(random_yaw=True),
    episode_length_s=0.4,
)
"""Everything random that can be, and all terms."""


def make_env(config: EnvConfig = PLAIN, num_envs: int = 4, seed: int = 0) -> tuple[BipedEnv, FakeSimulator]:
    simulator = FakeSimulator(num_envs)
    env = BipedEnv(simulator, config, seed=seed)
    env.reset()
    return env, simulator


def random_actions(count: int, num_envs: int = 4, size: float = 1.0) -> Tensor:
    return size * torch.randn(count, num_envs, 9, generator=torch.Generator().manual_seed(7))


def assert_same_steps(first: Step, second: Step) -> None:
    for name, value in first._asdict().items():
        if name != "metrics":
            assert torch.equal(value, getattr(second, name)), name
    assert first.metrics.keys() == second.metrics.keys()
    for name, value in first.metrics.items():
        assert torch.equal(value, second.metrics[name]), name
