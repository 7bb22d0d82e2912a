"""Learning from several rollouts: what is kept, how it is weighed, and that each update costs the same."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.recall_env import RecallEnv
from ppo.checkpoint.sb3_zip import read_zip
from ppo.hyperparameters import PPOConfig
from ppo.optimizer import FlatAdam
from ppo.policy import EvaluatedActions, RecurrentActorCritic, RecurrentState
from ppo.processes import Processes
from ppo.replay import ReplayPPO, RolloutMemory, proximal_log_prob, replayed_loss, v_trace, view
from ppo.rollout import Experience, Rollout, critic_pass, generalized_advantage
from ppo.update import PPO, apply_gradients, normalize, ppo_loss
from tests.ppo.environments import TrackingEnv
from tests.ppo.rollouts import (
    CPU,
    CRITICS,
    CriticKind,
    make_minibatch,
    make_ppo,
    random_experience,
    small_policy,
    step_along,
)
from tests.ppo.spies import RecordingReplayPPO
from tests.ppo.trainers import PPO as HYPERPARAMETERS
from tests.ppo.trainers import QUICK, make_trainer, mean_return

T, N = 5, 8
CONFIG = PPOConfig(n_steps=T, n_minibatches=4, n_epochs=3, learning_rate=1e-2)


def same(one: Experience, other: Experience) -> bool:
    """Whether all that two experiences hold is equal."""
    fields = [(field, getattr(other.rollout, name)) for name, field in one.rollout.items()]
    states = [(*one.start_state.actor, *one.start_state.critic), (*other.start_state.actor, *other.start_state.critic)]
    edges = [(one.next_observation, other.next_observation), (one.next_episode_start, other.next_episode_start)]
    return all(torch.equal(got, wanted) for got, wanted in (*fields, *zip(*states, strict=True), *edges))


def filled(policy: RecurrentActorCritic, capacity: int, seeds: range) -> tuple[RolloutMemory, dict[int, Experience]]:
    experiences = {seed: random_experience(policy, T, N, seed=seed) for seed in seeds}
    memory = RolloutMemory(capacity, experiences[seeds[0]])
    for experience in experiences.values():
        memory.add(experience)
    return memory, experiences


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("added", range(1, 8))
def test_the_last_rollouts_are_kept_whole(added: int, critic: CriticKind) -> None:
    memory, experiences = filled(small_policy(critic, layers=2), 3, range(added))
    held = memory.experience
    assert memory.count == min(added, 3)
    assert held.rollout.batch_size == (T, memory.count * N)
    found = []
    for index in range(memory.count):
        places = memory.places(index)
        (seed,) = [seed for seed, one in experiences.items() if same(view(held, places), one)]
        found.append(seed)
        assert (places == memory.newest) == (seed == added - 1)
    assert sorted(found) == list(range(added))[-3:]


def test_what_is_kept_is_a_copy() -> None:
    memory, experiences = filled(small_policy(), 2, range(1))
    before = copy.deepcopy(experiences[0])
    experiences[0].rollout.reward.zero_()
    experiences[0].start_state.actor[0].zero_()
    experiences[0].next_observation.zero_()
    assert same(memory.experience, before)


@pytest.mark.parametrize("critic", CRITICS)
@torch.no_grad()
def test_the_proximal_policy_judges_all_actions_but_its_own(critic: CriticKind) -> None:
    memory, experiences = filled(small_policy(critic), 3, range(5))
    proximal_policy = small_policy(critic, seed=1)
    result = proximal_log_prob(proximal_policy, memory, memory.experience)
    for index, seed in enumerate((3, 4, 2)):
        places, behaviour = memory.places(index), experiences[seed].rollout.log_prob
        assert torch.equal(memory.experience.rollout.log_prob[:, places], behaviour)
        expected = behaviour if seed == 4 else step_along(proximal_policy, experiences[seed])[0]
        torch.testing.assert_close(result[:, places], expected)
        assert torch.equal(result[:, places], behaviour) == (seed == 4)


def test_loss_of_old_actions_by_hand() -> None:
    """Clip range 0.2 around weights of 2, 0.5 and 1, to which 2.3, 0.4, 1.1 and so on are the current ratios."""
    weight = torch.tensor([[2.0, 2.0, 0.5, 0.5, 1.0]])
    ratio = torch.tensor([[2.3, 2.3, 0.2, 0.4, 1.1]])
    advantage = torch.tensor([[1.0, -1.0, -1.0, 3.0, 1.0]])
    behaviour = torch.tensor([[-1.0, -2.0, -3.0, -4.0, -5.0]])
    log_prob = (behaviour + ratio.log()).requires_grad_()
    zero = torch.zeros(1, 5)
    config = PPOConfig(clip_range=0.2, ent_coef=0.0, vf_coef=0.0)
    actions, minibatch = EvaluatedActions(log_prob, zero, zero), make_minibatch(behaviour, zero, zero)
    loss, scalars = replayed_loss(actions, minibatch, advantage, behaviour + weight.log(), config)
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
    actions, minibatch = EvaluatedActions(log_prob, zero, zero), make_minibatch(behaviour, zero, zero)
    loss, scalars = replayed_loss(actions, minibatch, advantage, proximal, config)
    assert scalars["clip_fraction"].item() == 0.0
    assert scalars["approx_kl"].item() == 0.0
    loss.backward()
    assert log_prob.grad is not None
    torch.testing.assert_close(log_prob.grad, -advantage * (proximal - behaviour).exp() / (T * N))


def test_loss_of_the_newest_actions_is_that_of_plain_ppo() -> None:
    generator = torch.Generator().manual_seed(0)
    behaviour, move, entropy, value, old_value, returns, advantage = torch.randn(7, T, N, generator=generator)
    config = PPOConfig(clip_range_vf=0.3)
    actions = EvaluatedActions(behaviour + 0.3 * move, entropy, value)
    minibatch = make_minibatch(behaviour, old_value, returns)
    loss, scalars = replayed_loss(actions, minibatch, advantage, behaviour, config)
    expected, expected_scalars = ppo_loss(actions, minibatch, advantage, config)
    assert torch.equal(loss, expected)
    assert all(torch.equal(scalars[name], wanted) for name, wanted in expected_scalars.items())


def test_advantage_and_target_are_those_of_v_trace() -> None:
    """Against the sums of Espeholt et al. 2018 (equation 1 and remark 2), one environment and step after the other."""
    config = PPOConfig(gamma=0.9, gae_lambda=0.8)
    generator = torch.Generator().manual_seed(0)
    reward, value, next_value, log_weight = torch.randn(4, T, N, generator=generator)
    rollout = Rollout.zeros(T, N, 1, 1, CPU)
    rollout.reward.copy_(reward)
    rollout.terminated.copy_(torch.rand(T, N, generator=generator) < 0.2)
    done, weight = rollout.done, log_weight.exp()
    trace = weight.clamp(max=1.0)
    assert 0 < int((trace == 1.0).sum()) < T * N
    advantage, target = v_trace(rollout, value, next_value, weight, config)

    delta = reward + config.gamma * next_value - value
    for n in range(N):
        for t in range(T):
            of_action, of_state = 0.0, 0.0
            for j in range(t, T):
                if bool(done[t:j, n].any()):
                    break
                discount = (config.gamma * config.gae_lambda) ** (j - t) * delta[j, n].item()
                of_action += discount * trace[t + 1 : j + 1, n].prod().item()
                of_state += discount * trace[t : j + 1, n].prod().item()
            assert advantage[t, n].item() == pytest.approx(of_action, rel=1e-5, abs=1e-6)
            assert target[t, n].item() == pytest.approx(value[t, n].item() + of_state, rel=1e-5, abs=1e-6)
    on_policy = generalized_advantage(reward, value, next_value, done, config.gamma, config.gae_lambda)
    ones, _ = v_trace(rollout, value, next_value, torch.ones(T, N), config)
    assert torch.equal(on_policy, ones)
    assert not torch.equal(on_policy, advantage)


@pytest.mark.parametrize(("added", "divisor"), [(1, 1.0), (2, 1.5), (3, 2.0), (4, 2.5), (9, 2.5)])
def test_clip_range_shrinks_with_the_mean_age_and_minibatches_keep_their_size(added: int, divisor: float) -> None:
    ppo = make_ppo(ReplayPPO, small_policy(), replace(CONFIG, replay=4))
    assert ppo.update_config == ppo.config
    ppo.memory, _ = filled(small_policy(), 4, range(added))
    config = ppo.update_config
    assert config.clip_range == pytest.approx(CONFIG.clip_range / divisor)
    assert config.minibatch_envs(ppo.memory.count * N) == CONFIG.minibatch_envs(N) == 2
    assert replace(config, clip_range=CONFIG.clip_range, batch_size=None) == ppo.config


def test_several_rollouts_cost_as_many_steps_as_one_and_are_used_equally() -> None:
    policy = small_policy()
    ppo = make_ppo(RecordingReplayPPO, policy, replace(CONFIG, replay=3, learning_rate=1e-3))
    for seed in range(3):
        held, _ = ppo.prepare(random_experience(policy, T, N, seed=seed))
    ppo.update(held)
    # Three epochs of as many minibatches as one rollout makes: once through all three rollouts.
    seen = [minibatch.observation for minibatch in ppo.minibatches]
    assert [tuple(one.shape) for one in seen] == [(T, 2, 3)] * 12
    walked = torch.cat(seen, dim=1).transpose(0, 1).flatten(1).tolist()
    assert sorted(walked) == sorted(held.rollout.observation.transpose(0, 1).flatten(1).tolist())


def test_an_update_on_one_rollout_is_plain_ppo_bit_for_bit() -> None:
    """Written down once more, without epochs that end early, several processes and the like."""
    experience = random_experience(small_policy(), T, N)
    alone, expected = Processes(), small_policy()
    optimizer, generator = FlatAdam(expected.parameters(), 1e-2), torch.Generator().manual_seed(0)
    for _ in range(CONFIG.n_epochs):
        for environments in torch.randperm(N, generator=generator).split(2):
            part = experience.minibatch(environments)
            (advantage,) = normalize([experience.rollout.advantage[:, environments]], alone)
            actions = expected.evaluate_actions(part.observation, part.start_state, part.starts, part.action)
            optimizer.zero_grad()
            ppo_loss(actions, part, advantage, CONFIG)[0].backward()
            apply_gradients(optimizer, CONFIG.max_grad_norm, alone)

    policy = small_policy()
    make_ppo(PPO, policy, CONFIG).update(experience)
    for got, wanted in zip(policy.parameters(), expected.parameters(), strict=True):
        assert torch.equal(got, wanted)


def test_training_keeps_what_the_behaviour_policies_said(tmp_path: Path) -> None:
    """Every rollout held has its own policy's log-probabilities and state, and the current critic's values."""
    trainer = make_trainer(TrackingEnv(16), tmp_path, 10_000, ppo=replace(HYPERPARAMETERS, replay=2))
    ppo = trainer.learner.algorithm
    assert isinstance(ppo, ReplayPPO)
    policies: list[RecurrentActorCritic] = []
    for iteration in range(4):
        policies.append(copy.deepcopy(trainer.learner.policy))
        trainer.learner.collector.collect(lambda: False)
        alone = trainer.learner.collector.experience
        scalars = trainer.learner.improve()
        assert scalars["skipped_updates"].item() == 0.0
        assert ppo.update_config.clip_range == pytest.approx(0.2 if iteration == 0 else 0.2 / 1.5)
        assert ppo.memory is not None
        with torch.no_grad():
            assert ppo.memory.count == min(iteration + 1, 2)
            held = ppo.memory.experience
            rollout = held.rollout
            proximal, values = step_along(policies[-1], held)
            torch.testing.assert_close(rollout.value, values, rtol=1e-4, atol=1e-5)
            trace = (ppo.proximal - rollout.log_prob).exp().clamp(max=1.0)
            torch.testing.assert_close(rollout.returns - rollout.value, trace * rollout.advantage)
            _, _, state = critic_pass(policies[-1], alone)
            for got, wanted in zip(trainer.learner.collector.start_state.critic, state, strict=True):
                torch.testing.assert_close(got, wanted)
            for index, age in ((iteration % 2, 0), ((iteration + 1) % 2, 1))[: ppo.memory.count]:
                places = ppo.memory.places(index)
                behaviour = step_along(policies[-1 - age], held)[0]
                torch.testing.assert_close(rollout.log_prob[:, places], behaviour[:, places], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(ppo.proximal[:, places], proximal[:, places], rtol=1e-4, atol=1e-5)
                assert (age == 0) == torch.equal(rollout.log_prob[:, places], ppo.proximal[:, places])


def test_training_updates_on_all_rollouts_held(tmp_path: Path) -> None:
    trainer = make_trainer(TrackingEnv(16), tmp_path, 4 * 128, ppo=replace(HYPERPARAMETERS, replay=3))
    assert isinstance(trainer.learner.algorithm, ReplayPPO)
    plain = trainer.learner.algorithm
    recording = RecordingReplayPPO(
        plain.policy, plain.optimizer, plain.config, plain.generator, plain.precision, plain.processes
    )
    trainer.learner.algorithm = recording
    trainer.train()
    calls = [(count, config.minibatch_envs(count), config.clip_range) for count, config in recording.updates]
    assert calls == [(16, 4, 0.2), (32, 4, 0.2 / 1.5), (48, 4, 0.1), (48, 4, 0.1)]


def test_the_first_update_is_that_of_plain_ppo(tmp_path: Path) -> None:
    trainers = [
        make_trainer(TrackingEnv(16), tmp_path, 128, ppo=replace(HYPERPARAMETERS, replay=rollouts))
        for rollouts in (1, 3)
    ]
    for trainer in trainers:
        trainer.train()
    plain, replayed = trainers
    assert type(plain.learner.algorithm) is PPO
    for got, wanted in zip(replayed.learner.policy.parameters(), plain.learner.policy.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
    states: list[RecurrentState] = [trainer.learner.collector.start_state for trainer in trainers]
    for one, other in zip(*states, strict=True):
        assert all(torch.equal(got, wanted) for got, wanted in zip(one, other, strict=True))


def test_a_resumed_run_starts_without_rollouts(tmp_path: Path) -> None:
    config = replace(HYPERPARAMETERS, replay=2)
    trainer = make_trainer(TrackingEnv(16), tmp_path, 512, ppo=config)
    trainer.train()
    assert isinstance(trainer.learner.algorithm, ReplayPPO)
    assert trainer.learner.algorithm.memory is not None
    assert trainer.learner.algorithm.memory.count == 2
    again = make_trainer(TrackingEnv(16), tmp_path, 1024, ppo=config)
    assert again.learner.restore(read_zip(tmp_path / "model_final.zip"))
    assert isinstance(again.learner.algorithm, ReplayPPO)
    assert again.learner.algorithm.memory is None
    again.train()
    assert again.learner.num_timesteps == 1024


def test_learns_what_needs_memory(tmp_path: Path) -> None:
    env = RecallEnv(64, seed=1)
    trainer = make_trainer(env, tmp_path, 30_000, ppo=replace(QUICK, replay=3), seed=1)
    trainer.train()
    assert mean_return(trainer) > -0.5


def test_replay_of_no_rollout_is_refused() -> None:
    with pytest.raises(ValueError, match=r"replay must be from 1 to 1000, not 0"):
        PPOConfig(replay=0)
