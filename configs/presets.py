"""Named starting points for an experiment."""

import math
from collections.abc import Mapping
from dataclasses import replace

from app.experiment import Experiment
from biped.env_config import EnvConfig
from biped.task.commands import CommandConfig
from biped.task.gait import GaitConfig
from biped.task.observations import ObservationConfig
from biped.task.randomization import RandomizationConfig
from biped.task.rewards import RewardConfig
from biped.task.terminations import TerminationConfig
from ppo.hyperparameters import PPOConfig
from ppo.learning_rate import LearningRateConfig
from ppo.policy import PolicyConfig

REFERENCE = Experiment(preset="reference")
"""The observations, rewards, randomisation, network and hyper-parameters of the Stable-Baselines3 trainer that this one
replaces. It ends in a shuffle."""

QUICK_LEARNING_RATE = LearningRateConfig(
    schedule="adaptive",
    target_kl=0.015,
    window=1,
    high=2.0,
    low=0.5,
    patience_high=1,
    patience_low=1,
    factor=1.0 / 1.5,
    minimum=1e-5,
    maximum=1e-2,
    cooldown_steps=0,
)
"""Follows the KL divergence of every update: large steps at first, whatever the number of robots."""

CLOCKED_WALK = EnvConfig(
    commands=CommandConfig(linear_velocity_x=(-0.4, 0.8), linear_velocity_y=(-0.25, 0.25), standing_probability=0.1),
    observations=ObservationConfig(clock=True),
    gait=GaitConfig(random_phase=True, stopping_time=0.6),
    rewards=RewardConfig(
        track_vx=4.0,
        vx_sigma=0.12,
        track_vy=4.0,
        vy_sigma=0.12,
        track_wz=1.0,
        alive=0.3,
        clock_contact=1.5,
        swing_height=-120.0,
        swing_height_target=0.09,
        tilt=-2.0,
        height_error=-20.0,
        vertical_velocity=-1.0,
        roll_pitch_rate=-0.05,
        action_rate=-0.01,
        joint_acceleration=-2.5e-7,
        foot_slip=-0.1,
        sideways_joints=-0.5,
        termination=-1.0,
        torso_stability=0.5,
        large_tilt=0.0,
        low_height=0.0,
        default_pose=0.0,
        joint_movement=0.0,
        foot_alternation=0.1,
        sinusoidal_motion=0.1,
    ),
    terminations=TerminationConfig(tilt_limit_deg=37.0),
    randomization=RandomizationConfig(motor_strength=(0.9, 1.1), backlash=(0.0, 0.02)),
    episode_length_s=20.0,
    mirror_left_stance=True,
)
"""A walk to the beat of a clock that the policy hears: the recipe that learns in the fewest steps."""

DEFAULT = replace(
    REFERENCE,
    preset="default",
    eval_freq=10_000_000,
    video_freq=20_000_000,
    ppo=replace(REFERENCE.ppo, ent_coef=0.002, gamma=0.95),
    policy=replace(REFERENCE.policy, log_std_init=math.log(0.5)),
    env=CLOCKED_WALK,
)
"""`REFERENCE` with a task that ends in a walk, and without what little of its hyper-parameters was in the way: it looks
less far ahead, begins with less noise and cares less for entropy."""

CPU = replace(
    REFERENCE,
    preset="cpu",
    num_envs=256,
    total_timesteps=1_200_000,
    save_freq=500_000,
    eval_freq=300_000,
    processes="auto",
    ppo=PPOConfig(
        n_steps=24,
        n_epochs=5,
        learning_rate=2e-3,
        lr=replace(QUICK_LEARNING_RATE, schedule="linear"),
        ent_coef=0.002,
        gamma=0.95,
        gae_lambda=0.9,
    ),
    policy=PolicyConfig(lstm_hidden_size=64, n_lstm_layers=1, pi=(64,), vf=(64,), log_std_init=math.log(0.5)),
    env=CLOCKED_WALK,
)
"""A walking robot in minutes on two cores: a small network and the clocked recipe."""

QUICK = replace(
    CPU,
    preset="quick",
    simulator="mujoco",
    total_timesteps=1_100_000,
    eval_freq=275_000,
    save_freq=550_000,
)
"""The same walk, sooner: in MuJoCo, which needs no compiling, and with a learning rate that falls faster."""

WIDER = replace(CPU.policy, lstm_hidden_size=128, pi=(128,), vf=(128,))
"""For what is harder than that walk."""

TURN = replace(
    QUICK,
    preset="turn",
    total_timesteps=6_000_000,
    eval_freq=1_000_000,
    save_freq=1_500_000,
    ppo=replace(QUICK.ppo, learning_rate=1e-3),
    policy=WIDER,
    env=replace(
        CLOCKED_WALK,
        commands=replace(
            CLOCKED_WALK.commands,
            linear_velocity_x=(-0.4, 0.9),
            yaw_rate=(-0.6, 0.6),
            standing_probability=0.3,
            resampling_time_s=2.5,
            course_gain=1.0,
        ),
        gait=replace(CLOCKED_WALK.gait, stopping_time=1.2),
        rewards=replace(CLOCKED_WALK.rewards, track_wz=3.0, wz_sigma=0.15, mean_velocity=3.0),
        randomization=replace(CLOCKED_WALK.randomization, push_speed=0.3, push_interval_s=2.0),
        episode_length_s=8.0,
    ),
)
"""For robots with hip joints about the vertical: walking, turning and staying on course. They are larger than the
biped, and take two strides to stop. What fells them are their first steps, sudden changes and standing for long:
episodes are short, commands change often, many of them are to stand, and robots are pushed."""

ROUGH = RandomizationConfig(
    friction=(0.4, 1.25),
    motor_strength=(0.7, 1.2),
    added_mass=(-0.43, 0.43),
    backlash=(0.01, 0.07),
    latency_steps=(0, 2),
    push_speed=0.5,
    push_interval_s=3.0,
)
"""Robots that are not like the model: 15 % more or less mass, weak and slack motors, actions that arrive 0 to 40 ms
late, slippery ground, and pushes."""

TOLD_TO_CRITIC = replace(
    CLOCKED_WALK.observations,
    contact_force=True,
    friction=True,
    motor_strength=True,
    added_mass=True,
    latency=True,
    last_push=True,
)
"""With what `ROUGH` does to a robot, which no actor sees."""

ROBUST = replace(
    CPU,
    preset="robust",
    simulator="mujoco",
    total_timesteps=3_000_000,
    eval_freq=750_000,
    save_freq=750_000,
    ppo=replace(CPU.ppo, ent_coef=0.005, gamma=0.97, gae_lambda=0.95),
    policy=WIDER,
    env=replace(
        CLOCKED_WALK,
        commands=replace(CLOCKED_WALK.commands, standing_probability=0.4, resampling_time_s=2.5),
        rewards=replace(CLOCKED_WALK.rewards, track_vy=2.5, vy_sigma=0.06),
        observations=TOLD_TO_CRITIC,
        randomization=replace(ROUGH, push_speed=0.6, push_interval_s=1.0, growth_s=40.0),
    ),
)
"""A walk that withstands `ROUGH`. What fells robots is a push from behind while they stand, about a second
later, or a push just after the command has changed. So they stand often, change often, are pushed more often and a
little harder than they will be, at first more gently, and look further ahead than in the other presets. The critic is
shown what disturbs them."""

BUILT = replace(
    ROUGH,
    motor_strength=(0.8, 1.2),
    stiffness=(0.9, 1.1),
    damping=(0.9, 1.1),
    armature=(0.9, 1.1),
    joint_friction=(0.0, 0.05),
    center_of_mass=(-0.015, 0.015),
    link_mass=(0.95, 1.05),
    encoder_bias=(-0.015, 0.015),
    imu_tilt=(-0.02, 0.02),
    backlash=(0.0, 0.03),
    latency_steps=(0, 1),
    sensor_delay_steps=(0, 1),
    push_speed=0.3,
    impulse_force=10.0,
    impulse_duration_s=0.1,
    impulse_interval_s=4.0,
)
"""Robots as they are built: they differ in more respects than those of `ROUGH` and in most by less, their sensors have
faults, and something pulls them now and then."""

HARDWARE = replace(
    QUICK,
    preset="hardware",
    num_envs=512,
    total_timesteps=6_000_000,
    eval_freq=1_000_000,
    save_freq=1_000_000,
    ppo=replace(QUICK.ppo, ent_coef=0.005, gamma=0.97, gae_lambda=0.95),
    env=replace(
        CLOCKED_WALK,
        commands=replace(CLOCKED_WALK.commands, standing_probability=0.4),
        rewards=replace(CLOCKED_WALK.rewards, track_vy=2.5, vy_sigma=0.06, mean_velocity=2.0),
        observations=replace(
            TOLD_TO_CRITIC,
            projected_gravity=True,
            other_joints=True,
            center_of_mass=True,
            stiffness=True,
            damping=True,
            link_mass=True,
            encoder_bias=True,
            sensor_delay=True,
            impulse=True,
            critic_only=("roll_pitch", "linear_velocity_xy", "base_height", "foot_contact"),
        ),
        randomization=replace(BUILT, push_speed=0.4, push_interval_s=1.0, impulse_force=12.0, impulse_interval_s=1.5),
    ),
)
"""A walk for a real robot, whose actor sees the command, the clock, and what an IMU and joint encoders tell, which is
noisy, late and biased. The rest of the observation is for the critic. As in `robust`, robots are pushed and pulled more
often and a little harder than they will be, stand often, and look further ahead than in the other presets."""

GPU = replace(
    CPU,
    preset="gpu",
    num_envs=4096,
    total_timesteps=50_000_000,
    save_freq=None,
    eval_freq=10_000_000,
    video_freq=10_000_000,
    processes=1,
    ppo=replace(CPU.ppo, learning_rate=1e-3, lr=QUICK_LEARNING_RATE),
    policy=replace(CPU.policy, lstm_hidden_size=256, pi=(256, 128), vf=(256, 128)),
)
"""The same task for one GPU: more robots, a larger network, longer training."""

SMOKE = replace(
    CPU,
    preset="smoke",
    num_envs=16,
    total_timesteps=16 * 24 * 3,
    save_freq=16 * 24,
    eval_freq=None,
    processes=1,
    ppo=GPU.ppo,
    policy=replace(CPU.policy, lstm_hidden_size=16, pi=(16,), vf=(16,)),
)
"""Three iterations of a few robots: shows that everything runs, learns nothing."""

DISTURBANCES: Mapping[str, RandomizationConfig] = {"robust": ROUGH, "hardware": BUILT}
"""What an examination does to robots that it disturbs, by the preset that prepares for it."""

PRESETS: Mapping[str, Experiment] = {
    "default": DEFAULT,
    "reference": REFERENCE,
    "cpu": CPU,
    "quick": QUICK,
    "turn": TURN,
    "gpu": GPU,
    "robust": ROBUST,
    "hardware": HARDWARE,
    "smoke": SMOKE,
}
