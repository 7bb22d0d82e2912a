"""One environment and one set of hyper-parameters, handed to this trainer, to sb3-contrib and to rsl_rl."""

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.vec_env import VecEnv as Sb3Interface
from tensordict import TensorDict
from torch import Tensor

from ppo.cuda.graphs import Graphs
from ppo.env import VecEnv
from ppo.hyperparameters import PPOConfig
from ppo.layers import ACTIVATIONS
from ppo.learner import Learner
from ppo.policy import PolicyConfig, RecurrentActorCritic
from ppo.processes import Processes
from ppo.runtime import Precision

OURS, SB3, RSL = "ours", "sb3-contrib", "rsl_rl"
CONTENDERS = (OURS, RSL, SB3)
MODULES = {OURS: "torch", SB3: "sb3_contrib", RSL: "rsl_rl"}
"""What must be importable for each contender."""


class Sb3VecEnv(Sb3Interface):
    """An environment of tensors behind the interface of Stable-Baselines3, which is numpy."""

    def __init__(self, env: VecEnv) -> None:
        self.env = env
        self.action = torch.zeros(env.num_envs, env.action_dim)
        super().__init__(
            env.num_envs,
            gymnasium.spaces.Box(-np.inf, np.inf, (env.observation_dim,)),
            gymnasium.spaces.Box(env.action_low.cpu().numpy(), env.action_high.cpu().numpy()),
        )

    def reset(self) -> Any:  # noqa: ANN401
        """Start new episodes."""
        return self.env.reset().cpu().numpy()

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self.action = torch.as_tensor(actions, device=self.env.device)

    def step_wait(self) -> Any:  # noqa: ANN401
        """One step of all environments."""
        step = self.env.step(self.action)
        final = step.final_observation.cpu().numpy()
        infos = [
            {"terminal_observation": final[n], "TimeLimit.truncated": True} if timed_out else {}
            for n, timed_out in enumerate(step.truncated.tolist())
        ]
        done = step.terminated | step.truncated
        return step.observation.cpu().numpy(), step.reward.cpu().numpy(), done.cpu().numpy(), infos

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ANN401
        """Nothing to draw, and no environments to ask but all of them together."""
        if attr_name == "render_mode":
            return [None] * self.num_envs
        raise AttributeError(attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ANN401
        """There are no environments to tell but all of them together."""
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:  # noqa: ANN401
        """There are no environments to call but all of them together."""
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> Any:  # noqa: ANN401
        """No environment is wrapped."""
        return [False] * self.num_envs


class RslVecEnv:
    """An environment of tensors behind the interface of rsl_rl, `rsl_rl.env.VecEnv`."""

    def __init__(self, env: VecEnv) -> None:
        self.env = env
        self.num_envs, self.num_actions, self.device = env.num_envs, env.action_dim, env.device
        self.max_episode_length = 1
        self.episode_length_buf = torch.zeros(env.num_envs, dtype=torch.int64, device=env.device)
        self.cfg: dict[str, Any] = {}
        self.observation = env.reset()

    def get_observations(self) -> TensorDict:
        """The current observations `[N, D]`."""
        return observation_group(self.observation)

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Tensor]]:
        """One step of all environments; actions are clipped here, as rsl_rl does not."""
        step = self.env.step(torch.clamp(actions, self.env.action_low, self.env.action_high))
        self.observation = step.observation
        done = (step.terminated | step.truncated).long()
        return observation_group(step.observation), step.reward, done, {"time_outs": step.truncated}


def observation_group(observation: Tensor) -> TensorDict:
    """Observations `[N, D]` as rsl_rl takes them."""
    return TensorDict({"policy": observation}, batch_size=[observation.shape[0]], device=observation.device)


def make_learner(env: VecEnv, policy: PolicyConfig, ppo: PPOConfig, precision: Precision) -> Learner:
    """What learns in our trainer, with no end in sight; on a GPU as CUDA graphs, as by default."""
    torch.manual_seed(1)
    return Learner(
        env,
        RecurrentActorCritic(policy, env.observation_dim, env.action_dim).to(env.device),
        ppo,
        total_timesteps=2**62,
        precision=precision,
        processes=Processes(device=env.device),
        seed=1,
        facts={},
        recorder=Graphs(partial(print, "without CUDA graphs:")) if env.device.type == "cuda" else None,
    )


def make_sb3(env: VecEnv, policy: PolicyConfig, ppo: PPOConfig) -> Any:  # noqa: ANN401
    """sb3-contrib's RecurrentPPO with the same network and hyper-parameters, in float32."""
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.logger import Logger

    model = RecurrentPPO(
        "MlpLstmPolicy",
        Sb3VecEnv(env),
        learning_rate=ppo.learning_rate,
        n_steps=ppo.n_steps,
        batch_size=ppo.minibatch_envs(env.num_envs) * ppo.n_steps,
        n_epochs=ppo.n_epochs,
        gamma=ppo.gamma,
        gae_lambda=ppo.gae_lambda,
        clip_range=ppo.clip_range,
        ent_coef=ppo.ent_coef,
        vf_coef=ppo.vf_coef,
        max_grad_norm=ppo.max_grad_norm,
        normalize_advantage=ppo.normalize_advantage,
        seed=1,
        device=env.device,
        policy_kwargs={
            "activation_fn": ACTIVATIONS[policy.activation],
            "net_arch": {"pi": list(policy.pi), "vf": list(policy.vf)},
            "lstm_hidden_size": policy.lstm_hidden_size,
            "n_lstm_layers": policy.n_lstm_layers,
            "log_std_init": policy.log_std_init,
        },
    )
    model.set_logger(Logger(None, []))
    return model


def rsl_configuration(policy: PolicyConfig, ppo: PPOConfig, num_envs: int, precision: Precision) -> dict[str, Any]:
    """The same network and hyper-parameters in the words of rsl_rl.

    Its adaptive learning rate and its clipped value loss are off, as they are in the others.
    """
    common = {
        "class_name": "RNNModel",
        "activation": policy.activation,
        "rnn_type": "lstm",
        "rnn_hidden_dim": policy.lstm_hidden_size,
        "rnn_num_layers": policy.n_lstm_layers,
    }
    distribution = {
        "class_name": "GaussianDistribution",
        "init_std": float(np.exp(policy.log_std_init)),
        "std_type": "log",
    }
    return {
        "num_steps_per_env": ppo.n_steps,
        "save_interval": 2**62,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "multi_gpu": None,
        "actor": {**common, "hidden_dims": list(policy.pi), "distribution_cfg": distribution},
        "critic": {**common, "hidden_dims": list(policy.vf)},
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": ppo.n_epochs,
            "num_mini_batches": num_envs // ppo.minibatch_envs(num_envs),
            "clip_param": ppo.clip_range,
            "gamma": ppo.gamma,
            "lam": ppo.gae_lambda,
            "value_loss_coef": ppo.vf_coef,
            "entropy_coef": ppo.ent_coef,
            "learning_rate": ppo.learning_rate,
            "max_grad_norm": ppo.max_grad_norm,
            "use_clipped_value_loss": False,
            "schedule": "fixed",
            "normalize_advantage_per_mini_batch": ppo.normalize_advantage,
            "use_mixed_precision": precision.name == "bf16",
        },
    }
