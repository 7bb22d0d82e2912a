"""Checks of the exchange of checkpoints with one version of Stable-Baselines3, shared by the tests of every version."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ppo.checkpoint.__main__ import main
from ppo.checkpoint.parameters import with_aliases
from ppo.checkpoint.sb3_zip import CheckpointError, Sb3Model, read_zip, write_zip
from ppo.policy import RecurrentActorCritic
from tests.ppo.checkpoint.checkpoint_models import HYPERPARAMETERS, assert_same_tree, members_of, tiny_model

PROGRAM = Path(__file__).with_name("sb3_program.py")
CASES = [
    f"{critic}_{activation}_{layers}"
    for critic, activation, layers in product(("lstm", "shared", "linear"), ("elu", "relu", "tanh"), (1, 2))
]
FEATURES_CASES = ["lstm_elu_2_features", "shared_tanh_1_features", "linear_relu_1_features"]
CASES += FEATURES_CASES
GENUINE = ["untrained", "tanh", "relu_shared", "elu_linear", "schedule", "optimizer"]
OWN_FACTS = {"version": 1, "list": [1, 2.5, None], "nested": {"text": "é"}}
OWN_STATE = {"generator": torch.arange(16, dtype=torch.uint8)}


ROUNDING = 5e-6
"""Twenty recurrent steps in another order of summation; 1.3e-6 was seen on an AMD EPYC without the kernels."""


def exchange(folder: Path, python_path: str | None = None) -> None:
    """Write our checkpoints into `folder` and let Stable-Baselines3 work on them in a process of its own.

    Args:
        folder: an empty folder.
        python_path: folder of packages that take precedence over the installed ones.
    """
    generator = torch.Generator().manual_seed(1)
    inputs = {
        "observation": torch.randn(20, 3, 5, generator=generator) * 2.0,
        "episode_start": torch.rand(20, 3, generator=generator) < 0.2,
    }
    torch.save(inputs, folder / "inputs.pt")
    for case in CASES:
        write_zip(folder / f"ours_{case}.zip", _our_model(case))
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    if python_path is not None:
        environment["PYTHONPATH"] = python_path
    result = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]


def _our_model(case: str) -> Sb3Model:
    critic, activation, layers, *features = case.split("_")
    shape: dict[str, Any] = {"features": (9, 7), "pi": (), "vf": ()} if features else {}
    return tiny_model(critic, activation, int(layers), own_facts=OWN_FACTS, own_state=OWN_STATE, **shape)  # type: ignore[arg-type]


def _seen(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / f"{name}.pt", weights_only=True)  # type: ignore[no-any-return]


def deterministic_actions(model: Sb3Model, folder: Path) -> Tensor:
    """Return what our own network does on the inputs, clipped to the bounds: `[T, N, A]`."""
    inputs = torch.load(folder / "inputs.pt", weights_only=True)
    policy = RecurrentActorCritic(model.policy, model.observation_dim, len(model.action_low))
    policy.load_state_dict(model.parameters)
    state, actions = policy.initial_state(3).actor, []
    with torch.no_grad():
        for observation, episode_start in zip(inputs["observation"], inputs["episode_start"], strict=True):
            action, _, state, _ = policy.act(observation, state, episode_start)
            actions.append(action.clamp(torch.tensor(model.action_low), torch.tensor(model.action_high)))
    return torch.stack(actions)


def assert_same_adam(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Fail unless the moments and the numbers of the group are equal; the choice of implementation may differ."""
    assert_same_tree(left["state"], right["state"])
    names = ("lr", "betas", "eps", "weight_decay", "params")
    assert len(left["param_groups"]) == len(right["param_groups"]) == 1
    for name in names:
        assert left["param_groups"][0][name] == right["param_groups"][0][name]


class ExchangeTests:
    """Tests over a folder in which `exchange` has run: the fixture `exchanged`."""

    clip_range: ClassVar[float | None] = 0.15
    """What is told of a constant clip range of 0.15."""

    @pytest.mark.parametrize("case", CASES)
    def test_stable_baselines3_sees_our_model(self, exchanged: Path, case: str) -> None:
        model, seen = _our_model(case), _seen(exchanged, f"ours_{case}")
        assert_same_tree(seen["parameters"], with_aliases(model.parameters))
        assert model.optimizer is not None
        assert_same_adam(seen["optimizer"], model.optimizer)
        assert seen["num_timesteps"] == 123_456
        assert seen["n_updates"] == 77
        assert seen["own_facts"] == OWN_FACTS
        told = {name: seen[name] for name in ("clip_range", "clip_range_vf", "learning_rate")}
        assert {**seen["hyperparameters"], **told} == HYPERPARAMETERS
        assert_same_tree(seen["action_low"], torch.tensor(model.action_low))
        assert_same_tree(seen["action_high"], torch.tensor(model.action_high))
        expected = deterministic_actions(model, exchanged)
        torch.testing.assert_close(seen["actions"], expected, rtol=0.0, atol=ROUNDING)
        # The comparison means something only if actions differ, and reach the bounds without always lying on them.
        clipped = (expected == torch.tensor(model.action_low)) | (expected == torch.tensor(model.action_high))
        assert 0.02 < clipped.float().mean() < 0.98
        assert expected[~clipped].std() > 0.1

    @pytest.mark.parametrize("case", CASES)
    def test_training_continues_there_and_comes_back(self, exchanged: Path, case: str) -> None:
        seen, back = _seen(exchanged, f"resaved_{case}"), read_zip(exchanged / f"resaved_{case}.zip")
        model = _our_model(case)
        assert back.num_timesteps == seen["num_timesteps"] == 123_456 + 96
        assert back.n_updates == seen["n_updates"] > 77
        assert back.policy == model.policy
        assert back.own_facts == OWN_FACTS
        assert back.own_state is None
        assert_same_tree(with_aliases(back.parameters), seen["parameters"])
        for name in ("log_std", *(name for name in model.parameters if name.startswith("features_extractor."))):
            assert not torch.equal(back.parameters[name], model.parameters[name])
        assert back.optimizer is not None
        assert_same_adam(back.optimizer, seen["optimizer"])
        assert back.optimizer["state"][0]["step"] > 7
        assert back.action_low == pytest.approx(model.action_low, abs=1e-7)
        assert back.action_high == pytest.approx(model.action_high, abs=1e-7)
        assert back.hyperparameters == {**HYPERPARAMETERS, "clip_range": self.clip_range}
        torch.testing.assert_close(deterministic_actions(back, exchanged), seen["actions"], rtol=0.0, atol=ROUNDING)
        assert torch.equal(seen["reloaded_actions"], seen["actions"])

    @pytest.mark.parametrize("case", FEATURES_CASES)
    def test_features_extractors_share_no_weights(self, exchanged: Path, case: str) -> None:
        # Stable-Baselines3 saves what makes them: with the weights of a policy in it, on its device, a file that was
        # saved on a GPU would not load without one.
        for name in (f"ours_{case}", f"resaved_{case}"):
            assert _seen(exchanged, name)["new_features_extractor"] == {"parameters": 4, "shared": 0}

    @pytest.mark.parametrize("name", GENUINE)
    def test_genuine_files_are_read(self, exchanged: Path, tmp_path: Path, name: str) -> None:
        path = exchanged / f"genuine_{name}.zip"
        seen, model = _seen(exchanged, f"genuine_{name}"), read_zip(path)
        assert_same_tree(model.parameters, seen["parameters"])
        assert model.optimizer is not None
        assert_same_adam(model.optimizer, seen["optimizer"])
        assert (model.optimizer["state"] == {}) == (name == "untrained")
        assert model.policy.activation == seen["activation"].lower()
        assert model.policy.critic == {"relu_shared": "shared", "elu_linear": "linear"}.get(name, "lstm")
        assert model.policy.n_lstm_layers == (2 if name == "elu_linear" else 1)
        assert model.policy.log_std_init == (-1.0 if name == "elu_linear" else 0.0)
        assert model.num_timesteps == seen["num_timesteps"]
        assert model.n_updates == seen["n_updates"]
        assert {name: model.hyperparameters[name] for name in seen["hyperparameters"]} == seen["hyperparameters"]
        torch.testing.assert_close(deterministic_actions(model, exchanged), seen["actions"], rtol=0.0, atol=1e-6)
        write_zip(tmp_path / "again.zip", model)
        assert_same_tree(read_zip(tmp_path / "again.zip").parameters, model.parameters)

    def test_learning_rates_of_genuine_files(self, exchanged: Path) -> None:
        assert read_zip(exchanged / "genuine_tanh.zip").hyperparameters["learning_rate"] == 3e-4
        # The schedule itself is a function; the rate of the last update is told by the optimiser.
        scheduled = read_zip(exchanged / "genuine_schedule.zip")
        assert scheduled.optimizer is not None
        assert scheduled.hyperparameters["learning_rate"] == scheduled.optimizer["param_groups"][0]["lr"]

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("activation", "LeakyReLU"),
            ("lstm_kwargs", "'lstm_kwargs', which is not supported"),
            ("optimizer", "'optimizer_class', which is not supported"),
            ("amsgrad", "Adam"),
            ("sde", "use_sde"),
            ("discrete", "not a Box"),
            (
                "ppo",
                r"it is a model of PPO \(stable_baselines3.common.policies.ActorCriticPolicy\), not of RecurrentPPO",
            ),
            ("a2c", r"it is a model of A2C \(stable_baselines3.common.policies.ActorCriticPolicy\)"),
            ("sac", r"it is a model of SAC \(stable_baselines3.sac.policies.SACPolicy\)"),
            ("td3", r"it is a model of TD3 or DDPG \(stable_baselines3.td3.policies.TD3Policy\)"),
            ("dqn", r"it is a model of DQN \(stable_baselines3.dqn.policies.DQNPolicy\)"),
            ("features", "'features_extractor_class', which is not supported"),
            ("two_features", "do not share their features extractor"),
        ],
    )
    def test_what_cannot_be_represented_is_refused(self, exchanged: Path, name: str, reason: str) -> None:
        with pytest.raises(CheckpointError, match=reason):
            read_zip(exchanged / f"foreign_{name}.zip")

    def test_inspect_names_the_algorithm(self, exchanged: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["inspect", str(exchanged / "foreign_sac.zip")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "it is a model of SAC (stable_baselines3.sac.policies.SACPolicy), not of RecurrentPPO" in line

    def test_truncated_genuine_files_are_refused(self, exchanged: Path, tmp_path: Path) -> None:
        content = (exchanged / "genuine_tanh.zip").read_bytes()
        for length in range(0, len(content), 1000):
            (tmp_path / "cut.zip").write_bytes(content[:length])
            with pytest.raises(CheckpointError):
                read_zip(tmp_path / "cut.zip")

    def test_inspect_does_not_vouch_for_genuine_files(
        self, exchanged: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["inspect", str(exchanged / "genuine_tanh.zip")]) == 0
        shown = capsys.readouterr().out
        assert "policy_class" in shown
        assert "policy.pth                  inert" in shown
        assert "Conclusion: not proven safe" in shown

    def test_inspect_vouches_for_exported_ones(
        self, exchanged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out.zip"
        assert main(["export", str(exchanged / "genuine_relu_shared.zip"), str(out)]) == 0
        assert main(["inspect", str(out)]) == 0
        assert "Conclusion: safe to load" in capsys.readouterr().out
        assert "biped_ppo_native" not in json.loads(members_of(out)["data"])
