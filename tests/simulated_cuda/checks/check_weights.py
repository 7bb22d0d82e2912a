"""How the weights lie in a GPU's memory, and that a checkpoint does not show it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ppo.checkpoint.sb3_zip import read_zip
from ppo.learner import Learner
from ppo.policy import PolicyConfig
from tests.ppo.environments import PRIVILEGED, PrivilegedEnv, TrackingEnv
from tests.ppo.trainers import POLICY, make_trainer
from tests.simulated_cuda.counting import PACKING, counted
from tests.simulated_cuda.cudnn import packed

TWO_LAYERS = replace(POLICY, n_lstm_layers=2)
SHARED = replace(POLICY, critic="shared", features=(7,))


def make_learner(folder: Path, policy: PolicyConfig = TWO_LAYERS, device: str = "cuda") -> Learner:
    # Nine actions, so that the first parameter leaves those behind it at no multiple of 16 bytes.
    env = TrackingEnv(16, action_dim=9, device=device)
    return make_trainer(env, folder, 10**6, policy=policy, precision="fp32").learner


def iterate(learner: Learner) -> None:
    learner.collector.collect(lambda: False)
    learner.improve()


@pytest.mark.parametrize("config", [POLICY, TWO_LAYERS, SHARED], ids=["one layer", "two layers", "shared"])
def test_cudnn_never_packs_the_weights_anew(config: PolicyConfig, tmp_path: Path) -> None:
    learner = make_learner(tmp_path, config)
    with counted() as counts:
        iterate(learner)
    assert counts.of(PACKING) == 0, counts.crossings().table()
    for lstm in learner.policy.lstms:
        assert packed(list(lstm.parameters()))


def test_parameters_and_gradients_are_aligned(tmp_path: Path) -> None:
    learner = make_learner(tmp_path)
    begin = learner.optimizer._vector.data_ptr()
    for parameter in learner.policy.parameters():
        assert (parameter.data_ptr() - begin) % 16 == 0
        assert parameter.grad is not None
        assert (parameter.grad.data_ptr() - learner.optimizer.gradient.data_ptr()) % 16 == 0


def test_gaps_stay_zero(tmp_path: Path) -> None:
    learner = make_learner(tmp_path)
    iterate(learner)
    optimizer = learner.optimizer
    used = torch.zeros(optimizer.gradient.numel(), dtype=torch.bool)
    for place in optimizer._places:
        used[place] = True
    assert not bool(used.all())
    state = optimizer.adam.state_dict()["state"][0]
    for vector in (optimizer.gradient, optimizer._vector.detach(), state["exp_avg"], state["exp_avg_sq"]):
        assert not bool(vector.cpu()[~used].any())


def test_what_only_the_critic_sees_has_no_weights_and_no_moments(tmp_path: Path) -> None:
    learner = make_trainer(PrivilegedEnv(16, device="cuda"), tmp_path, 10**6, policy=TWO_LAYERS).learner
    iterate(learner)
    weight, model = "lstm_actor.weight_ih_l0", learner.model([])
    assert model.optimizer is not None
    entry = model.optimizer["state"][list(model.parameters).index(weight)]
    for tensor in (model.parameters[weight], entry["exp_avg"], entry["exp_avg_sq"]):
        assert not bool(tensor.cpu()[:, PRIVILEGED].any())
        assert bool(tensor.cpu()[:, [0, 2, 3]].all())


def test_a_checkpoint_is_that_of_a_cpu_and_continues_on_either(tmp_path: Path) -> None:
    gpu, cpu = (make_learner(tmp_path / name, device=name) for name in ("cuda", "cpu"))
    for learner in (gpu, cpu):
        iterate(learner)
    saved, expected = gpu.model([]), cpu.model([])
    for name, parameter in expected.parameters.items():
        torch.testing.assert_close(saved.parameters[name].cpu(), parameter, rtol=1e-3, atol=1e-5)
    assert saved.optimizer is not None
    assert expected.optimizer is not None
    assert saved.optimizer["state"].keys() == expected.optimizer["state"].keys()
    for index, entry in expected.optimizer["state"].items():
        for name, value in entry.items():
            torch.testing.assert_close(saved.optimizer["state"][index][name].cpu(), value, rtol=1e-2, atol=1e-5)

    for source, target in (("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")):
        trainer = make_trainer(
            TrackingEnv(16, action_dim=9, device=source), tmp_path / "zip", 10**6, policy=TWO_LAYERS, precision="fp32"
        )
        iterate(trainer.learner)
        trainer.save("model")
        learner = make_learner(tmp_path / "other", device=target)
        learner.restore(read_zip(tmp_path / "zip" / "model.zip"))
        for name, parameter in trainer.learner.policy.state_dict().items():
            assert torch.equal(learner.policy.state_dict()[name].cpu(), parameter.cpu())
        theirs, ours = trainer.learner.optimizer.state_dict(), learner.optimizer.state_dict()
        for index, entry in theirs["state"].items():
            assert all(torch.equal(ours["state"][index][name].cpu(), value.cpu()) for name, value in entry.items())
