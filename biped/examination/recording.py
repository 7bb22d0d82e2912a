"""What a few robots did in every control step of their trials, to be drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biped.env import BipedEnv
from biped.examination.examination import Controller, follow
from biped.examination.gait_meter import heading_velocity
from biped.examination.trials import Schedule, Trial
from biped.robots.robot import Robot
from biped.simulators.state import State

Floats = NDArray[np.float32]


class Sample(NamedTuple):
    """One control step of `N` robots, or of one robot all `T` control steps with `T` in place of `N`."""

    command: Tensor
    """`[N, 3]` forward and leftward velocity in m/s, yaw rate in rad/s."""
    velocity: Tensor
    """`[N, 2]` m/s, horizontal velocity of the base in the direction that it faces and to its left."""
    yaw: Tensor
    """`[N]` rad."""
    base_height: Tensor
    """`[N]` m."""
    contact: Tensor
    """`[N, 2]` 1 where the right and the left foot touch the ground, else 0."""
    foot_position: Tensor
    """`[N, 2, 3]` m, centres of the right and the left sole: forward and to the left of the base, above the ground."""
    joint_position: Tensor
    """`[N, J]` rad."""
    joint_velocity: Tensor
    """`[N, J]` rad/s."""
    joint_target: Tensor
    """`[N, J]` rad, what the servos were told."""
    joint_torque: Tensor
    """`[N, J]` N m."""
    rewards: Tensor
    """`[N, R]` reward per second of each term."""


@dataclass(frozen=True)
class Recording:
    """One robot in one trial, from the start until it ended or fell. Arrays are those of `Sample`, `[T, ...]`."""

    trial: Trial
    control_dt: float
    """s."""
    robot: Robot
    reward_names: tuple[str, ...]
    """`R`."""
    fell: bool
    command: Floats
    velocity: Floats
    yaw: Floats
    base_height: Floats
    contact: NDArray[np.bool_]
    foot_position: Floats
    joint_position: Floats
    joint_velocity: Floats
    joint_target: Floats
    joint_torque: Floats
    rewards: Floats

    @property
    def times(self) -> NDArray[np.float64]:
        """`[T]` s since the start."""
        times: NDArray[np.float64] = self.control_dt * np.arange(1.0, len(self.yaw) + 1.0)
        return times

    @property
    def yaw_rate(self) -> NDArray[np.float64]:
        """`[T]` rad/s, the change of the yaw as the examination counts it; 0 in the first control step."""
        turned = np.diff(np.unwrap(self.yaw.astype(np.float64)), prepend=self.yaw[:1])
        rate: NDArray[np.float64] = turned / self.control_dt
        return rate

    @property
    def power(self) -> NDArray[np.float64]:
        """`[T, J]` W, mechanical power that each joint gives; negative where it brakes."""
        return self.joint_torque.astype(np.float64) * self.joint_velocity


class Recorder:
    """Notes the control steps of `N` robots, each until its episode ends.

    Args:
        env: holds the robots.
        schedule: of their trials; one robot each.
    """

    def __init__(self, env: BipedEnv, schedule: Schedule) -> None:
        self._env, self._schedule = env, schedule
        self._samples: list[Sample] = []
        self._ended: list[Tensor] = []

    def step(self, command: Tensor, ended: Tensor) -> None:
        """Take in the control step that the robots have just made.

        Args:
            command: `[N, 3]` that they followed.
            ended: `[N]` bool; the episode ended with this step.
        """
        env, state = self._env, self._env.state
        rates = env.rewards.rates
        assert rates is not None
        # The command and the target stay what they were, whatever the next step does with the tensors.
        self._samples.append(
            Sample(
                command=command.clone(),
                velocity=heading_velocity(state),
                yaw=state.roll_pitch_yaw[:, 2].clone(),
                base_height=state.base_position[:, 2].clone(),
                contact=env.gait.contact.clone(),
                foot_position=feet_below(state),
                joint_position=state.joint_position.clone(),
                joint_velocity=state.joint_velocity.clone(),
                joint_target=env.actuators.output.clone(),
                joint_torque=state.joint_torque.clone(),
                rewards=rates.T.clone(),
            )
        )
        self._ended.append(ended)

    def recordings(self) -> list[Recording]:
        """What was seen so far, one per trial."""
        columns = [torch.stack(column, dim=1).float().cpu().numpy() for column in zip(*self._samples, strict=True)]
        ended = torch.stack(self._ended, dim=1).cpu().numpy()
        return [
            self._recording(index, trial, ended[index], columns) for index, trial in enumerate(self._schedule.trials)
        ]

    def _recording(self, robot: int, trial: Trial, ended: NDArray[np.bool_], columns: Sequence[Floats]) -> Recording:
        env, fell = self._env, bool(ended.any())
        # The state of the step in which it ended is of no whole control step.
        count = int(ended.argmax()) if fell else len(ended)
        parts = {name: column[robot, :count] for name, column in zip(Sample._fields, columns, strict=True)}
        contact = parts.pop("contact") > 0.5
        return Recording(trial, env.control_dt, env.simulator.robot, env.rewards.names, fell, contact=contact, **parts)


def feet_below(state: State) -> Tensor:
    """Centres of the soles `[N, 2, 3]` in m: ahead of the base as it faces, to its left, and above the ground."""
    offset = state.foot_position[..., :2] - state.base_position[:, None, :2]
    yaw = state.roll_pitch_yaw[:, 2:]
    forward = yaw.cos() * offset[..., 0] + yaw.sin() * offset[..., 1]
    left = yaw.cos() * offset[..., 1] - yaw.sin() * offset[..., 0]
    return torch.stack((forward, left, state.foot_position[..., 2]), dim=-1)


def record(
    controller: Controller,
    env: BipedEnv,
    trials: Sequence[Trial],
    seconds: float,
    after_step: Callable[[], None] = lambda: None,
) -> list[Recording]:
    """Let one robot go through each trial, all at the same time, and note every control step.

    Args:
        controller: Chooses the actions.
        env: As many robots as trials; its configuration is `examination_config` of the task.
        trials: All of them take `seconds`.
        seconds: Duration of the run.
        after_step: Called after every control step.

    Returns:
        One recording per trial.

    Raises:
        ValueError: There are not as many robots as trials.
    """
    if env.num_envs != len(trials):
        raise ValueError(f"{len(trials)} trials are recorded with one robot each, not with {env.num_envs} robots")
    schedule = Schedule(trials, env.num_envs, round(seconds / env.control_dt), env.device)
    recorder = Recorder(env, schedule)
    for ended in follow(controller, env, schedule):
        recorder.step(schedule.command, ended)
        after_step()
    return recorder.recordings()
