"""What the task is made of, and whether a robot can do it."""

from dataclasses import dataclass, field
from typing import Annotated

from biped.robots.robot import Robot
from biped.task.actuators import ActuatorConfig
from biped.task.commands import CommandConfig
from biped.task.gait import GaitConfig
from biped.task.harmonic_motion import HarmonicMotionConfig
from biped.task.observations import ObservationConfig
from biped.task.randomization import RandomizationConfig
from biped.task.reset import ResetConfig
from biped.task.rewards import RewardConfig
from biped.task.terminations import TerminationConfig
from ppo.value_ranges import ConfigurationError, Range, check_ranges


@dataclass(frozen=True)
class EnvConfig:
    """The task. The simulator is built apart from it."""

    actuators: ActuatorConfig = field(default_factory=ActuatorConfig)
    """From actions to joint targets."""
    commands: CommandConfig = field(default_factory=CommandConfig)
    """What the robot is asked to do."""
    observations: ObservationConfig = field(default_factory=ObservationConfig)
    """What the policy sees."""
    gait: GaitConfig = field(default_factory=GaitConfig)
    """Clock, contacts and steps."""
    harmonic_motion: HarmonicMotionConfig = field(default_factory=HarmonicMotionConfig)
    """The joints whose rhythm `rewards.sinusoidal_motion` pays for."""
    rewards: RewardConfig = field(default_factory=RewardConfig)
    """What is paid for."""
    terminations: TerminationConfig = field(default_factory=TerminationConfig)
    """What counts as a fall."""
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)
    """What differs from robot to robot."""
    reset: ResetConfig = field(default_factory=ResetConfig)
    """Where episodes begin."""
    episode_length_s: Annotated[float, Range(0.0, 1e9, open=True)] = 90.0
    """s until an episode times out."""
    mirror_left_stance: bool = False
    """While the clock asks the left foot to carry, show the policy the robot's mirror image and mirror its actions
    back: it learns half a stride, and both sides walk alike. Needs `gait.left_offset` 0.5."""
    randomize_episode_start: bool = True
    """Begin the first episodes with a random part of their time already spent, so that time-outs are spread over the
    rollouts instead of hitting all robots at once."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.mirror_left_stance and self.gait.left_offset != 0.5:
            problem = f"needs gait.left_offset 0.5, got {self.gait.left_offset}"
            raise ConfigurationError(type(self), "mirror_left_stance", problem)


def check_robot(config: EnvConfig, robot: Robot) -> None:
    """Check that the robot can do the task.

    Raises:
        ConfigurationError: it lacks a joint, or would weigh nothing.
    """
    unknown = [name for name in config.harmonic_motion.joints if name not in robot.joint_names]
    if unknown:
        problem = f"must be among {', '.join(robot.joint_names)}, not {', '.join(unknown)}"
        raise ConfigurationError(HarmonicMotionConfig, "joints", problem)
    if config.rewards.sinusoidal_motion and not (config.harmonic_motion.joints or robot.rhythmic_joints):
        raise ConfigurationError(HarmonicMotionConfig, "joints", f"must be given, as {robot.name} names none itself")
    if config.observations.torso and not robot.torso_joints:
        raise ConfigurationError(ObservationConfig, "torso", f"cannot be observed, as {robot.name} has no torso joint")
    added_mass = config.randomization.added_mass
    if added_mass is not None and added_mass[0] <= -robot.base_mass:
        problem = f"must be above {-robot.base_mass:g}, the base's own mass, not {added_mass[0]:g}"
        raise ConfigurationError(RandomizationConfig, "added_mass", problem)
