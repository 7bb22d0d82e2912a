"""Episodes one by one, told robot by robot: how long each was, what it earned, and how it ended."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from biped.env import BipedEnv
from biped.examination.examination import Controller
from biped.task.terminations import episode_end

CAUSES = ("simulator error", "tilted too far", "base too low", "time-out")
"""The fields of `EpisodeEnd` in words."""


class Episode(NamedTuple):
    """One episode of one robot."""

    robot: int
    """Number of the robot, from 0 on."""
    seconds: float
    """s, how long it lasted."""
    total_reward: float
    """Sum of the rewards."""
    fell: bool
    """It ended before its time."""
    cause: str
    """Why it ended, in words."""
    velocity_error: float
    """m/s, mean over time of the distance between the planar velocity and the command."""


def play_episodes(
    controller: Controller, env: BipedEnv, episodes: int | None, after_step: Callable[[], None] = lambda: None
) -> Iterator[Episode]:
    """Let every robot live through a number of episodes.

    Each robot contributes its first `episodes` episodes, however long they are; short ones are not overrepresented.

    Args:
        controller: Chooses the actions.
        env: Is reset first.
        episodes: Per robot; None goes on for ever.
        after_step: Called after every control step.

    Yields:
        Each episode as it ends.
    """
    observation = env.reset()
    ended = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    steps, total_reward, velocity_error = torch.zeros(3, env.num_envs, device=env.device)
    finished = [0] * env.num_envs
    while episodes is None or min(finished) < episodes:
        command = env.commands.value[:, :2]
        step = env.step(controller(observation, ended).clamp(env.action_low, env.action_high))
        after_step()
        observation, ended = step.observation, step.terminated | step.truncated
        # With no time to live, whatever did not end for another cause timed out.
        end = episode_end(env.state, env.episode_steps, 0, env.config.terminations, env.lowest_height)
        error = (env.state.base_linear_velocity[:, :2] - command).norm(dim=1)
        steps, total_reward, velocity_error = steps + 1.0, total_reward + step.reward, velocity_error + error
        for robot in ended.nonzero().flatten().tolist():
            finished[robot] += 1
            if episodes is None or finished[robot] <= episodes:
                count = steps[robot].item()
                yield Episode(
                    robot=robot,
                    seconds=count * env.control_dt,
                    total_reward=total_reward[robot].item(),
                    fell=bool(step.terminated[robot]),
                    cause=next(words for words, holds in zip(CAUSES, end, strict=True) if holds[robot]),
                    velocity_error=velocity_error[robot].item() / count,
                )
        steps, total_reward, velocity_error = (
            total.masked_fill(ended, 0.0) for total in (steps, total_reward, velocity_error)
        )


def tell(number: int, episode: Episode, num_envs: int) -> str:
    """One line about one episode, the `number`-th that is told about, of one of `num_envs` robots."""
    robot = f"robot {episode.robot:3d}  " if num_envs > 1 else ""
    return (
        f"episode {number:3d}  {robot}{episode.seconds:6.2f} s  return {episode.total_reward:8.2f}  "
        f"velocity error {episode.velocity_error:.3f} m/s  ended by: {episode.cause}"
    )


def summarize(episodes: Sequence[Episode]) -> str:
    """One line about all episodes. The velocity error is the mean over their time."""
    if not episodes:
        return "no episode was finished"
    count = len(episodes)
    seconds = sum(episode.seconds for episode in episodes)
    error = sum(episode.velocity_error * episode.seconds for episode in episodes) / seconds
    return (
        f"{count} episode{'s' if count > 1 else ''}: {sum(episode.fell for episode in episodes)} fell, mean length "
        f"{seconds / count:.2f} s, mean return {sum(episode.total_reward for episode in episodes) / count:.2f}, "
        f"velocity error {error:.3f} m/s"
    )
