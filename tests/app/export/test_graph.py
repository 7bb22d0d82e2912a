"""The graph is valid, and computes what the policy does, whatever the network."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from app.experiment import to_plain
from app.export.files import bounded_policy, exported_step, find_mirror, original_step
from app.export.observation import clock_column
from app.load import Checkpoint
from biped.robots.library import BIPED
from biped.task.observations import observation_fields
from configs.presets import CPU, REFERENCE
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.layers import PYTORCH
from ppo.policy import PolicyConfig, RecurrentActorCritic
from tests.app.export.exports import export_of
from tests.app.fake_engines import CLOCKED, PLAIN

NETWORKS = {
    "one layer": PolicyConfig(lstm_hidden_size=8, n_lstm_layers=1, pi=(6,), vf=(6,)),
    "three layers, two behind": PolicyConfig(lstm_hidden_size=8, n_lstm_layers=3, pi=(6, 5), vf=(), critic="shared"),
    "MLP in front, none behind": PolicyConfig(8, 2, (), (), (12, 10), "relu", "linear"),
    "MLP on both sides": PolicyConfig(8, 1, (7,), (7,), (12,), "tanh"),
}


def model_of(network: PolicyConfig, observation_dim: int, *, clocked: bool) -> Sb3Model:
    """A policy with random weights and actions that reach bounds of its own, which differ left and right."""
    torch.manual_seed(3)
    policy = RecurrentActorCritic(network, observation_dim, 9, PYTORCH)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return Sb3Model(
        policy=network,
        observation_dim=observation_dim,
        action_low=(-0.5, *(-100.0,) * 8),
        action_high=(*(100.0,) * 5, 0.25, *(100.0,) * 3),
        parameters=dict(policy.state_dict()),
        optimizer=None,
        hyperparameters={},
        num_timesteps=1,
        n_updates=1,
        own_facts={"config": to_plain(CPU if clocked else REFERENCE)},
    )


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("clocked", [True, False], ids=["mirrored", "plain"])
def test_it_computes_what_the_policy_does(network: PolicyConfig, clocked: bool, tmp_path: Path) -> None:
    model = model_of(network, CLOCKED if clocked else PLAIN, clocked=clocked)
    graph = (export_of(model, tmp_path) / "policy.onnx").read_bytes()
    config = (CPU if clocked else REFERENCE).env
    policy = bounded_policy(Checkpoint(tmp_path / "model.zip", model), config)
    mirror = find_mirror(config, BIPED)
    assert (mirror is not None) == clocked
    original, exported = original_step(policy, mirror, BIPED), exported_step(graph)
    generator = np.random.default_rng(1)
    state = np.zeros((2, network.n_lstm_layers, 1, network.lstm_hidden_size), dtype=np.float32)
    ours = theirs = (state[0], state[1])
    for step in range(50):
        observation = generator.standard_normal((1, model.observation_dim)).astype(np.float32)
        if step % 5 == 0:
            # A clock that is stopped.
            observation[:, 38:] = 0.0
        expected, *ours = original(observation, *ours)  # type: ignore[assignment]
        action, *theirs = exported(observation, *theirs)  # type: ignore[assignment]
        np.testing.assert_allclose(action, expected, atol=1e-5)
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert action.shape == (1, 9)


def test_it_has_the_signature_that_robots_accept(walk: Path) -> None:
    session = onnxruntime.InferenceSession(str(walk / "policy.onnx"), providers=["CPUExecutionProvider"])
    state = [1, 1, 64]
    assert {one.name: one.shape for one in session.get_inputs()} == {"obs": [1, 40], "h_in": state, "c_in": state}
    assert {one.name: one.shape for one in session.get_outputs()} == {"actions": [1, 9], "h_out": state, "c_out": state}
    assert {one.type for one in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}


def test_it_passes_the_checker(walk: Path) -> None:
    onnx.checker.check_model(onnx.load(walk / "policy.onnx"), full_check=True)
    onnx.checker.check_model(str(walk / "policy.onnx"), full_check=True)


def test_every_opset_gives_the_same_actions(tmp_path: Path) -> None:
    model = model_of(NETWORKS["MLP on both sides"], CLOCKED, clocked=True)
    observation = np.linspace(-1.0, 1.0, CLOCKED, dtype=np.float32)[None]
    zeros = np.zeros((1, 1, 8), dtype=np.float32)
    actions = []
    for opset in (14, 17, 21):
        (tmp_path / str(opset)).mkdir()
        folder = export_of(model, tmp_path / str(opset), "--opset", str(opset))
        assert onnx.load(folder / "policy.onnx").opset_import[0].version == opset
        actions.append(exported_step((folder / "policy.onnx").read_bytes())(observation, zeros, zeros)[0])
    for action in actions[1:]:
        np.testing.assert_array_equal(action, actions[0])


def test_the_clock_in_the_observation_tells_when_to_mirror() -> None:
    from biped.task.gait import Gait, clock_signal

    fields = observation_fields(BIPED, CPU.env.observations)
    assert clock_column(fields) == 38
    assert clock_column(observation_fields(BIPED, REFERENCE.env.observations)) is None
    # With the rounding that the environment has.
    gait = Gait(CPU.env.gait, 2, 0.02, torch.Generator())
    standing = torch.tensor([False, True])
    for _ in range(2000):
        sine = clock_signal(gait.phase, standing)[:, 0]
        assert torch.equal(sine < 0.0, (gait.phase >= 0.5) & ~standing)
        gait.step(torch.zeros(2, 2))
    phases = torch.nextafter(torch.tensor([0.0, 0.5, 0.5, 0.5, 1.0]), torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0]))
    sine = clock_signal(phases, torch.zeros(5, dtype=torch.bool))[:, 0]
    assert torch.equal(sine < 0.0, phases >= 0.5)
