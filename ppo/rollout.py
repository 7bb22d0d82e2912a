"""One rollout: what was seen and done in `T` steps of `N` environments, and the advantages computed from it."""

import copy

import torch
from tensordict import TensorDict
from torch import Tensor

from ppo.policy import RecurrentActorCritic, RecurrentState
from ppo.recurrence import LstmState


class Rollout:
    """Storage for `T` steps of `N` environments on their device.

    Only the recurrent state before t = 0 is kept. Within the rollout a state is either its natural continuation or
    zero at an episode start, so storing it per step would only make it stale.

    Args:
        length: `T`.
        num_envs: `N`.
        observation_dim: `D`.
        action_dim: `A`.
        state: recurrent state before the first step.
        device: where the tensors lie.
    """

    data: TensorDict
    """`[T, N]`: `observation`, `final_observation` `[D]`, `action` `[A]`, `log_prob`, `reward`, `value`, `advantage`,
    `return` and the flags `episode_start`, `terminated`, `truncated`."""

    def __init__(
        self,
        length: int,
        num_envs: int,
        observation_dim: int,
        action_dim: int,
        state: RecurrentState,
        device: torch.device,
    ) -> None:
        shape = (length, num_envs)
        self.length, self.num_envs = shape
        fields = {
            "observation": torch.zeros(*shape, observation_dim, device=device),
            "final_observation": torch.zeros(*shape, observation_dim, device=device),
            "action": torch.zeros(*shape, action_dim, device=device),
        }
        fields |= {
            name: torch.zeros(shape, device=device) for name in ("log_prob", "reward", "value", "advantage", "return")
        }
        fields |= {
            name: torch.zeros(shape, dtype=torch.bool, device=device)
            for name in ("episode_start", "terminated", "truncated")
        }
        self.data = TensorDict(fields, batch_size=shape, device=device)
        self.start_state = state
        self.fields: dict[str, Tensor] = fields

    def store(self, t: int, **values: Tensor) -> None:
        """Copy the fields of step `t`, each `[N, ...]`."""
        for name, value in values.items():
            self.fields[name][t].copy_(value)

    def first(self, num_envs: int) -> "Rollout":
        """A view of the first `num_envs` environments."""
        view = copy.copy(self)
        view.num_envs, view.data = num_envs, self.data[:, :num_envs]
        view.fields = {name: field[:, :num_envs] for name, field in self.fields.items()}
        actor, critic = ((hidden[:, :num_envs], cell[:, :num_envs]) for hidden, cell in self.start_state)
        view.start_state = RecurrentState(actor, critic)
        return view

    def flags_on_host(self) -> tuple[Tensor, Tensor]:
        """`episode_start` and `truncated`, each `[T, N]` bool on the CPU, in one transfer."""
        flags = torch.stack((self.fields["episode_start"], self.fields["truncated"])).cpu()
        return flags[0], flags[1]


def critic_pass(
    policy: RecurrentActorCritic,
    rollout: Rollout,
    truncated: Tensor,
    last_observation: Tensor,
    last_episode_start: Tensor,
) -> tuple[Tensor, Tensor, LstmState]:
    """Value every observation of a rollout, and what follows each step, with one walk of the critic along it.

    A time-out is followed by the value of the episode's final observation, with the recurrent state that led to it.

    Args:
        policy: the weights that collected the rollout.
        rollout: filled up to its values.
        truncated: `[T, N]` bool on the host, so that only the environments that need a bootstrap are evaluated.
        last_observation: `[N, D]`; the observation after the last step.
        last_episode_start: `[N]` bool; whether an episode starts with it.

    Returns:
        Values `[T, N]`, next values `[T, N]` (zero after a termination), and the critic's state after the rollout.
    """
    fields, critic_state = rollout.fields, rollout.start_state.critic
    actor_state = rollout.start_state.actor
    shared = policy.config.critic == "shared"
    no_start = torch.zeros_like(last_episode_start)
    latents, bootstraps = [], []

    def advance(
        observation: Tensor, actor: LstmState, critic: LstmState, start: Tensor
    ) -> tuple[Tensor, LstmState, LstmState]:
        # Only a critic that shares the actor's LSTM needs that LSTM run again.
        latent = observation
        if shared:
            _, _, actor, latent = policy.act(observation, actor, start)
        output, critic = policy.critic_step(observation, critic, start, latent)
        return output, actor, critic

    for t in range(rollout.length):
        output, actor_state, critic_state = advance(
            fields["observation"][t], actor_state, critic_state, fields["episode_start"][t]
        )
        latents.append(output)
        if bool(truncated[t].any()):
            rows = truncated[t].nonzero().squeeze(1).to(last_observation.device, non_blocking=True)
            output, _, _ = advance(
                fields["final_observation"][t, rows],
                (actor_state[0][:, rows], actor_state[1][:, rows]),
                (critic_state[0][:, rows], critic_state[1][:, rows]),
                no_start[rows],
            )
            bootstraps.append((t, rows, policy.value(output)))
    output, _, _ = advance(last_observation, actor_state, critic_state, last_episode_start)
    values = policy.value(torch.stack((*latents, output))).float()
    done = fields["terminated"] | fields["truncated"]
    next_values = values[1:].masked_fill(done, 0.0)
    for t, rows, bootstrap in bootstraps:
        next_values[t, rows] = bootstrap.float()
    return values[:-1], next_values, critic_state


def generalized_advantage(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    done: Tensor,
    gamma: float,
    gae_lambda: float,
    trace: Tensor | None = None,
) -> Tensor:
    """Generalised advantage estimate (Schulman et al. 2016, arXiv 1506.02438, equation 16), `[T, N]`.

    With `trace`, later temporal differences count as far as another policy would have come to them: the estimate of
    V-trace (Espeholt et al. 2018, arXiv 1802.01561) with the decay of the n-step estimates. The action taken is given,
    so its own factor does not enter; it does enter V-trace's value target, `value + trace * advantage`.

    Args:
        reward: `[T, N]`.
        value: `[T, N]`; V of the observation acted on.
        next_value: `[T, N]`; V of what followed: zero after a termination, V of the final observation after a time-out.
        done: `[T, N]` bool; the episode ended in this step, so later rewards are not this action's doing.
        gamma: discount per step.
        gae_lambda: decay of the n-step estimates.
        trace: `[T, N]`; importance weight of each action, at most 1. None where the actions are the policy's own.
    """
    delta = reward + gamma * next_value - value
    decay = gamma * gae_lambda * (~done).to(delta.dtype)
    if trace is not None:
        decay[:-1] *= trace[1:]
    advantage = torch.zeros_like(delta)
    running = torch.zeros_like(delta[0])
    for t in reversed(range(delta.shape[0])):
        running = delta[t] + decay[t] * running
        advantage[t] = running
    return advantage
