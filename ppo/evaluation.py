"""How good a policy is: what the trainer asks of whoever judges it, and the judge for any environment."""

import copy
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch

from ppo.agent import TrainedAgent
from ppo.env import VecEnv, zero_where_not_finite
from ppo.policy import RecurrentActorCritic


class Verdict(NamedTuple):
    """What an evaluation found. With several processes only that of rank 0 is looked at."""

    score: float
    """The higher the better; the policy with the highest one is kept."""
    metrics: Mapping[str, float]
    """Named values, logged as `eval/<name>`."""
    summary: str
    """One line for a person."""
    pictures: Mapping[str, bytes] = {}
    """PNGs by name, logged as `eval/<name>`."""


class Evaluator(Protocol):
    """Judges policies. Called by all processes at the same time, which may share the work."""

    def __call__(self, policy: RecurrentActorCritic) -> Verdict:
        """Judge `policy`, from the same start every time, so that results can be compared."""
        ...


class ReturnEvaluator:
    """Judges policies by their mean return, without exploration, over one episode of every environment.

    Args:
        env: not shared with training, which therefore does not notice.
        steps: longest evaluation in control steps; episodes still running then count with what they have earned.
    """

    def __init__(self, env: VecEnv, steps: int) -> None:
        self.env = env
        self.steps = steps
        env.reset()
        self.start = copy.deepcopy(env.state_dict())

    def __call__(self, policy: RecurrentActorCritic) -> Verdict:
        """Let the mean action control one episode of every environment."""
        env, agent = self.env, TrainedAgent(policy, self.env.num_envs)
        observation = env.load_state_dict(self.start)
        episode_start = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        running = torch.ones(env.num_envs, device=env.device)
        returns, lengths = torch.zeros_like(running), torch.zeros_like(running)
        for _ in range(self.steps):
            step = env.step(torch.clamp(agent(observation, episode_start), env.action_low, env.action_high))
            returns += running * zero_where_not_finite(step.reward)
            lengths += running
            observation, episode_start = step.observation, step.terminated | step.truncated
            running = running * ~episode_start
        mean_return, mean_length = torch.stack((returns, lengths)).mean(1).tolist()
        metrics = {"mean_reward": mean_return, "mean_ep_length": mean_length}
        return Verdict(mean_return, metrics, f"mean return {mean_return:.2f} in {mean_length:.0f} steps")
