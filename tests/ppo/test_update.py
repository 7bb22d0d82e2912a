"""The PPO loss by hand, and the rules of one update: minibatches, bad gradients, early stops."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from ppo.hyperparameters import PPOConfig
from ppo.optimizer import FlatAdam
from ppo.policy import EvaluatedActions
from ppo.processes import Processes
from ppo.runtime import Precision, cpu_has_bf16
from ppo.update import PPO, apply_gradients, explained_variance, normalize, ppo_loss
from tests.ppo.rollouts import make_minibatch, make_ppo, random_experience, run_update, same, small_policy, weights
from tests.ppo.spies import RecordingPPO

ALONE = Processes()
T, N = 5, 8
CONFIG = PPOConfig(n_steps=T, n_minibatches=4, n_epochs=3, learning_rate=1e-2)


def test_loss_of_four_samples_by_hand() -> None:
    """Ratios 1.5, 0.5, 1.1 and 1.5 at clip range 0.2: the first two are cut, the others are not."""
    ratio = torch.tensor([[1.5, 0.5, 1.1, 1.5]])
    advantage = torch.tensor([[1.0, -1.0, 2.0, -1.0]])
    old_log_prob = torch.tensor([[-1.0, -2.0, -3.0, -4.0]])
    log_prob = (old_log_prob + ratio.log()).requires_grad_()
    value = torch.tensor([[1.0, 2.0, 3.0, 4.0]], requires_grad=True)
    entropy = torch.tensor([[0.5, 0.5, 0.5, 0.7]], requires_grad=True)
    target = torch.tensor([[2.0, 2.0, 1.0, 4.5]])
    config = PPOConfig(clip_range=0.2, ent_coef=0.1, vf_coef=0.5)
    minibatch = make_minibatch(old_log_prob, torch.zeros(1, 4), target)
    loss, scalars = ppo_loss(EvaluatedActions(log_prob, entropy, value), minibatch, advantage, config)
    policy_loss = -(1.2 * 1.0 + 0.8 * -1.0 + 1.1 * 2.0 + 1.5 * -1.0) / 4
    value_loss = (1.0 + 0.0 + 4.0 + 0.25) / 4
    entropy_loss = -(0.5 + 0.5 + 0.5 + 0.7) / 4
    kl = sum(r - 1.0 - math.log(r) for r in (1.5, 0.5, 1.1, 1.5)) / 4
    total = policy_loss + 0.1 * entropy_loss + 0.5 * value_loss
    expected = {
        "loss": total,
        "policy_gradient_loss": policy_loss,
        "value_loss": value_loss,
        "entropy_loss": entropy_loss,
        "approx_kl": kl,
        "clip_fraction": 0.75,
    }
    assert {name: value.item() for name, value in scalars.items()} == pytest.approx(expected, rel=1e-5)
    assert loss.item() == pytest.approx(total, rel=1e-5)
    assert not any(value.requires_grad for value in scalars.values())

    loss.backward()
    assert log_prob.grad is not None
    assert value.grad is not None
    assert entropy.grad is not None
    # d loss / d log_prob = -advantage * ratio / 4 where the ratio is not cut.
    assert log_prob.grad[0].tolist() == pytest.approx([0.0, 0.0, -2.0 * 1.1 / 4, 1.0 * 1.5 / 4], rel=1e-5)
    assert value.grad[0].tolist() == pytest.approx([0.5 * 2 * -1.0 / 4, 0.0, 0.5 * 2 * 2.0 / 4, 0.5 * 2 * -0.5 / 4])
    assert entropy.grad[0].tolist() == pytest.approx([-0.1 / 4] * 4)


def test_value_clipping_by_hand() -> None:
    """Moves of +1, -1 and +0.1 from the old value with a limit of 0.2."""
    value = torch.tensor([[2.0, 2.0, 5.1]], requires_grad=True)
    old_value = torch.tensor([[1.0, 3.0, 5.0]])
    target = torch.tensor([[2.0, 2.0, 6.0]])
    same_ratio = torch.zeros(1, 3)
    config = PPOConfig(clip_range_vf=0.2, ent_coef=0.0, vf_coef=1.0)
    minibatch = make_minibatch(same_ratio, old_value, target)
    loss, scalars = ppo_loss(EvaluatedActions(same_ratio, same_ratio, value), minibatch, torch.zeros(1, 3), config)
    assert scalars["value_loss"].item() == pytest.approx(((2.0 - 1.2) ** 2 + (2.0 - 2.8) ** 2 + 0.9**2) / 3)
    loss.backward()
    assert value.grad is not None
    assert value.grad[0].tolist() == pytest.approx([0.0, 0.0, -2 * 0.9 / 3], rel=1e-5)


def test_advantages_are_normalised_with_the_unbiased_deviation() -> None:
    assert normalize([torch.tensor([[1.0, 3.0]])], ALONE)[0][0].tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5])
    advantage = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * 30.0 + 100.0
    (result,) = normalize([advantage], ALONE)
    assert result.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert result.std().item() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(result, (advantage - advantage.mean()) / (advantage.std() + 1e-8))


def test_a_single_advantage_or_equal_ones_are_finite() -> None:
    assert normalize([torch.tensor([[3.0]])], ALONE)[0].tolist() == [[0.0]]
    assert normalize([torch.full((2, 2), 3.0)], ALONE)[0].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_minibatches_are_whole_environments_each_once_per_epoch_and_redrawn() -> None:
    config = PPOConfig(n_steps=T, batch_size=3 * T)
    stream = make_ppo(PPO, small_policy(), config).epochs(12)
    epochs = [[batch.tolist() for batch in next(stream)] for _ in range(3)]
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == [3, 3, 3, 3]
        assert sorted(sum(epoch, [])) == list(range(12))  # noqa: RUF017
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    again = [batch.tolist() for batch in next(make_ppo(PPO, small_policy(), config).epochs(12))]
    assert again == epochs[0]


def test_update_walks_over_every_environment_in_every_epoch() -> None:
    policy = small_policy()
    experience = random_experience(policy, T, N)
    recording = make_ppo(RecordingPPO, policy, CONFIG)
    recording.update(experience)
    seen = [minibatch.observation for minibatch in recording.minibatches]
    assert [tuple(batch.shape) for batch in seen] == [(T, N // 4, 3)] * 12
    for epoch in (seen[:4], seen[4:8], seen[8:]):
        walked = torch.cat(epoch, dim=1).transpose(0, 1)
        stored = experience.rollout.observation.transpose(0, 1)
        assert sorted(walked.flatten(1).tolist()) == sorted(stored.flatten(1).tolist())


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (PPOConfig(n_steps=5, n_minibatches=3), r"PPOConfig\.n_minibatches 3 does not divide 8 env"),
        (PPOConfig(n_steps=5, batch_size=7), r"PPOConfig\.batch_size 7 does"),
        (PPOConfig(n_steps=5, batch_size=15), r"PPOConfig\.batch_size 15 does"),
        (PPOConfig(n_steps=5, batch_size=80), r"PPOConfig\.batch_size 80 does"),
    ],
)
def test_minibatches_that_do_not_fit_are_refused(config: PPOConfig, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        config.minibatch_envs(8)


def test_size_of_minibatches() -> None:
    assert PPOConfig(n_steps=5, n_minibatches=4).minibatch_envs(8) == 2
    assert PPOConfig(n_steps=5, batch_size=40, n_minibatches=3).minibatch_envs(8) == 8
    assert PPOConfig(n_steps=5, batch_size=5).minibatch_envs(8) == 1


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"n_steps": 0}, "PPOConfig.n_steps must"),
        ({"n_minibatches": 0}, "PPOConfig.n_minibatches must"),
        ({"batch_size": 0}, "PPOConfig.batch_size must"),
        ({"n_epochs": 0}, "PPOConfig.n_epochs must"),
        ({"learning_rate": 0.0}, "PPOConfig.learning_rate must"),
        ({"clip_range": -0.1}, "PPOConfig.clip_range must"),
        ({"max_grad_norm": 0.0}, "PPOConfig.max_grad_norm must"),
        ({"gamma": 1.1}, "PPOConfig.gamma must"),
        ({"gae_lambda": -0.1}, "PPOConfig.gae_lambda must"),
    ],
)
def test_impossible_hyper_parameters_are_refused(values: dict[str, float], flag: str) -> None:
    with pytest.raises(ValueError, match=flag):
        PPOConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("warm", [False, True])
def test_gradient_that_is_not_finite_leaves_weights_and_adam_untouched(bad: float, warm: bool) -> None:
    policy = small_policy()
    optimizer = FlatAdam(policy.parameters(), 1e-2)
    if warm:
        run_update(policy, random_experience(policy, T, N), CONFIG, optimizer)
    before, adam = weights(policy), copy.deepcopy(optimizer.state_dict()["state"])
    for parameter in policy.parameters():
        assert parameter.grad is not None
        parameter.grad.fill_(1.0)
    assert policy.log_std.grad is not None
    policy.log_std.grad[0] = bad
    norm, skipped = apply_gradients(optimizer, 1.0, ALONE)
    assert not bool(norm.isfinite())
    assert skipped.item() == 1.0
    assert same(weights(policy), before)
    after = optimizer.state_dict()["state"]
    for index, state in after.items():
        for name, value in state.items():
            assert torch.equal(value, adam[index][name] if warm else torch.zeros_like(value))

    for parameter in policy.parameters():
        assert parameter.grad is not None
        parameter.grad.fill_(1.0)
    _, skipped = apply_gradients(optimizer, 1.0, ALONE)
    assert skipped.item() == 0.0
    assert not same(weights(policy), before)
    assert all(float(state["step"]) == (13.0 if warm else 1.0) for state in optimizer.state_dict()["state"].values())


def test_bad_sample_skips_its_minibatches_only_and_is_counted() -> None:
    policy = small_policy()
    experience = random_experience(policy, T, N)
    experience.rollout.returns[2, 3] = math.nan
    optimizer = FlatAdam(policy.parameters(), 1e-2)
    before = weights(policy)
    scalars = run_update(policy, experience, CONFIG, optimizer)
    assert scalars["skipped_updates"].item() == 3.0
    assert all(bool(weight.isfinite().all()) for weight in weights(policy))
    assert not same(weights(policy), before)
    assert all(float(state["step"]) == 9.0 for state in optimizer.state_dict()["state"].values())


def test_gradients_are_clipped_to_the_norm() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = FlatAdam([parameter], 0.1)
    optimizer.gradient.copy_(torch.tensor([3.0, 4.0]))
    norm, _ = apply_gradients(optimizer, 1.0, ALONE)
    assert norm.item() == 5.0
    assert optimizer.gradient.tolist() == pytest.approx([0.6, 0.8], rel=1e-6)
    optimizer.gradient.copy_(torch.tensor([0.3, 0.4]))
    apply_gradients(optimizer, 1.0, ALONE)
    assert optimizer.gradient.tolist() == pytest.approx([0.3, 0.4], rel=1e-6)


def test_adam_step_by_hand() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = FlatAdam([parameter], 0.1)
    optimizer.gradient.fill_(1e-5)
    apply_gradients(optimizer, 1.0, ALONE)
    # The first step is lr * g / (|g| + eps), which eps = 1e-5 halves here.
    assert parameter.item() == pytest.approx(1.0 - 0.1 * 0.5, rel=1e-5)


def test_target_kl_stops_before_the_step() -> None:
    policy = small_policy()
    experience = random_experience(policy, T, N)
    before = weights(policy)
    optimizer = FlatAdam(policy.parameters(), 1e-2)
    scalars = run_update(policy, experience, replace(CONFIG, target_kl=1e-9), optimizer)
    assert same(weights(policy), before)
    assert not optimizer.state_dict()["state"]
    assert scalars["approx_kl"].item() > 1.5e-9
    assert "grad_norm" not in scalars

    scalars = run_update(policy, experience, replace(CONFIG, target_kl=1e9), optimizer)
    assert all(float(state["step"]) == 12.0 for state in optimizer.state_dict()["state"].values())
    assert scalars["grad_norm"].item() > 0.0


def test_target_kl_limit_is_one_and_a_half_times_the_target() -> None:
    experience = random_experience(small_policy(), T, N)
    one_batch = replace(CONFIG, n_minibatches=1, n_epochs=1)
    kl = run_update(small_policy(), experience, one_batch)["approx_kl"].item()
    for target, steps in ((kl / 1.49, 1), (kl / 1.51, 0)):
        policy = small_policy()
        optimizer = FlatAdam(policy.parameters(), 1e-2)
        run_update(policy, experience, replace(one_batch, target_kl=target), optimizer)
        assert len(optimizer.state_dict()["state"]) == steps * len(list(policy.parameters()))


def test_epochs_are_counted_that_were_begun() -> None:
    policy = small_policy()
    experience = random_experience(policy, T, N)
    whole, cut_off, ended = (
        make_ppo(PPO, policy, config, FlatAdam(policy.parameters(), 1e-2))
        for config in (CONFIG, replace(CONFIG, target_kl=1e-9), CONFIG)
    )
    whole.update(experience)
    cut_off.update(experience)
    # Four minibatches an epoch: the signal comes before the first one of the second.
    answers = iter([False] * 4 + [True])
    ended.update(experience, lambda: next(answers))
    assert (whole.last_epochs, cut_off.last_epochs, ended.last_epochs) == (CONFIG.n_epochs, 1, 1)


def test_interruption_ends_the_update_between_minibatches() -> None:
    policy = small_policy()
    optimizer = FlatAdam(policy.parameters(), 1e-2)
    scalars = run_update(policy, random_experience(policy, T, N), CONFIG, optimizer, [False] * 6 + [True])
    assert all(float(state["step"]) == 6.0 for state in optimizer.state_dict()["state"].values())
    assert scalars["loss"].isfinite()
    assert scalars["approx_kl"].isfinite()


def test_interruption_before_the_first_minibatch_reports_nothing() -> None:
    policy = small_policy()
    before = weights(policy)
    assert run_update(policy, random_experience(policy, T, N), CONFIG, interruptions=[True]) == {}
    assert same(weights(policy), before)


def test_learning_lowers_the_loss_it_is_given() -> None:
    policy = small_policy()
    experience = random_experience(policy, T, N)
    config = replace(CONFIG, n_minibatches=1, n_epochs=30)
    first = run_update(small_policy(), experience, replace(config, n_epochs=1))["loss"]
    last = run_update(policy, experience, config)["loss"]
    assert last.item() < 0.7 * first.item()


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU cannot run an LSTM in bf16")
def test_half_precision_learns_with_float_weights() -> None:
    policy = small_policy()
    experience = random_experience(policy, T, N)
    before = weights(policy)
    config = replace(CONFIG, learning_rate=1e-3)
    ppo = make_ppo(PPO, policy, config)
    ppo.precision = Precision("bf16", "cpu")
    scalars = ppo.update(experience)
    expected = run_update(small_policy(), experience, config)
    assert scalars["value_loss"].item() == pytest.approx(expected["value_loss"].item(), rel=0.02)
    assert scalars["skipped_updates"].item() == 0.0
    assert all(weight.dtype == torch.float32 for weight in weights(policy))
    assert not same(weights(policy), before)


def test_explained_variance() -> None:
    target = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert explained_variance(target, target).item() == 1.0
    assert explained_variance(torch.zeros(2, 2), target).item() == 0.0
    assert explained_variance(target * 0.5, target).item() == pytest.approx(0.75)
    assert math.isnan(explained_variance(target, torch.ones(2, 2)).item())
