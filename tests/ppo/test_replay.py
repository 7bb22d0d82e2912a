"""Learning from several rollouts: what is kept, how it is weighed, and that each update costs the same."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ppo.trainer
from ppo.checkpoint.sb3_zip import read_zip
from ppo.optimizer import FlatAdam
from ppo.policy import Evaluation, RecurrentActorCritic, RecurrentState
from ppo.processes import Processes
from ppo.replay import Replay
from ppo.rollout import Rollout, critic_pass, generalized_advantage
from ppo.runtime import Precision
from ppo.update import PPOConfig, _minibatch_loss, apply_gradients, normalize, ppo_loss, update
from tests.ppo.environments import RecallEnv, TrackingEnv
from tests.ppo.rollouts import CRITICS, CriticKind, random_rollout, record_evaluated, small_policy, step_along
from tests.ppo.test_trainer import PPO, QUICK, make_trainer, mean_return

T, N = 5, 8
CONFIG = PPOConfig(n_steps=T, n_minibatches=4, n_epochs=3, learning_rate=1e-2)


def endings(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, 3, generator=generator), torch.rand(N, generator=generator) < 0.5


def filled(policy: RecurrentActorCritic, capacity: int, seeds: range) -> tuple[Replay, dict[int, Rollout]]:
    rollouts = {seed: random_rollout(policy, T, N, seed=seed) for seed in seeds}
    replay = Replay(capacity, rollouts[seeds[0]])
    for seed, rollout in rollouts.items():
        replay.add(rollout, *endings(seed))
    return replay, rollouts


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("added", range(1, 8))
def test_the_last_rollouts_are_kept_whole(added: int, critic: CriticKind) -> None:
    policy = small_policy(critic, layers=2)
    rollouts = {seed: random_rollout(policy, T, N, seed=seed) for seed in range(added)}
    replay = Replay(3, rollouts[0])
    for seed, rollout in rollouts.items():
        batch, last_observation, last_episode_start = replay.add(rollout, *endings(seed))
    assert replay.count == min(added, 3)
    assert batch.num_envs == replay.count * N
    found = []
    for first in range(0, batch.num_envs, N):
        places = slice(first, first + N)
        (seed,) = [
            seed
            for seed, one in rollouts.items()
            if torch.equal(one.fields["reward"], batch.fields["reward"][:, places])
        ]
        found.append(seed)
        assert (places == replay.newest) == (seed == added - 1)
        for name, field in rollouts[seed].fields.items():
            assert torch.equal(batch.fields[name][:, places], field), name
            assert torch.equal(batch.data[name][:, places], field), name
        for kept, state in zip(batch.start_state, rollouts[seed].start_state, strict=True):
            assert all(torch.equal(one[:, places], other) for one, other in zip(kept, state, strict=True))
        assert torch.equal(last_observation[places], endings(seed)[0])
        assert torch.equal(last_episode_start[places], endings(seed)[1])
    assert sorted(found) == list(range(added))[-3:]


@pytest.mark.parametrize("critic", CRITICS)
@torch.no_grad()
def test_weights_are_the_proximal_over_the_behaviour_probability(critic: CriticKind) -> None:
    replay, rollouts = filled(small_policy(critic), 3, range(5))
    proximal_policy = small_policy(critic, seed=1)
    weight = replay.judge(proximal_policy, replay.batch.fields["episode_start"])
    fields = replay.batch.fields
    for slot, seed in enumerate((3, 4, 2)):
        places, rollout = slice(slot * N, (slot + 1) * N), rollouts[seed]
        behaviour = rollout.fields["log_prob"]
        proximal = behaviour if seed == 4 else step_along(proximal_policy, rollout)[0]
        assert torch.equal(fields["log_prob"][:, places], behaviour)
        torch.testing.assert_close(fields["proximal_log_prob"][:, places], proximal)
        torch.testing.assert_close(weight[:, places], (proximal - behaviour).exp())
        assert bool((weight[:, places] == 1.0).all()) == (seed == 4)


def test_loss_of_old_actions_by_hand() -> None:
    """Clip range 0.2 around weights of 2, 0.5 and 1, to which 2.3, 0.4, 1.1 and so on are the current ratios."""
    weight = torch.tensor([[2.0, 2.0, 0.5, 0.5, 1.0]])
    ratio = torch.tensor([[2.3, 2.3, 0.2, 0.4, 1.1]])
    advantage = torch.tensor([[1.0, -1.0, -1.0, 3.0, 1.0]])
    behaviour = torch.tensor([[-1.0, -2.0, -3.0, -4.0, -5.0]])
    log_prob = (behaviour + ratio.log()).requires_grad_()
    zero = torch.zeros(1, 5)
    config = PPOConfig(clip_range=0.2, ent_coef=0.0, vf_coef=0.0)
    loss, scalars = ppo_loss(
        Evaluation(log_prob, zero, zero), behaviour, zero, advantage, zero, config, behaviour + weight.log()
    )
    assert loss.item() == pytest.approx(-(2.2 - 2.3 - 0.3 + 3.0 * 0.4 + 1.1) / 5, rel=1e-5)
    assert scalars["clip_fraction"].item() == pytest.approx(3 / 5)
    moves = [(w, r / w) for w, r in zip(weight[0].tolist(), ratio[0].tolist(), strict=True)]
    kl = sum(w * (r - 1.0 - math.log(r)) for w, r in moves) / 5
    assert scalars["approx_kl"].item() == pytest.approx(kl, rel=1e-4)
    loss.backward()
    assert log_prob.grad is not None
    assert log_prob.grad[0].tolist() == pytest.approx([0.0, 2.3 / 5, 0.0, -3.0 * 0.4 / 5, -1.1 / 5], rel=1e-5)


def test_nothing_is_clipped_where_the_update_starts() -> None:
    generator = torch.Generator().manual_seed(0)
    behaviour, proximal, advantage = torch.randn(3, T, N, generator=generator)
    log_prob = proximal.clone().requires_grad_()
    zero = torch.zeros(T, N)
    config = PPOConfig(clip_range=1e-6, ent_coef=0.0, vf_coef=0.0)
    loss, scalars = ppo_loss(Evaluation(log_prob, zero, zero), behaviour, zero, advantage, zero, config, proximal)
    assert scalars["clip_fraction"].item() == 0.0
    assert scalars["approx_kl"].item() == 0.0
    loss.backward()
    assert log_prob.grad is not None
    torch.testing.assert_close(log_prob.grad, -advantage * (proximal - behaviour).exp() / (T * N))


def test_advantage_and_target_are_those_of_v_trace() -> None:
    """Against the sums of Espeholt et al. 2018 (equation 1 and remark 2), one environment and step after the other."""
    gamma, gae_lambda = 0.9, 0.8
    generator = torch.Generator().manual_seed(0)
    reward, value, next_value, log_weight = torch.randn(4, T, N, generator=generator)
    done = torch.rand(T, N, generator=generator) < 0.2
    trace = log_weight.exp().clamp(max=1.0)
    assert 0 < int((trace == 1.0).sum()) < T * N
    advantage = generalized_advantage(reward, value, next_value, done, gamma, gae_lambda, trace)
    target = value + trace * advantage

    delta = reward + gamma * next_value - value
    for n in range(N):
        for t in range(T):
            of_action, of_state = 0.0, 0.0
            for j in range(t, T):
                if bool(done[t:j, n].any()):
                    break
                discount = (gamma * gae_lambda) ** (j - t) * delta[j, n].item()
                of_action += discount * trace[t + 1 : j + 1, n].prod().item()
                of_state += discount * trace[t : j + 1, n].prod().item()
            assert advantage[t, n].item() == pytest.approx(of_action, rel=1e-5, abs=1e-6)
            assert target[t, n].item() == pytest.approx(value[t, n].item() + of_state, rel=1e-5, abs=1e-6)
    on_policy = generalized_advantage(reward, value, next_value, done, gamma, gae_lambda)
    ones = generalized_advantage(reward, value, next_value, done, gamma, gae_lambda, torch.ones(T, N))
    assert torch.equal(on_policy, ones)
    assert not torch.equal(on_policy, advantage)


@pytest.mark.parametrize(("added", "divisor"), [(1, 1.0), (2, 1.5), (3, 2.0), (4, 2.5), (9, 2.5)])
def test_clip_range_shrinks_with_the_mean_age_and_minibatches_keep_their_size(added: int, divisor: float) -> None:
    replay, _ = filled(small_policy(), 4, range(added))
    config = replay.update_config(CONFIG)
    assert config.clip_range == pytest.approx(CONFIG.clip_range / divisor)
    assert config.minibatch_envs(replay.batch.num_envs) == CONFIG.minibatch_envs(N) == 2
    assert replace(config, clip_range=CONFIG.clip_range, batch_size=None) == CONFIG


def test_several_rollouts_cost_as_many_steps_as_one_and_are_used_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = small_policy()
    replay, _ = filled(policy, 3, range(3))
    batch = replay.batch
    with torch.no_grad():
        replay.judge(policy, batch.fields["episode_start"])
    seen = record_evaluated(policy, monkeypatch)
    optimizer = FlatAdam(policy.parameters(), 1e-3)
    update(
        policy,
        optimizer,
        batch,
        batch.fields["episode_start"],
        replay.update_config(CONFIG),
        torch.Generator().manual_seed(0),
        Precision("fp32", "cpu"),
        Processes(),
        minibatches_per_epoch=4,
    )
    # Three epochs of as many minibatches as one rollout makes: once through all three rollouts.
    assert [tuple(one.shape) for one in seen] == [(T, 2, 3)] * 12
    walked = torch.cat(seen, dim=1).transpose(0, 1).flatten(1).tolist()
    assert sorted(walked) == sorted(batch.fields["observation"].transpose(0, 1).flatten(1).tolist())


def test_an_update_on_one_rollout_is_plain_ppo_bit_for_bit() -> None:
    rollout = random_rollout(small_policy(), T, N)
    starts, precision, alone = rollout.fields["episode_start"], Precision("fp32", "cpu"), Processes()
    expected = small_policy()
    optimizer, generator = FlatAdam(expected.parameters(), 1e-2), torch.Generator().manual_seed(0)
    for _ in range(CONFIG.n_epochs):
        for environments in torch.randperm(N, generator=generator).split(2):
            (advantage,) = normalize([rollout.fields["advantage"][:, environments]], alone)
            optimizer.zero_grad()
            loss, _ = _minibatch_loss(expected, rollout, environments, advantage, starts, CONFIG, precision)
            loss.backward()
            apply_gradients(optimizer, CONFIG.max_grad_norm, alone)

    policy = small_policy()
    optimizer, generator = FlatAdam(policy.parameters(), 1e-2), torch.Generator().manual_seed(0)
    update(policy, optimizer, rollout, starts, CONFIG, generator, precision, alone, minibatches_per_epoch=4)
    for got, wanted in zip(policy.parameters(), expected.parameters(), strict=True):
        assert torch.equal(got, wanted)
    assert "proximal_log_prob" not in rollout.fields


def test_training_keeps_what_the_behaviour_policies_said(tmp_path: Path) -> None:
    """Every rollout held has its own policy's log-probabilities and state, and the current critic's values."""
    trainer = make_trainer(TrackingEnv(16), tmp_path, 10_000, ppo=replace(PPO, replay=2))
    trainer.collector.observation = trainer.env.reset()
    assert trainer.replay is not None
    policies: list[RecurrentActorCritic] = []
    for iteration in range(4):
        policies.append(copy.deepcopy(trainer.policy))
        trainer.collector.collect(lambda: False)
        alone = copy.copy(trainer.collector.rollout)
        scalars = trainer.improve()
        assert scalars["skipped_updates"].item() == 0.0
        assert trainer.update_config.clip_range == pytest.approx(0.2 if iteration == 0 else 0.2 / 1.5)
        with torch.no_grad():
            assert trainer.replay.count == min(iteration + 1, 2)
            fields = trainer.replay.batch.fields
            values = step_along(policies[-1], trainer.replay.batch)[1]
            torch.testing.assert_close(fields["value"], values, rtol=1e-4, atol=1e-5)
            trace = (fields["proximal_log_prob"] - fields["log_prob"]).exp().clamp(max=1.0)
            torch.testing.assert_close(fields["return"] - fields["value"], trace * fields["advantage"])
            _, _, state = critic_pass(
                policies[-1],
                alone,
                alone.fields["truncated"],
                trainer.collector.observation,
                trainer.collector.episode_start,
            )
            for got, wanted in zip(trainer.collector.rollout.start_state.critic, state, strict=True):
                torch.testing.assert_close(got, wanted)
            for slot, age in ((iteration % 2, 0), ((iteration + 1) % 2, 1))[: trainer.replay.count]:
                behaviour = step_along(policies[-1 - age], trainer.replay.batch)[0]
                proximal = step_along(policies[-1], trainer.replay.batch)[0]
                places = slice(slot * 16, (slot + 1) * 16)
                torch.testing.assert_close(fields["log_prob"][:, places], behaviour[:, places], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(
                    fields["proximal_log_prob"][:, places], proximal[:, places], rtol=1e-4, atol=1e-5
                )
                assert (age == 0) == torch.equal(fields["log_prob"][:, places], fields["proximal_log_prob"][:, places])


def test_training_updates_on_all_rollouts_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, float]] = []

    def spy(
        policy: RecurrentActorCritic,
        optimizer: FlatAdam,
        rollout: Rollout,
        starts: Tensor,
        config: PPOConfig,
        *rest: Any,  # noqa: ANN401
    ) -> dict[str, Tensor]:
        calls.append((rollout.num_envs, config.minibatch_envs(rollout.num_envs), config.clip_range))
        return {}

    monkeypatch.setattr(ppo.trainer, "update", lambda *arguments, **named: spy(*arguments))
    make_trainer(TrackingEnv(16), tmp_path, 4 * 128, ppo=replace(PPO, replay=3)).train()
    assert calls == [(16, 4, 0.2), (32, 4, 0.2 / 1.5), (48, 4, 0.1), (48, 4, 0.1)]


def test_the_first_update_is_that_of_plain_ppo(tmp_path: Path) -> None:
    trainers = [make_trainer(TrackingEnv(16), tmp_path, 128, ppo=replace(PPO, replay=rollouts)) for rollouts in (1, 3)]
    for trainer in trainers:
        trainer.train()
    plain, replayed = trainers
    assert plain.replay is None
    for got, wanted in zip(replayed.policy.parameters(), plain.policy.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
    states: list[RecurrentState] = [trainer.collector.rollout.start_state for trainer in trainers]
    for one, other in zip(*states, strict=True):
        assert all(torch.equal(got, wanted) for got, wanted in zip(one, other, strict=True))


def test_a_resumed_run_starts_without_rollouts(tmp_path: Path) -> None:
    config = replace(PPO, replay=2)
    trainer = make_trainer(TrackingEnv(16), tmp_path, 512, ppo=config)
    trainer.train()
    assert trainer.replay is not None
    assert trainer.replay.count == 2
    again = make_trainer(TrackingEnv(16), tmp_path, 1024, ppo=config)
    assert again.restore(read_zip(tmp_path / "model_final.zip"))
    assert again.replay is not None
    assert again.replay.count == 0
    again.train()
    assert again.num_timesteps == 1024


def test_learns_what_needs_memory(tmp_path: Path) -> None:
    env = RecallEnv(64, seed=1)
    trainer = make_trainer(env, tmp_path, 30_000, ppo=replace(QUICK, replay=3), seed=1)
    trainer.train()
    assert mean_return(trainer) > -0.5


def test_replay_of_no_rollout_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--ppo\.replay must be at least 1, not 0"):
        PPOConfig(replay=0)
