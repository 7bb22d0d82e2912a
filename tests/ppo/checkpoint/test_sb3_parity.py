"""The same rollouts through the real sb3-contrib RecurrentPPO and through this package give the same weights.

SB3 collects, with episodes that fall, time out (one of them at the last step) and cross into the next rollout. Its
rotation of the samples is switched off and its minibatches are whole environments in order; so are ours here. Adam is
warm: its first step from zero is about lr * sign(gradient), which would turn rounding errors into whole steps.
"""

import copy
import functools
from dataclasses import replace
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper
from torch import Tensor

from ppo.checkpoint.parameters import without_aliases
from ppo.hyperparameters import PPOConfig
from ppo.optimizer import FlatAdam
from ppo.policy import PolicyConfig, RecurrentActorCritic, RecurrentState
from ppo.rollout import Experience, Rollout
from ppo.update import explained_variance
from tests.ppo.checkpoint.sb3_extractor import extractor_arguments
from tests.ppo.rollouts import CPU, make_ppo
from tests.ppo.spies import OrderedPPO

T, N, D, A, H = 8, 4, 3, 2, 16
WARM_UPDATES, COMPARED_UPDATES = 2, 3
Array = npt.NDArray[np.float32]

# What ends each environment's episode in its step c = 1, 2, ...; step T of a rollout is c = T, 2 T, ...
ENDINGS = (
    lambda c: "time-out" if c % T == 0 else "fall" if c % T == 3 else "",
    lambda c: "fall" if c % T == 5 else "time-out" if c % T == 6 else "",
    lambda c: "time-out" if c % 11 == 0 else "",
    lambda c: "fall" if c % 13 == 0 or c % 40 == 0 else "",
)


class ScriptedEnv(gymnasium.Env[Array, Array]):
    """Random observations and rewards; episodes end as `ENDINGS` says."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (D,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (A,))

    def __init__(self, index: int) -> None:
        self.index = index
        self.clock = 0
        self.random = np.random.default_rng(index)

    def _observe(self) -> Array:
        return self.random.standard_normal(D).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        return self._observe(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self.clock += 1
        ending = ENDINGS[self.index](self.clock)
        reward = float(self.random.standard_normal() - np.square(action).sum())
        return self._observe(), reward, ending == "fall", ending == "time-out", {}


class Recorder(VecEnvWrapper):
    """Keeps what SB3 does not store: rewards before the bootstrap, kinds of endings, final observations."""

    def __init__(self) -> None:
        super().__init__(DummyVecEnv([functools.partial(ScriptedEnv, index) for index in range(N)]))
        self.steps: list[dict[str, Tensor]] = []

    def reset(self) -> Any:  # noqa: ANN401
        return self.venv.reset()

    def step_wait(self) -> Any:  # noqa: ANN401
        observation, reward, done, infos = self.venv.step_wait()
        assert isinstance(observation, np.ndarray)
        truncated = np.array([info["TimeLimit.truncated"] for info in infos])
        final = [info.get("terminal_observation", observation[n]) for n, info in enumerate(infos)]
        self.steps.append(
            {
                "reward": torch.tensor(reward),
                "truncated": torch.tensor(truncated),
                "terminated": torch.tensor(done & ~truncated),
                "final_observation": torch.tensor(np.stack(final)),
            }
        )
        return observation, reward, done, infos


class Case(NamedTuple):
    name: str
    policy: PolicyConfig
    ppo: PPOConfig


POLICY = PolicyConfig(lstm_hidden_size=H, n_lstm_layers=1, pi=(12, 10), vf=(9,), log_std_init=-0.5)
PPO = PPOConfig(
    n_steps=T, batch_size=2 * T, n_epochs=3, learning_rate=1e-2, gamma=0.97, gae_lambda=0.9, clip_range=0.05
)
CASES = [
    Case("whole rollout, one epoch", POLICY, replace(PPO, batch_size=T * N, n_epochs=1)),
    Case("minibatches", POLICY, PPO),
    Case("one environment per minibatch", POLICY, replace(PPO, batch_size=T)),
    Case("two layers", replace(POLICY, n_lstm_layers=2), PPO),
    Case("shared LSTM", replace(POLICY, critic="shared"), PPO),
    Case("shared LSTM, two layers", replace(POLICY, critic="shared", n_lstm_layers=2), PPO),
    Case("linear critic", replace(POLICY, critic="linear"), PPO),
    Case("MLP in front", replace(POLICY, features=(12, 10), pi=(), vf=()), PPO),
    Case("value clipping", POLICY, replace(PPO, clip_range_vf=0.1)),
    Case("small gradient norm", POLICY, replace(PPO, max_grad_norm=0.05)),
    Case("raw advantages", POLICY, replace(PPO, normalize_advantage=False, ent_coef=0.0, vf_coef=0.5)),
    Case("early stop", POLICY, replace(PPO, n_epochs=6, target_kl=0.004)),
]


def sb3_model(policy: PolicyConfig, config: PPOConfig) -> RecurrentPPO:
    model = RecurrentPPO(
        "MlpLstmPolicy",
        Recorder(),
        learning_rate=config.learning_rate,
        n_steps=T,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        clip_range_vf=config.clip_range_vf,
        normalize_advantage=config.normalize_advantage,
        ent_coef=config.ent_coef,
        vf_coef=config.vf_coef,
        max_grad_norm=config.max_grad_norm,
        target_kl=config.target_kl,
        seed=3,
        device="cpu",
        policy_kwargs={
            "activation_fn": torch.nn.ELU,
            "net_arch": {"pi": list(policy.pi), "vf": list(policy.vf)},
            "lstm_hidden_size": policy.lstm_hidden_size,
            "n_lstm_layers": policy.n_lstm_layers,
            "enable_critic_lstm": policy.critic == "lstm",
            "shared_lstm": policy.critic == "shared",
            "log_std_init": policy.log_std_init,
            **extractor_arguments(policy),
        },
    )
    _, callback = model._setup_learn(10**6, None)
    model.collect = lambda: model.collect_rollouts(model.env, callback, model.rollout_buffer, T)
    return model


def recurrent_state(states: Any, critic: str) -> RecurrentState:  # noqa: ANN401
    """Ours of SB3's; where the critic has no LSTM, SB3 stores the actor's state once more."""
    actor, value = states
    if critic != "lstm":
        value = tuple(tensor[:0] for tensor in value)
    return RecurrentState(tuple(actor), tuple(value))


@torch.no_grad()
def follow(ours: OrderedPPO, model: RecurrentPPO, start: RecurrentState) -> tuple[Experience, RecurrentState]:
    """Our rollout of what SB3 saw and did, and the state after it, both checked against what SB3 computed."""
    buffer, policy = model.rollout_buffer, ours.policy
    rollout = Rollout.zeros(T, N, D, A, CPU)
    for t, step in enumerate(model.env.steps[-T:]):
        rollout.observation[t] = torch.tensor(buffer.observations[t])
        rollout.action[t] = torch.tensor(buffer.actions[t])
        rollout.episode_start[t] = torch.tensor(buffer.episode_starts[t]).bool()
        for name, value in step.items():
            getattr(rollout, name)[t] = value
    fell, timed_out, started = rollout.terminated, rollout.truncated, rollout.episode_start
    assert bool(fell[:-1].any() and timed_out[:-1].any() and timed_out[-1].any() and (~started[0]).any())
    assert torch.equal(started[1:], (fell | timed_out)[:-1])

    actor, noiseless = start.actor, []
    for t in range(T):
        mean, _, actor, _ = policy.act(rollout.observation[t], actor, started[t])
        noiseless.append(mean)
    normal = torch.distributions.Normal(torch.stack(noiseless), policy.log_std.exp())
    rollout.log_prob.copy_(normal.log_prob(rollout.action).sum(-1))
    following = torch.tensor(model._last_obs), torch.tensor(model._last_episode_starts).bool()
    experience, critic = ours.prepare(Experience(rollout, start, *following))

    for name, got, theirs in (
        ("log_prob", rollout.log_prob, buffer.log_probs),
        ("value", rollout.value, buffer.values),
        ("advantage", rollout.advantage, buffer.advantages),
        ("returns", rollout.returns, buffer.returns),
    ):
        torch.testing.assert_close(got, torch.tensor(theirs), rtol=1e-5, atol=5e-6, msg=name)
    after = RecurrentState(actor, critic)
    expected = recurrent_state(model._last_lstm_states, policy.config.critic)
    for got, wanted in zip((*after.actor, *after.critic), (*expected.actor, *expected.critic), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
    return experience, after


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_updates_equal_those_of_sb3(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    config = case.ppo
    monkeypatch.setattr(np.random, "randint", lambda high: 0)
    torch.manual_seed(0)
    model = sb3_model(case.policy, config)
    for _ in range(WARM_UPDATES):
        model.collect()
        model.train()

    policy = RecurrentActorCritic(case.policy, D, A)
    policy.load_state_dict(without_aliases(model.policy.state_dict()))
    optimizer = FlatAdam(policy.parameters(), config.learning_rate)
    adam = copy.deepcopy(model.policy.optimizer.state_dict())
    optimizer.load_state_dict(adam)
    state = recurrent_state(model._last_lstm_states, case.policy.critic)
    ours = make_ppo(OrderedPPO, policy, config, optimizer)

    clip_fractions = []
    for _ in range(COMPARED_UPDATES):
        model.collect()
        experience, state = follow(ours, model, state)
        before = policy.log_std.detach().clone()
        scalars = ours.update(experience)
        scalars["explained_variance"] = explained_variance(experience.rollout.value, experience.rollout.returns)
        model.train()

        logged = model.logger.name_to_value
        for name in ("loss", "policy_gradient_loss", "value_loss", "entropy_loss", "explained_variance"):
            assert scalars[name].item() == pytest.approx(logged[f"train/{name}"], rel=1e-5, abs=1e-6), name
        assert scalars["approx_kl"].item() == pytest.approx(logged["train/approx_kl"], rel=1e-4, abs=1e-7)
        assert scalars["clip_fraction"].item() == pytest.approx(logged["train/clip_fraction"], abs=1e-6)
        clip_fractions.append(scalars["clip_fraction"].item())
        expected = model.policy.state_dict()
        for name, value in policy.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=0.0, atol=1e-6, msg=name)
        assert float((policy.log_std.detach() - before).abs().max()) > 1e-4

    theirs = model.policy.optimizer.state_dict()["state"]
    for index, moments in optimizer.state_dict()["state"].items():
        assert float(moments["step"]) == float(theirs[index]["step"])
        torch.testing.assert_close(moments["exp_avg"], theirs[index]["exp_avg"], rtol=1e-4, atol=1e-6)
    if config.n_epochs > 1:
        assert max(clip_fractions) > 0.0
    steps = float(theirs[0]["step"])
    planned = (WARM_UPDATES + COMPARED_UPDATES) * config.n_epochs * N * T // (config.batch_size or 1)
    assert (steps < planned) if config.target_kl is not None else (steps == planned)
