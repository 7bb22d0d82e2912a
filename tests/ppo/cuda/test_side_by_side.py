"""Actor and critic side by side: what they say and learn is what each of them says and learns alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ppo.policy import PolicyConfig, RecurrentActorCritic
from ppo.recurrence import EpisodeStarts

DEVICE = torch.device("cuda" if torch.version.cuda and torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("known_to_host", [False, True])
@pytest.mark.parametrize("critic", ["lstm", "linear", "shared"])
@pytest.mark.parametrize("features", [(), (6,)])
def test_gradients_are_the_sum_of_those_of_actor_and_critic_alone(
    critic: str, features: tuple[int, ...], *, known_to_host: bool
) -> None:
    torch.manual_seed(3)
    config = PolicyConfig(lstm_hidden_size=8, n_lstm_layers=2, pi=(5,), vf=(7,), features=features, critic=critic)  # type: ignore[arg-type]
    policy = RecurrentActorCritic(config, observation_dim=4, action_dim=2).to(DEVICE)
    observation, action = torch.randn(6, 5, 4, device=DEVICE), torch.randn(6, 5, 2, device=DEVICE)
    episode_start = torch.rand(6, 5) < 0.2
    starts = EpisodeStarts(episode_start if known_to_host else None, episode_start.to(DEVICE))
    state = policy.initial_state(5)

    def gradients(loss: Tensor) -> list[Tensor]:
        policy.zero_grad()
        loss.backward()
        return [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in policy.parameters()]

    both = policy.evaluate_actions(observation, state, starts, action)
    together = gradients(both.log_prob.sum() + both.value.square().sum())

    actor = gradients(policy.log_prob(observation, state.actor, starts, action).sum())
    values, latents, memory = [], [], state
    for now, start in zip(observation, starts.on_device, strict=True):
        _, _, actor_state, latent = policy.act(now, memory.actor, start)
        latents.append(latent.detach())
        value, critic_state = policy.critic_step(now, memory.critic, start, latents[-1])
        values.append(policy.value(value))
        memory = memory._replace(actor=actor_state, critic=critic_state)
    value = torch.stack(values)
    torch.testing.assert_close(both.value, value, rtol=1e-5, atol=1e-6)
    alone = gradients(value.square().sum())
    for name, found, *expected in zip(dict(policy.named_parameters()), together, actor, alone, strict=True):
        torch.testing.assert_close(found, expected[0] + expected[1], rtol=1e-4, atol=1e-5, msg=name)


def test_they_are_launched_side_by_side_only_where_they_share_nothing_that_is_sent_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launched: list[bool] = []

    def watched(main: Callable[[], object], side: Callable[[], object], reads: Tensor) -> tuple[object, object]:
        launched.append(True)
        return main(), side()

    monkeypatch.setattr("ppo.policy.side_by_side", watched)
    policy = RecurrentActorCritic(PolicyConfig(lstm_hidden_size=4, pi=(), vf=()), observation_dim=3, action_dim=2)
    observation, action, episode_start = torch.zeros(2, 1, 3), torch.zeros(2, 1, 2), torch.tensor([[False], [True]])
    for on_host, expected in ((episode_start, 0), (None, 1)):
        policy.evaluate_actions(observation, policy.initial_state(1), EpisodeStarts(on_host, episode_start), action)
        assert len(launched) == expected
