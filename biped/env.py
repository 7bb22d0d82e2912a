"""BipedEnv: the order of one control step."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from biped.env_config import EnvConfig, check_robot
from biped.simulators.interface import Simulator
from biped.simulators.state import State, euler_angles
from biped.task.actuators import Actuators
from biped.task.buffers import Buffers, remembered, restored
from biped.task.commands import Commands, tracking_metrics
from biped.task.contact_sensor import ContactSensor
from biped.task.course import Course
from biped.task.disturbances import Disturbances
from biped.task.gait import Gait, is_standing, scheduled_contact
from biped.task.last_push import LastPush
from biped.task.mirror import Mirror
from biped.task.observation_sources import knowledge_at_rest, state_at_rest
from biped.task.observations import critic_only_columns, observation_image
from biped.task.observer import Observer
from biped.task.randomization import Longest, Randomization, uniform_integer
from biped.task.reset import InitialPose, InitialPoses
from biped.task.reward_memory import RewardMemory
from biped.task.reward_terms import RewardInputs
from biped.task.rewards import Rewards
from biped.task.sensors import Sensors
from biped.task.terminations import EpisodeEnd, count_causes, episode_end
from ppo.env import Recorder, Step

SAVED = ("episode_steps", "_began", "mirrored", "_joint_velocity", "_action", "_observation")
"""Tensors of an environment that continuing exactly needs, beside those of its parts."""
PARTS = (
    *("randomization", "actuators", "commands", "gait", "contact_sensor"),
    *("sensors", "disturbances", "course", "last_push"),
)
"""What an environment consists of and remembers something from one control step to the next."""


class BipedEnv:
    """`N` robots that learn to walk; a `ppo.env.VecEnv`.

    Call `reset` once before the first `step`. `step` runs without a host synchronisation.
    """

    def __init__(self, simulator: Simulator, config: EnvConfig, *, seed: int) -> None:
        """Set up the task for the robots of `simulator`, with random numbers from `seed` on."""
        robot, num_envs, device = simulator.robot, simulator.num_envs, simulator.device
        check_robot(config, robot)
        self.config = config
        self.simulator = simulator
        self.num_envs = num_envs
        self.device = device
        self.control_dt = simulator.control_dt
        self.action_dim = robot.num_joints
        self.action_high = torch.full((robot.num_joints,), config.actuators.action_limit, device=device)
        self.action_low = -self.action_high
        self._generator = torch.Generator(device=device)
        self._generator.manual_seed(seed)
        lowest = config.terminations.minimum_height
        self.lowest_height = robot.lowest_height if lowest is None else lowest
        self._longest_episode = max(1, round(config.episode_length_s / self.control_dt))

        default_joint_position = torch.tensor(robot.default_joint_position, device=device)
        self.randomization = Randomization(config.randomization, num_envs, robot.num_joints, self._generator)
        self.randomization.apply(simulator)
        self.actuators = Actuators(
            config.actuators, default_joint_position, num_envs, config.randomization.latency_steps[1]
        )
        self.commands = Commands(config.commands, num_envs, self.control_dt, self._generator)
        keeps_course = config.commands.course_gain > 0.0
        self.course = Course(config.commands, num_envs, self.control_dt, device) if keeps_course else None
        self.rewards = Rewards(config.rewards, robot, self.control_dt, device)
        air_time = "landed_air_time" in self.rewards.needs
        self.gait = Gait(config.gait, num_envs, self.control_dt, self._generator, needs_air_time=air_time)
        self.reward_memory = RewardMemory(
            self.rewards.needs,
            config.gait,
            config.harmonic_motion,
            config.rewards,
            robot,
            num_envs,
            self.control_dt,
            device,
        )
        self.initial_poses = InitialPoses(config.reset, robot, num_envs, self._generator)
        self.contact_sensor = ContactSensor(config.randomization, num_envs, self._generator)
        self.observer = Observer(robot, config.observations, self._generator)
        self.observation_dim = self.observer.dim
        self.privileged_columns = critic_only_columns(self.observer.fields)
        """Of the observation; only the critic sees them."""
        self.last_push = LastPush(num_envs, self.control_dt, device) if config.observations.last_push else None
        self.disturbances = Disturbances(config.randomization, simulator, self.last_push, self._generator)
        self.mirror = (
            Mirror(robot, observation_image(robot, self.observer.fields), device) if config.mirror_left_stance else None
        )
        self.mirrored = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """`[N]` whether the last observation was a mirror image, as the next action will be."""

        self.state = simulator.read()
        """After the last control step; where it ended an episode, still the state at that end."""
        self.episode_steps = torch.zeros(num_envs, dtype=torch.int64, device=device)
        """`[N]` control steps since each episode began."""
        self._began = torch.ones(num_envs, dtype=torch.bool, device=device)
        self._standing = torch.ones_like(self._began)
        """`[N]` whether robots that follow `command` are to stand still; kept up with it."""
        self._joint_velocity = torch.zeros(num_envs, robot.num_joints, device=device)
        self._action = torch.zeros_like(self._joint_velocity)
        self._observation = torch.zeros(num_envs, self.observation_dim, device=device)
        self._at_rest = state_at_rest(robot, num_envs, device)
        self._knowledge_at_rest = knowledge_at_rest(robot, num_envs, device)
        self.sensors = Sensors(self.observer, self._at_rest, config.randomization.sensor_delay_steps[1])

    @property
    def observation_slices(self) -> dict[str, slice]:
        """Where each named part lies in the observation vector."""
        return self.observer.slices

    @property
    def action(self) -> Tensor:
        """`[N, A]` of the last control step as it was applied: clipped, not a mirror image, 0 in a new episode."""
        return self._action

    def seed(self, seed: int) -> None:
        """Draw all random numbers from here on from `seed`. What was drawn for the whole run stays."""
        self._generator.manual_seed(seed)

    @property
    def command(self) -> Tensor:
        """`[N, 3]` m/s, m/s, rad/s that the robots are told to follow, with what keeps them on course."""
        return self.commands.value if self.course is None else self.course(self.commands.value)

    def set_command(self, command: Tensor | None, heading: Tensor | None = None) -> None:
        """Have all robots follow `command` until the next call; it shows from the next observation on.

        Args:
            command: `[3]` or `[N, 3]`: forward and leftward velocity in m/s, yaw rate in rad/s. None goes back to
                commands that are drawn.
            heading: `[]` or `[N]` rad in the world that they are to turn to and keep, beside the command's yaw rate.

        Raises:
            ValueError: the command has another shape, or the task keeps nobody on course.
        """
        if self.course is not None:
            self.course.hold(heading)
        elif heading is not None:
            raise ValueError("a heading can be held only in a task with env.commands.course-gain above 0")
        if command is None:
            self.commands.release()
        else:
            self.commands.hold(command)
        self._standing = self.gait.stands(self.command)

    def reset(self) -> Tensor:
        """Start a new episode in every environment and return its first observation `[N, D]`."""
        self.disturbances.step_count = 0
        measurement = self._begin_episodes_now(torch.ones_like(self._began))
        if self.config.randomize_episode_start:
            self.episode_steps = uniform_integer((self.num_envs,), 0, self._longest_episode - 1, self._generator)
        self._standing = self.gait.stands(self.command)
        self._observation = self._observe(self.state, measurement, self.observer.draw_noise(self.num_envs))
        return self._observation

    def reset_some(self, mask: Tensor) -> Tensor:
        """Start a new episode for the robots in `mask` `[N]`, whatever state they are in; the others stay as they are.

        Call `reset` once before.

        Returns:
            `[N, D]`: the first observation of those in `mask`, the last one of the others.
        """
        masked = mask.unsqueeze(-1)
        began, command, joint_velocity = self._began, self.commands.value, self._joint_velocity
        observation, mirrored = self._observation, self.mirrored
        measurement = self._begin_episodes_now(mask)
        # A robot that has just begun an episode of its own is not in `mask`, and yet `state` is older than its episode.
        self._began = began | mask
        self._joint_velocity = torch.where(masked, self._joint_velocity, joint_velocity)
        self.commands.value = torch.where(masked, self.commands.value, command)
        self._standing = self.gait.stands(self.command)
        fresh = self._observe(self.state, measurement, self.observer.draw_noise(self.num_envs))
        self.mirrored = torch.where(mask, self.mirrored, mirrored)
        self._observation = torch.where(masked, fresh, observation)
        return self._observation

    def record(self, recorder: Recorder) -> None:
        """Let `recorder` record what `step` does, the simulation apart."""
        memory = remembered(self)
        self._before = recorder(self._before, memory, [self._generator])  # type: ignore[method-assign]
        self._after = recorder(self._after, memory, [self._generator])  # type: ignore[method-assign]
        self.simulator.record(recorder)

    def step(self, action: Tensor) -> Step:
        """Apply `action` `[N, A]` for one control step."""
        joint_target, previous_action = self._before(action, self.disturbances.longest_delays)
        self.disturbances.step(self.state, self._began)
        self.simulator.step(joint_target)
        self.state = self.simulator.read()
        step, pose = self._after(self.state, previous_action, self.disturbances.longest_delays)
        self.simulator.reset(self._began, *pose)
        return step

    def _before(self, action: Tensor, longest: Longest) -> tuple[Tensor, Tensor]:
        """The targets of the servos, `[N, J]` rad, for `action` `[N, A]`, and the action before it."""
        previous_action = self._action
        if self.mirror is not None:
            action = self.mirror.action(action, self.mirrored)
        self._action = self.actuators.clip(action)
        latency, backlash = self.randomization.latency_now(longest), self.randomization.backlash
        joint_target = self.actuators.step(self._action, latency, backlash)
        # A servo goes by its encoder.
        bias = self.randomization.lasting.get("encoder_bias")
        return joint_target if bias is None else joint_target - bias, previous_action

    def _after(self, state: State, previous_action: Tensor, longest: Longest) -> tuple[Step, InitialPose]:
        """Judge and observe `state`; returns the poses in which the robots in `_began` begin new episodes, too."""
        self.episode_steps = self.episode_steps + 1
        self.gait.step(state.foot_contact_force)
        self.contact_sensor.step(self.gait.contact, self.randomization.contact_delay)
        command = self.command
        limits = self.config.terminations
        end = episode_end(state, self.episode_steps, self._longest_episode, limits, self.lowest_height)
        reward, reward_metrics = self.rewards(self._reward_inputs(state, previous_action, end))
        metrics = reward_metrics | count_causes(end) | tracking_metrics(state, command)

        # Where they differ, the two observations belong to different episodes, which may share their noise.
        noise = self.observer.draw_noise(self.num_envs)
        terminated, truncated = end.terminated, end.time_out
        measurement = self.sensors.measure(state, self.randomization.lasting)
        measurement = self.sensors.arrive(measurement, self.randomization.sensor_delay_now(longest))
        final_observation = self._observe(state, measurement, noise)
        measurement, pose = self._begin_episodes(terminated | truncated, state, measurement)
        self.gait.follow(self.commands.value)
        if self.course is not None:
            asked = self.commands.value
            self.course.step(asked, is_standing(asked, self.gait.config), state.roll_pitch_yaw[:, 2], self._began)
        self._standing = self.gait.stands(self.command)
        self._observation = self._observe(state, measurement, noise)
        return Step(self._observation, reward, terminated, truncated, final_observation, metrics), pose

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue exactly here."""
        return {
            "simulator": self.simulator.state_dict(),
            "generator": self._generator.get_state(),
            "step_count": self.disturbances.step_count,
            **{name.lstrip("_"): getattr(self, name).clone() for name in SAVED},
            "state": {name: value.clone() for name, value in self.state._asdict().items()},
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        """Continue where `state_dict` was taken; returns the current observation `[N, D]`.

        Raises:
            ValueError: The state is that of another number of robots or of another configuration.
        """
        for name, part in self._parts().items():
            part.load_state_dict(state.get(name, {}))
        saved = {name: restored(self, name.lstrip("_"), getattr(self, name), state) for name in SAVED}
        self.simulator.load_state_dict(state["simulator"])
        self._generator.set_state(state["generator"].cpu())
        self.disturbances.step_count = state["step_count"]
        for name, value in saved.items():
            setattr(self, name, value)
        self.state = State(**{name: value.to(self.device, copy=True) for name, value in state["state"].items()})
        self._standing = self.gait.stands(self.command)
        return self._observation

    def close(self) -> None:
        """Close the simulator."""
        self.simulator.close()

    def _parts(self) -> dict[str, Buffers]:
        own = {name: getattr(self, name) for name in PARTS if getattr(self, name) is not None}
        return own | self.reward_memory.parts

    def _reward_inputs(self, state: State, previous_action: Tensor, end: EpisodeEnd) -> RewardInputs:
        """Collect what the reward terms look at."""
        gait = self.gait
        return RewardInputs(
            state=state,
            command=self.command,
            action=self._action,
            previous_action=previous_action,
            previous_joint_velocity=self._joint_velocity,
            contact=gait.contact,
            scheduled_contact=scheduled_contact(gait.phase, self._standing, gait.config),
            touchdown=gait.touchdown,
            landed_air_time=gait.landed_air_time,
            fell=end.fell,
            **self.reward_memory.step(state, gait.contact, self.command),
        )

    def _observe(self, state: State, measurement: Tensor, noise: Tensor) -> Tensor:
        """What the robots see."""
        knowledge = self._knowledge_at_rest._replace(
            command=self.command,
            foot_contact=self.contact_sensor.reading,
            previous_action=self._action,
            phase=self.gait.phase,
            standing=self._standing,
            hidden={
                **self._knowledge_at_rest.hidden,
                **self.randomization.hidden(self.disturbances.longest_delays),
                **self.disturbances.hidden(state),
            },
        )
        observation = self.observer(measurement, knowledge, noise)
        if self.mirror is None:
            return observation
        self.mirrored = (self.gait.phase >= 0.5).masked_fill_(self._standing, False)
        return self.mirror.observation(observation, self.mirrored)

    def _begin_episodes_now(self, mask: Tensor) -> Tensor:
        """`_begin_episodes` of the robots in `mask` `[N]`, in the simulator too; returns their first measurement."""
        measurement = self.sensors.measure(self.state, self.randomization.lasting)
        measurement, pose = self._begin_episodes(mask, self.state, measurement)
        self.simulator.reset(mask, *pose)
        return measurement

    def _begin_episodes(self, mask: Tensor, state: State, measurement: Tensor) -> tuple[Tensor, InitialPose]:
        """Begin new episodes for the robots in `mask` `[N]`; commands that are due change for the others as well.

        Returns:
            `measurement` `[N, M]`, for the robots in `mask` that of their first pose; and that pose, in which the
            simulator has yet to put them.
        """
        masked = mask.unsqueeze(-1)
        self._began = mask
        self.episode_steps.masked_fill_(mask, 0)
        self.commands.step(self.episode_steps)
        pose = self.initial_poses.draw()
        if self.course is not None:
            self.course.reset(mask, euler_angles(pose.base_quaternion)[:, 2])
        self.randomization.redraw(mask)
        self.actuators.reset(mask)
        self.gait.reset(mask)
        self.reward_memory.reset(mask, pose.joint_position)
        self.contact_sensor.reset(mask)
        self.disturbances.reset(mask)
        self._action.masked_fill_(masked, 0.0)
        self._joint_velocity = torch.where(masked, self._at_rest.joint_velocity, state.joint_velocity)
        first = self._at_rest._replace(**pose._asdict())
        at_rest = self.sensors.measure(first, self.randomization.lasting, at_rest=True)
        self.sensors.reset(mask, at_rest)
        return torch.where(masked, at_rest, measurement), pose
