"""How good the policy is without exploration: mean return over one episode of every environment."""

import copy

import torch

from ppo.env import VecEnv, finite
from ppo.policy import RecurrentActorCritic


class Evaluator:
    """Evaluates policies on environments of its own, always from the same start, so that results can be compared.

    Args:
        env: not shared with training, which therefore does not notice.
        steps: longest evaluation in control steps; episodes still running then count with what they have earned.
    """

    def __init__(self, env: VecEnv, steps: int) -> None:
        self.env = env
        self.steps = steps
        env.reset()
        self.start = copy.deepcopy(env.state_dict())

    def __call__(self, policy: RecurrentActorCritic) -> tuple[float, float]:
        """Let the mean action control one episode of every environment; returns mean return and mean length."""
        env = self.env
        observation = env.load_state_dict(self.start)
        state = policy.initial_state(env.num_envs).actor
        episode_start = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        running = torch.ones(env.num_envs, device=env.device)
        returns, lengths = torch.zeros_like(running), torch.zeros_like(running)
        with torch.no_grad():
            for _ in range(self.steps):
                action, _, state, _ = policy.act(observation, state, episode_start)
                step = env.step(torch.clamp(action, env.action_low, env.action_high))
                returns += running * finite(step.reward)
                lengths += running
                observation, episode_start = step.observation, step.terminated | step.truncated
                running = running * ~episode_start
        mean_return, mean_length = torch.stack((returns, lengths)).mean(1).tolist()
        return mean_return, mean_length
