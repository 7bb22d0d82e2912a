"""All contenders do the same work on the same data, and the table and the JSON hold every one of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.adapters import CONTENDERS, OURS, RSL, SB3
from benchmarks.learner import NETWORKS, learning_flop, main, measure_learner, multiply_adds
from benchmarks.learners import LEARNERS, Settings
from benchmarks.synthetic import random_experience
from ppo.hyperparameters import PPOConfig
from ppo.policy import RecurrentActorCritic
from ppo.runtime import Precision

CPU = torch.device("cpu")
SETTINGS = Settings(
    num_envs=6,
    observation_dim=5,
    action_dim=2,
    end_probability=0.2,
    ppo=replace(PPOConfig(), n_steps=4, n_epochs=3, n_minibatches=2),
    device=CPU,
    precision=Precision("fp32", "cpu"),
)


@pytest.fixture(autouse=True)
def _same_threads() -> object:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_episodes_end_as_often_as_asked_for() -> None:
    experience = random_experience(200, 100, 3, 0.05, seed=0, device=CPU)
    count = experience.done.numel()
    # Binomial with p = 0.025 each: a standard deviation of 0.0011.
    for flags in (experience.terminated, experience.truncated):
        assert abs(float(flags.sum()) / count - 0.025) < 0.005
    assert not bool((experience.terminated & experience.truncated).any())


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_takes_all_gradient_steps_on_the_same_network(name: str, tmp_path: Path) -> None:
    if name == RSL:
        pytest.importorskip("rsl_rl")
    learner = LEARNERS[name](NETWORKS["tiny"], SETTINGS, tmp_path)
    weights = [parameter.detach().clone() for module in learner.modules for parameter in module.parameters()]
    for turn in range(2):
        # It raises if the optimiser's steps are not 3 epochs x 2 minibatches.
        assert all(rate > 0.0 for rate in measure_learner(learner, SETTINGS, turn).values())
    after = [parameter for module in learner.modules for parameter in module.parameters()]
    assert all(not torch.equal(old, new) for old, new in zip(weights, after, strict=True))
    ours = LEARNERS[OURS](NETWORKS["tiny"], SETTINGS, tmp_path)
    assert multiply_adds(learner.modules) == multiply_adds(ours.modules)


def test_sb3_stores_the_episodes_of_the_experience(tmp_path: Path) -> None:
    experience = random_experience(4, 6, 5, 0.4, seed=3, device=CPU)
    learner = LEARNERS[SB3](NETWORKS["tiny"], SETTINGS, tmp_path)
    learner.fill(experience)
    buffer = learner.model.rollout_buffer  # type: ignore[attr-defined]
    assert buffer.full
    torch.testing.assert_close(torch.as_tensor(buffer.observations), experience.observation[:-1])
    assert buffer.episode_starts[1:].tolist() == experience.done[:-1].float().tolist()
    torch.testing.assert_close(torch.as_tensor(buffer.rewards), experience.reward)


def test_multiply_adds_by_hand() -> None:
    policy = RecurrentActorCritic(NETWORKS["tiny"], 5, 2)
    lstm, layer, heads = 4 * 8 * (5 + 8), 8 * 8, 8 * 2 + 8 * 1
    assert multiply_adds([policy]) == 2 * (lstm + layer) + heads
    assert learning_flop([policy], 10) == 60 * multiply_adds([policy])


def test_quick_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rsl_rl")
    path = tmp_path / "result.json"
    assert main(["--quick", "--threads", "1", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    for name in (*CONTENDERS, "ceiling"):
        assert f"│ {name}" in out
    document = json.loads(path.read_text())
    result = document["networks"]["tiny"]
    assert set(result["rounds"]) == set(CONTENDERS)
    for measured in result["rounds"].values():
        assert set(measured) == {"update", "improve", "cores"}
        assert all(len(rates) == 2 and min(rates) > 0.0 for rates in measured.values())
    assert result["ceiling_steps_per_second"] > 0.0
    assert result["gradient_steps"] == 4


def test_environments_must_divide(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--num-envs", "6", "--n-minibatches", "4", "--contenders", "ours"])
    assert "--num-envs 6: PPOConfig.n_minibatches 4 does not divide 6 environments" in capsys.readouterr().err
