"""How fast a training will be, measured on a part of it before it begins."""

import time
from copy import deepcopy
from dataclasses import replace

import torch

from ppo.learner import Learner
from ppo.optimizer import FlatAdam
from ppo.processes import Processes
from ppo.rollout import Experience, Rollout
from ppo.update import PPO

LONG_ITERATION = 2e12
"""Floating-point operations of an iteration that a CPU takes long for."""
PROBED_ENVS = 16
"""Environments of the update that is measured."""


def is_long(learner: Learner, operations_at_least: float = LONG_ITERATION) -> bool:
    """Whether an iteration on a CPU takes so long that one wants to know beforehand."""
    parameters = sum(parameter.numel() for parameter in learner.policy.parameters())
    # Each sample and parameter takes a multiplication and an addition forwards and twice as many backwards.
    operations = 6.0 * parameters * learner.ppo.n_epochs * learner.ppo.n_steps * learner.env.num_envs
    return learner.env.device.type == "cpu" and operations >= operations_at_least


def expected_speed(learner: Learner) -> float:
    """Control steps per second, over all processes, that the training can be expected to make.

    Takes a small part of an iteration. Environments and policy are afterwards as they were.
    """
    env, policy, config = learner.env, learner.policy, learner.ppo
    before = env.state_dict()
    observation = env.reset()
    start = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    noise = torch.zeros(env.num_envs, env.action_dim, device=env.device)
    begin = time.perf_counter()
    with torch.no_grad():
        action, _, _, _ = policy.act(observation, policy.initial_state(env.num_envs).actor, start, noise)
    env.step(policy.clip(action.float()))
    step_seconds = time.perf_counter() - begin
    env.load_state_dict(before)

    count = min(PROBED_ENVS, env.num_envs)
    copied = deepcopy(policy)
    algorithm = PPO(
        copied,
        FlatAdam(copied.parameters(), config.learning_rate),
        replace(config, n_epochs=1, n_minibatches=1, batch_size=None, target_kl=None),
        torch.Generator(),
        learner.algorithm.precision,
        Processes(),
    )
    rollout = Rollout.zeros(config.n_steps, count, env.observation_dim, env.action_dim, env.device)
    experience = Experience(rollout, copied.initial_state(count), observation[:count], start[:count])
    begin = time.perf_counter()
    algorithm.prepare(experience)
    prepared = time.perf_counter()
    algorithm.update(experience)
    update_seconds = (prepared - begin) + config.n_epochs * (time.perf_counter() - prepared)
    iteration = config.n_steps * step_seconds + update_seconds * env.num_envs / count
    return learner.steps_per_rollout / iteration
