"""Values, bootstraps and advantages of a rollout, against numbers and walks made by hand."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ppo.policy import RecurrentActorCritic, RecurrentState
from ppo.rollout import Experience, Rollout, critic_pass, generalized_advantage
from tests.ppo.rollouts import CPU, CRITICS, CriticKind, random_experience, small_policy


def test_advantage_of_a_fall_a_time_out_and_a_running_episode() -> None:
    reward = value = torch.tensor([1.0, 2.0, 3.0, 4.0]).unsqueeze(1).expand(4, 3)
    # Columns: terminated after t = 1; timed out after t = 1 with a final value of 6; never done. The last value is 5.
    next_value = torch.tensor([[2.0, 2.0, 2.0], [0.0, 6.0, 3.0], [4.0, 4.0, 4.0], [5.0, 5.0, 5.0]])
    done = torch.tensor([[0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]]).bool()
    advantage = generalized_advantage(reward, value, next_value, done, gamma=0.5, gae_lambda=0.5)
    assert advantage.t().tolist() == [
        [1.0 + 0.25 * 0.0, 2.0 - 2.0, 2.0 + 0.25 * 2.5, 2.5],
        [1.0 + 0.25 * 3.0, 2.0 + 0.5 * 6.0 - 2.0, 2.0 + 0.25 * 2.5, 2.5],
        [1.0 + 0.25 * 2.15625, 1.5 + 0.25 * 2.625, 2.0 + 0.25 * 2.5, 4.0 + 0.5 * 5.0 - 4.0],
    ]


def test_without_discount_the_advantage_is_the_rest_of_the_episode() -> None:
    reward = torch.tensor([[1.0], [10.0], [100.0], [1000.0]])
    zero = torch.zeros(4, 1)
    done = torch.tensor([[False], [True], [False], [False]])
    assert generalized_advantage(reward, zero, zero, done, 1.0, 1.0).flatten().tolist() == [11.0, 10.0, 1100.0, 1000.0]
    assert torch.equal(generalized_advantage(reward, zero, zero, done, 1.0, 0.0), reward)


def value_of_history(
    policy: RecurrentActorCritic, experience: Experience, t: int, n: int, after: Tensor | None
) -> Tensor:
    """Value of what environment `n` has seen from its episode's beginning to step `t`, and of `after` if given."""
    starts = [s for s in range(t + 1) if experience.rollout.episode_start[s, n]]
    history = list(experience.rollout.observation[(starts or [0])[-1] : t + 1, n])
    seen = torch.stack([*history, after] if after is not None else history)
    sequence = policy.features_extractor(seen).unsqueeze(1)
    if policy.config.critic == "linear":
        assert policy.critic is not None
        latent = policy.critic(sequence[-1, 0])
    else:
        shared = policy.config.critic == "shared"
        lstm = policy.lstm_actor if shared else policy.lstm_critic
        hidden, cell = experience.start_state.actor if shared else experience.start_state.critic
        assert lstm is not None
        continued = None if starts else (hidden[:, n : n + 1], cell[:, n : n + 1])
        latent = lstm(sequence, continued)[0][-1, 0]
    value: Tensor = policy.value_net(policy.mlp_extractor.value_net(latent))[0]
    return value


def scripted_experience(policy: RecurrentActorCritic) -> Experience:
    """7 steps of 5 environments: two time-outs and a fall in one episode chain, endings at the last step, none."""
    experience = random_experience(policy, 7, 5)
    rollout = experience.rollout
    for flags in (rollout.terminated, rollout.truncated, rollout.episode_start):
        flags.zero_()
    for t, n in ((1, 0), (4, 0), (1, 1), (2, 1), (6, 2)):
        rollout.truncated[t, n] = True
    for t, n in ((5, 1), (6, 3), (0, 3)):
        rollout.terminated[t, n] = True
    rollout.episode_start[0, 2] = True
    rollout.episode_start[1:] = rollout.done[:-1]
    return replace(experience, next_episode_start=rollout.done[-1])


@pytest.mark.parametrize(("layers", "features"), [(1, ()), (2, ()), (1, (9, 5))])
@pytest.mark.parametrize("critic", CRITICS)
@torch.no_grad()
def test_critic_pass_equals_the_value_of_each_history(
    critic: CriticKind, layers: int, features: tuple[int, ...]
) -> None:
    policy = small_policy(critic, layers=layers, features=features)
    experience = scripted_experience(policy)
    rollout = experience.rollout
    values, next_values, _ = critic_pass(policy, experience)

    expected, expected_next = torch.zeros(7, 5), torch.zeros(7, 5)
    for t in range(7):
        for n in range(5):
            expected[t, n] = value_of_history(policy, experience, t, n, None)
            following = experience.next_observation[n] if t == 6 else rollout.observation[t + 1, n]
            if rollout.truncated[t, n]:
                following = rollout.final_observation[t, n]
            if not rollout.terminated[t, n]:
                expected_next[t, n] = value_of_history(policy, experience, t, n, following)
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(next_values, expected_next, rtol=1e-5, atol=1e-6)
    assert bool((next_values[rollout.terminated] == 0.0).all())
    assert bool((expected_next[~rollout.terminated] != 0.0).all())


@pytest.mark.parametrize("critic", CRITICS)
@torch.no_grad()
def test_critic_state_is_carried_into_the_next_rollout(critic: CriticKind) -> None:
    """One rollout of 7 steps and two of 4 and 3 give the same values and the same state at the end."""
    policy = small_policy(critic, layers=2)
    experience = scripted_experience(policy)
    whole = experience.rollout
    values, next_values, state = critic_pass(policy, experience)

    parts = []
    actor, critic_state = experience.start_state
    for begin, end in ((0, 4), (4, 7)):
        part = experience
        if end < 7:
            part = replace(part, next_observation=whole.observation[end], next_episode_start=whole.episode_start[end])
        part = replace(part, rollout=whole[begin:end], start_state=RecurrentState(actor, critic_state))
        *both, critic_state = critic_pass(policy, part)
        parts.append(both)
        for t in range(begin, end):
            actor = policy.act(whole.observation[t], actor, whole.episode_start[t])[2]
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), values)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), next_values)
    for got, expected in zip(critic_state, state, strict=True):
        assert got.shape == (2 if critic == "lstm" else 0, 5, 8)
        torch.testing.assert_close(got, expected)


@torch.no_grad()
def test_time_out_is_bootstrapped_and_a_fall_is_not() -> None:
    """An episode that times out loses nothing against one that goes on: its advantage ends with the same next value."""
    policy = small_policy()
    experience = random_experience(policy, 1, 3)
    rollout = experience.rollout
    for field in (rollout.observation, rollout.final_observation, rollout.reward):
        field[:, 1:] = field[:, :1]
    start_state = RecurrentState(
        *((h[:, :1].expand(-1, 3, -1), c[:, :1].expand(-1, 3, -1)) for h, c in experience.start_state)
    )
    rollout.episode_start.zero_()
    rollout.terminated[0] = torch.tensor([False, False, True])
    rollout.truncated[0] = torch.tensor([False, True, False])
    last_observation = rollout.final_observation[0].clone()
    last_observation[1:] = 100.0
    done = torch.tensor([False, True, True])
    values, next_values, _ = critic_pass(policy, Experience(rollout, start_state, last_observation, done))
    torch.testing.assert_close(next_values[0, 1], next_values[0, 0])
    advantage = generalized_advantage(rollout.reward, values, next_values, rollout.done, 0.9, 0.95)
    torch.testing.assert_close(advantage[0, 1], advantage[0, 0])
    torch.testing.assert_close(advantage[0, 2], rollout.reward[0, 2] - values[0, 2])


def test_memory_is_what_the_fields_need() -> None:
    t, n, d, a, h, layers = 6, 5, 3, 2, 8, 2
    state = [tensor for pair in small_policy(layers=layers).initial_state(n) for tensor in pair]
    assert sum(tensor.untyped_storage().nbytes() for tensor in state) == 4 * (4 * layers * n * h)
    rollout = Rollout.zeros(t, n, d, a, CPU)
    floats = 2 * d + a + len(("log_prob", "reward", "value", "advantage", "returns"))
    flags = len(("episode_start", "terminated", "truncated"))
    assert rollout.batch_size == (t, n)
    fields = dict(rollout.items())
    assert sum(field.untyped_storage().nbytes() for field in fields.values()) == t * n * (4 * floats + flags)
    for name, field in fields.items():
        assert getattr(rollout, name).data_ptr() == field.data_ptr()
        assert field.shape[:2] == (t, n)


def test_flags_come_to_the_host_together_and_once() -> None:
    experience = random_experience(small_policy(), 6, 4)
    rollout = experience.rollout
    flags = experience._flags_on_host
    assert torch.equal(flags[1], rollout.truncated)
    assert experience.starts.on_host is not None
    assert torch.equal(experience.starts.on_host, rollout.episode_start)
    assert experience.starts.on_device.data_ptr() == rollout.episode_start.data_ptr()
    assert experience.starts.on_host.untyped_storage().data_ptr() == flags.untyped_storage().data_ptr()
    for t, truncated in enumerate(rollout.truncated):
        rows = experience.may_be_truncated(t)
        assert truncated.nonzero().flatten().tolist() == ([] if rows is None else torch.arange(4)[rows].tolist())
    assert experience.starts is experience.starts


@pytest.mark.parametrize("critic", CRITICS)
def test_a_minibatch_is_whole_environments(critic: CriticKind) -> None:
    experience = random_experience(small_policy(critic, layers=2), 6, 5)
    chosen = torch.tensor([3, 0, 4])
    minibatch = experience.minibatch(chosen)
    expected = experience.rollout[:, chosen]
    assert torch.equal(minibatch.environments, chosen)
    for name in ("observation", "action", "log_prob", "value", "returns"):
        assert torch.equal(getattr(minibatch, name), getattr(expected, name)), name
    for starts in (minibatch.starts.on_host, minibatch.starts.on_device):
        assert starts is not None
        assert torch.equal(starts, expected.episode_start)
    for got, whole in zip(minibatch.start_state, experience.start_state, strict=True):
        assert all(torch.equal(part, tensor[:, chosen]) for part, tensor in zip(got, whole, strict=True))
