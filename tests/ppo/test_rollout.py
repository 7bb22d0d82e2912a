"""Values, bootstraps and advantages of a rollout, against numbers and walks made by hand."""

import pytest
import torch
from torch import Tensor

from ppo.policy import RecurrentActorCritic, RecurrentState
from ppo.rollout import Rollout, critic_pass, generalized_advantage
from tests.ppo.rollouts import CPU, CRITICS, CriticKind, random_rollout, small_policy


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


def value_of_history(policy: RecurrentActorCritic, rollout: Rollout, t: int, n: int, after: Tensor | None) -> Tensor:
    """Value of what environment `n` has seen from its episode's beginning to step `t`, and of `after` if given."""
    starts = [s for s in range(t + 1) if rollout.fields["episode_start"][s, n]]
    history = list(rollout.fields["observation"][(starts or [0])[-1] : t + 1, n])
    seen = torch.stack([*history, after] if after is not None else history)
    sequence = policy.features_extractor(seen).unsqueeze(1)
    if policy.config.critic == "linear":
        assert policy.critic is not None
        latent = policy.critic(sequence[-1, 0])
    else:
        shared = policy.config.critic == "shared"
        lstm = policy.lstm_actor if shared else policy.lstm_critic
        hidden, cell = rollout.start_state.actor if shared else rollout.start_state.critic
        assert lstm is not None
        continued = None if starts else (hidden[:, n : n + 1], cell[:, n : n + 1])
        latent = lstm(sequence, continued)[0][-1, 0]
    value: Tensor = policy.value_net(policy.mlp_extractor.value_net(latent))[0]
    return value


def scripted_rollout(policy: RecurrentActorCritic) -> Rollout:
    """7 steps of 5 environments: two time-outs and a fall in one episode chain, endings at the last step, none."""
    rollout = random_rollout(policy, 7, 5)
    fields = rollout.fields
    for name in ("terminated", "truncated", "episode_start"):
        fields[name].zero_()
    for t, n in ((1, 0), (4, 0), (1, 1), (2, 1), (6, 2)):
        fields["truncated"][t, n] = True
    for t, n in ((5, 1), (6, 3), (0, 3)):
        fields["terminated"][t, n] = True
    fields["episode_start"][0, 2] = True
    fields["episode_start"][1:] = (fields["terminated"] | fields["truncated"])[:-1]
    return rollout


@pytest.mark.parametrize(("layers", "features"), [(1, ()), (2, ()), (1, (9, 5))])
@pytest.mark.parametrize("critic", CRITICS)
@torch.no_grad()
def test_critic_pass_equals_the_value_of_each_history(
    critic: CriticKind, layers: int, features: tuple[int, ...]
) -> None:
    policy = small_policy(critic, layers=layers, features=features)
    rollout = scripted_rollout(policy)
    fields = rollout.fields
    last_observation = torch.randn(5, 3, generator=torch.Generator().manual_seed(9))
    last_start = fields["terminated"][-1] | fields["truncated"][-1]
    values, next_values, _ = critic_pass(policy, rollout, fields["truncated"], last_observation, last_start)

    expected, expected_next = torch.zeros(7, 5), torch.zeros(7, 5)
    for t in range(7):
        for n in range(5):
            expected[t, n] = value_of_history(policy, rollout, t, n, None)
            following = last_observation[n] if t == 6 else fields["observation"][t + 1, n]
            if fields["truncated"][t, n]:
                following = fields["final_observation"][t, n]
            if not fields["terminated"][t, n]:
                expected_next[t, n] = value_of_history(policy, rollout, t, n, following)
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(next_values, expected_next, rtol=1e-5, atol=1e-6)
    assert bool((next_values[fields["terminated"]] == 0.0).all())
    assert bool((expected_next[~fields["terminated"]] != 0.0).all())


@pytest.mark.parametrize("critic", CRITICS)
@torch.no_grad()
def test_critic_state_is_carried_into_the_next_rollout(critic: CriticKind) -> None:
    """One rollout of 7 steps and two of 4 and 3 give the same values and the same state at the end."""
    policy = small_policy(critic, layers=2)
    whole = scripted_rollout(policy)
    last_observation = torch.randn(5, 3, generator=torch.Generator().manual_seed(9))
    last_start = whole.fields["terminated"][-1] | whole.fields["truncated"][-1]
    values, next_values, state = critic_pass(policy, whole, whole.fields["truncated"], last_observation, last_start)

    parts = []
    actor, critic_state = whole.start_state
    for begin, end in ((0, 4), (4, 7)):
        part = Rollout(end - begin, 5, 3, 2, RecurrentState(actor, critic_state), CPU)
        for name, field in part.fields.items():
            field.copy_(whole.fields[name][begin:end])
        following = last_observation if end == 7 else whole.fields["observation"][end]
        start = last_start if end == 7 else whole.fields["episode_start"][end]
        *both, critic_state = critic_pass(policy, part, part.fields["truncated"], following, start)
        parts.append(both)
        for t in range(part.length):
            actor = policy.act(part.fields["observation"][t], actor, part.fields["episode_start"][t])[2]
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), values)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), next_values)
    for got, expected in zip(critic_state, state, strict=True):
        assert got.shape == (2 if critic == "lstm" else 0, 5, 8)
        torch.testing.assert_close(got, expected)


@torch.no_grad()
def test_time_out_is_bootstrapped_and_a_fall_is_not() -> None:
    """An episode that times out loses nothing against one that goes on: its advantage ends with the same next value."""
    policy = small_policy()
    rollout = random_rollout(policy, 1, 3)
    fields = rollout.fields
    for name in ("observation", "final_observation", "reward"):
        fields[name][:, 1:] = fields[name][:, :1]
    rollout.start_state = RecurrentState(
        *((h[:, :1].expand(-1, 3, -1), c[:, :1].expand(-1, 3, -1)) for h, c in rollout.start_state)
    )
    fields["episode_start"].zero_()
    fields["terminated"][0] = torch.tensor([False, False, True])
    fields["truncated"][0] = torch.tensor([False, True, False])
    last_observation = fields["final_observation"][0].clone()
    last_observation[1:] = 100.0
    done = torch.tensor([False, True, True])
    values, next_values, _ = critic_pass(policy, rollout, fields["truncated"], last_observation, done)
    torch.testing.assert_close(next_values[0, 1], next_values[0, 0])
    advantage = generalized_advantage(fields["reward"], values, next_values, done.unsqueeze(0), 0.9, 0.95)
    torch.testing.assert_close(advantage[0, 1], advantage[0, 0])
    torch.testing.assert_close(advantage[0, 2], fields["reward"][0, 2] - values[0, 2])


def test_memory_is_what_the_fields_need() -> None:
    policy = small_policy(layers=2)
    t, n, d, a, h, layers = 6, 5, 3, 2, 8, 2
    rollout = Rollout(t, n, d, a, policy.initial_state(n), CPU)
    floats = 2 * d + a + len(("log_prob", "reward", "value", "advantage", "return"))
    flags = len(("episode_start", "terminated", "truncated"))
    assert sum(field.untyped_storage().nbytes() for field in rollout.fields.values()) == t * n * (4 * floats + flags)
    state = [tensor for pair in rollout.start_state for tensor in pair]
    assert sum(tensor.untyped_storage().nbytes() for tensor in state) == 4 * (4 * layers * n * h)
    for name, field in rollout.fields.items():
        assert rollout.data[name].data_ptr() == field.data_ptr()
    assert sorted(rollout.data.keys()) == sorted(rollout.fields)


def test_store_copies_one_step() -> None:
    rollout = Rollout(3, 2, 3, 2, small_policy().initial_state(2), CPU)
    reward, truncated = torch.tensor([1.0, 2.0]), torch.tensor([True, False])
    rollout.store(1, reward=reward, truncated=truncated, episode_start=~truncated)
    reward.zero_()
    assert rollout.fields["reward"].tolist() == [[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]]
    episode_start, on_host = rollout.flags_on_host()
    assert on_host.tolist() == [[False, False], [True, False], [False, False]]
    assert episode_start.tolist() == [[False, False], [False, True], [False, False]]
