"""A program that runs next to Stable-Baselines3 only, of whatever version is on its path.

`python sb3_program.py FOLDER` loads every `FOLDER/ours_*.zip` into RecurrentPPO, trains on with it and saves it again
as `resaved_*.zip`; it also makes `genuine_*.zip` of its own. What it saw in each model goes to a `.pt` beside the zip.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

OBSERVATION_DIM = 5
ACTION_SPACE = gymnasium.spaces.Box(np.array([-1.0, -0.5], np.float32), np.array([1.0, 0.78539816], np.float32))


class TinyEnv(gymnasium.Env[Any, Any]):
    """Noise to see, the sum of the action as reward, episodes of 7 steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_DIM,), np.float32)
    action_space: gymnasium.Space[Any] = ACTION_SPACE

    def __init__(self, action_space: gymnasium.Space[Any] = ACTION_SPACE) -> None:
        self.action_space = action_space
        self._time = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self._time = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """Count one step."""
        self._time += 1
        return self._observe(), float(np.sum(action)), False, self._time == 7, {}

    def _observe(self) -> Any:  # noqa: ANN401
        return self.np_random.standard_normal(OBSERVATION_DIM).astype(np.float32)


def main(folder: Path) -> None:
    """Do everything described above."""
    torch.set_num_threads(1)
    inputs = torch.load(folder / "inputs.pt", weights_only=True)
    # A file may not need our packages where it is loaded.
    sys.modules |= dict.fromkeys(("ppo", "biped"))  # type: ignore[arg-type]
    for path in sorted(folder.glob("ours_*.zip")):
        model = RecurrentPPO.load(path, device="cpu")
        torch.save(look(model, inputs), path.with_suffix(".pt"))
        # Three environments, where the file says one.
        model = RecurrentPPO.load(path, env=DummyVecEnv([TinyEnv] * 3), device="cpu")
        model.learn(2 * 3 * model.n_steps, reset_num_timesteps=False)
        save(model, folder / path.name.replace("ours", "resaved"), inputs)
    for name, make in GENUINE.items():
        save(make(), folder / f"genuine_{name}.zip", inputs)
    for name, make in NOT_OURS.items():
        make().save(folder / f"foreign_{name}.zip")
    arguments = RecurrentPPO.load(folder / "ours_lstm_elu_2_features.zip", device="cpu").policy_kwargs
    _make(0, policy_kwargs={**arguments, "share_features_extractor": False}).save(folder / "foreign_two_features.zip")
    (folder / "version.txt").write_text(stable_baselines3.__version__)


def save(model: Any, path: Path, inputs: dict[str, torch.Tensor]) -> None:  # noqa: ANN401
    """Save a model the genuine way and what it holds beside it."""
    model.save(path)
    again = look(RecurrentPPO.load(path, device="cpu"), inputs)
    torch.save({**look(model, inputs), "reloaded_actions": again["actions"]}, path.with_suffix(".pt"))


def look(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, Any]:  # noqa: ANN401
    """Return weights, moments, settings and deterministic actions `[T, N, A]` of a RecurrentPPO model."""
    state, actions = None, []
    for observation, episode_start in zip(inputs["observation"], inputs["episode_start"], strict=True):
        action, state = model.predict(observation.numpy(), state, episode_start.numpy(), deterministic=True)
        actions.append(torch.from_numpy(action))
    names = (
        "n_steps batch_size n_epochs gamma gae_lambda ent_coef vf_coef max_grad_norm normalize_advantage target_kl seed"
    )
    new, used = model.policy.make_features_extractor(), set(model.policy.parameters())
    return {
        "new_features_extractor": {
            "parameters": len(list(new.parameters())),
            "shared": len(used.intersection(new.parameters())),
        },
        "parameters": dict(model.policy.state_dict()),
        "optimizer": model.policy.optimizer.state_dict(),
        "activation": model.policy.activation_fn.__name__,
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "own_facts": getattr(model, "biped_ppo_native", None),
        "action_low": torch.from_numpy(model.action_space.low),
        "action_high": torch.from_numpy(model.action_space.high),
        "clip_range": model.clip_range(1.0),
        "clip_range_vf": None if model.clip_range_vf is None else model.clip_range_vf(1.0),
        "learning_rate": float(model.lr_schedule(1.0)),
        "hyperparameters": {name: getattr(model, name) for name in names.split()},
        "actions": torch.stack(actions),
    }


class Extractor(nn.Sequential):
    """A features extractor that only its source tells about."""

    def __init__(self, space: gymnasium.spaces.Box) -> None:
        """Make it as small as ours could be."""
        super().__init__(nn.Linear(space.shape[0], 4), nn.Tanh())
        self.features_dim = 4


def _make(steps: int, num_envs: int = 1, action_space: gymnasium.Space[Any] = ACTION_SPACE, **arguments: Any) -> Any:  # noqa: ANN401
    env = DummyVecEnv([lambda: TinyEnv(action_space)] * num_envs)
    model = RecurrentPPO("MlpLstmPolicy", env, n_steps=16, batch_size=8, n_epochs=2, device="cpu", **arguments)
    return model.learn(steps) if steps else model


def _kwargs(**extra: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"lstm_hidden_size": 8, "net_arch": {"pi": [7, 6], "vf": [5]}, **extra}


SHARED = _kwargs(activation_fn=nn.ReLU, shared_lstm=True, enable_critic_lstm=False, ortho_init=False)
LINEAR = _kwargs(activation_fn=nn.ELU, enable_critic_lstm=False, n_lstm_layers=2, log_std_init=-1.0)
NO_MLP = {"lstm_hidden_size": 8, "net_arch": []}

GENUINE: dict[str, Callable[[], Any]] = {
    "untrained": lambda: _make(0, policy_kwargs={"lstm_hidden_size": 8}),
    "tanh": lambda: _make(40, policy_kwargs=_kwargs(), clip_range=0.15, target_kl=0.5, seed=4),
    "relu_shared": lambda: _make(100, 3, policy_kwargs=SHARED),
    "elu_linear": lambda: _make(40, 2, policy_kwargs=LINEAR, clip_range_vf=0.3),
    "schedule": lambda: _make(40, policy_kwargs=NO_MLP, learning_rate=lambda left: 1e-3 * left),
    "optimizer": lambda: _make(40, policy_kwargs=_kwargs(optimizer_kwargs={"eps": 1e-6, "weight_decay": 0.01})),
}
"""Models whose every part is supported."""

DISCRETE = TinyEnv(gymnasium.spaces.Discrete(3))

NOT_OURS: dict[str, Callable[[], Any]] = {
    "activation": lambda: _make(0, policy_kwargs=_kwargs(activation_fn=nn.LeakyReLU)),
    "lstm_kwargs": lambda: _make(0, policy_kwargs=_kwargs(n_lstm_layers=2, lstm_kwargs={"dropout": 0.1})),
    "optimizer": lambda: _make(0, policy_kwargs=_kwargs(optimizer_class=torch.optim.RMSprop, optimizer_kwargs={})),
    "amsgrad": lambda: _make(40, policy_kwargs=_kwargs(optimizer_kwargs={"amsgrad": True})),
    "sde": lambda: _make(0, use_sde=True, policy_kwargs=_kwargs()),
    "discrete": lambda: _make(0, action_space=gymnasium.spaces.Discrete(3), policy_kwargs=_kwargs()),
    "features": lambda: _make(0, policy_kwargs=_kwargs(features_extractor_class=Extractor)),
    "ppo": lambda: stable_baselines3.PPO("MlpPolicy", TinyEnv(), device="cpu"),
    "a2c": lambda: stable_baselines3.A2C("MlpPolicy", TinyEnv(), device="cpu"),
    "sac": lambda: stable_baselines3.SAC("MlpPolicy", TinyEnv(), buffer_size=10, device="cpu"),
    "td3": lambda: stable_baselines3.TD3("MlpPolicy", TinyEnv(), buffer_size=10, device="cpu"),
    "dqn": lambda: stable_baselines3.DQN("MlpPolicy", DISCRETE, buffer_size=10, device="cpu"),
}
"""Models that hold something which an LSTM policy here does not have."""

if __name__ == "__main__":
    main(Path(sys.argv[1]))
