"""The PPO loss, and one optimisation over a rollout: epochs of minibatches of whole environments."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ppo.hyperparameters import PPOConfig
from ppo.optimizer import FlatAdam
from ppo.policy import EvaluatedActions, RecurrentActorCritic
from ppo.processes import Processes
from ppo.recurrence import LstmState
from ppo.rollout import Experience, Minibatch, Rollout, critic_pass, generalized_advantage
from ppo.runtime import Precision, send


def normalize(advantages: Sequence[Tensor], processes: Processes) -> list[Tensor]:
    """Shift and scale each minibatch to mean 0 and (unbiased) standard deviation 1 over all processes.

    One exchange serves all minibatches. Sums are in double precision, since squares are subtracted.
    """
    sums = torch.stack([torch.stack((one.double().sum(), one.double().square().sum())) for one in advantages])
    results = []
    for advantage, (total, squares) in zip(advantages, processes.sum(sums), strict=True):
        count = float(advantage.numel() * processes.count)
        mean = total / count
        variance = ((squares - total * mean) / max(count - 1.0, 1.0)).clamp(min=0.0)
        results.append((advantage - mean.float()) / (variance.sqrt().float() + 1e-8))
    return results


class Surrogate(NamedTuple):
    """The policy's part of the loss, and how far the policy has moved since the update began; scalars `[]`."""

    loss: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor


def ppo_loss(
    actions: EvaluatedActions, minibatch: Minibatch, advantage: Tensor, config: PPOConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Clipped surrogate loss (Schulman et al. 2017, arXiv 1707.06347) as Stable-Baselines3 computes it.

    Args:
        actions: what the current policy says about the actions, `[T, n]` each.
        minibatch: what they are compared with.
        advantage: `[T, n]`, normalised already if it shall be.
        config: clip ranges and weights.

    Returns:
        The loss and detached scalars to log, among them the KL divergence estimate mean((r - 1) - log r), r being the
        probability ratio (http://joschu.net/blog/kl-approx.html).
    """
    log_ratio = actions.log_prob - minibatch.log_prob
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - config.clip_range, 1.0 + config.clip_range)
    policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
    with torch.no_grad():
        approx_kl = ((ratio - 1.0) - log_ratio).mean()
        clip_fraction = ((ratio - 1.0).abs() > config.clip_range).float().mean()
    return total_loss(Surrogate(policy_loss, approx_kl, clip_fraction), actions, minibatch, config)


def total_loss(
    surrogate: Surrogate, actions: EvaluatedActions, minibatch: Minibatch, config: PPOConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Surrogate loss, value loss and entropy bonus, and the scalars to log; arguments as of `ppo_loss`."""
    value = actions.value
    if config.clip_range_vf is not None:
        value = minibatch.value + (value - minibatch.value).clamp(-config.clip_range_vf, config.clip_range_vf)
    value_loss = (minibatch.returns - value).square().mean()
    entropy_loss = -actions.entropy.mean()
    loss = surrogate.loss + config.ent_coef * entropy_loss + config.vf_coef * value_loss
    return loss, {
        "loss": loss.detach(),
        "policy_gradient_loss": surrogate.loss.detach(),
        "value_loss": value_loss.detach(),
        "entropy_loss": entropy_loss.detach(),
        "approx_kl": surrogate.approx_kl,
        "clip_fraction": surrogate.clip_fraction,
    }


def apply_gradients(optimizer: FlatAdam, max_grad_norm: float, processes: Processes) -> tuple[Tensor, Tensor]:
    """Average the gradients over all processes, clip them and take one step, unless a gradient is not finite.

    Returns:
        Gradient norm before clipping and 1.0 where the step was left out, both `[]` on the device.
    """
    gradient = optimizer.gradient
    processes.average_(gradient)
    norm = torch.linalg.vector_norm(gradient)
    gradient.mul_((max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
    skipped = (~norm.isfinite()).float()
    optimizer.step(skipped)
    return norm, skipped


class PPO:
    """Learns from each new rollout, and from nothing else. `ppo.replay` overrides what it does otherwise.

    Args:
        policy: network to improve in place.
        optimizer: its Adam.
        config: hyper-parameters.
        generator: host generator that draws the environments of each minibatch.
        precision: arithmetic of the gradient steps.
        processes: over which gradients and statistics are averaged.
    """

    def __init__(
        self,
        policy: RecurrentActorCritic,
        optimizer: FlatAdam,
        config: PPOConfig,
        generator: torch.Generator,
        precision: Precision,
        processes: Processes,
    ) -> None:
        self.policy, self.optimizer, self.config = policy, optimizer, config
        self.generator, self.precision, self.processes = generator, precision, processes
        parameters = sum(one.numel() for one in policy.parameters())
        self.envs_per_pass = config.envs_per_pass(parameters, policy.log_std.device)
        """Of a minibatch, as many as go through the network at a time."""
        self.last_epochs = 0
        """Epochs of the last update, one that was cut off included, as SB3 counts them."""

    def questions_while_preparing(self, n_steps: int) -> int:
        """How often `prepare` asks whether it is interrupted, for a rollout of so many steps."""
        return n_steps

    @property
    def update_config(self) -> PPOConfig:
        """Hyper-parameters of the next update."""
        return self.config

    def asks_often(self, minibatch_envs: int) -> bool:
        """Whether to ask at every opportunity if learning is interrupted.

        Several processes must agree on it, which takes an exchange. That is little only where passes are so long that
        minibatches of `minibatch_envs` environments are cut.
        """
        return self.processes.count == 1 or minibatch_envs > self.envs_per_pass

    def prepare(
        self, newest: Experience, interrupted: Callable[[], bool] = lambda: False
    ) -> tuple[Experience, LstmState]:
        """Fill in values, advantages and returns.

        Args:
            newest: what was collected last, by the policy as it is.
            interrupted: asked at every step of the rollout.

        Returns:
            What to learn from, and the critic's state after the newest rollout.

        Raises:
            Interrupted: `interrupted()` was True.
        """
        return newest, self._fill_in(newest, interrupted)

    def _fill_in(self, newest: Experience, interrupted: Callable[[], bool]) -> LstmState:
        """As `prepare`; returns the critic's state after the rollout."""
        with torch.no_grad():
            values, next_values, critic_state = critic_pass(self.policy, newest, interrupted)
        rollout, config = newest.rollout, self.config
        advantage = generalized_advantage(
            rollout.reward, values, next_values, rollout.done, config.gamma, config.gae_lambda
        )
        rollout.value.copy_(values)
        rollout.advantage.copy_(advantage)
        rollout.returns.copy_(advantage + values)
        return critic_state

    def epochs(self, num_envs: int) -> Iterator[list[Tensor]]:
        """Epochs without end: the environments `[n]` of each minibatch, indices on the host, redrawn every time."""
        while True:
            order = torch.randperm(num_envs, generator=self.generator)
            yield list(order.split(self.update_config.minibatch_envs(num_envs)))

    def loss(
        self, actions: EvaluatedActions, minibatch: Minibatch, advantage: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`ppo_loss` with the hyper-parameters of this update."""
        return ppo_loss(actions, minibatch, advantage, self.update_config)

    def update(self, experience: Experience, interrupted: Callable[[], bool] = lambda: False) -> dict[str, Tensor]:
        """Optimise the policy on what `prepare` has returned.

        Args:
            experience: with advantages and returns.
            interrupted: asked before every pass or, unless `asks_often`, before every epoch; True ends the update
                early, a minibatch whose passes are not complete being left out.

        Returns:
            Scalars `[]` on the device, of this process's environments; the norm of the gradient is that of all.
            `approx_kl` is the last epoch's mean and `loss` the last minibatch's, as in SB3; the others are means over
            all minibatches, `skipped_updates` their number with gradients that were not finite.
        """
        history = self._optimize(experience, interrupted)
        self.last_epochs = sum(map(bool, history))
        return summarize(history)

    def _optimize(self, experience: Experience, interrupted: Callable[[], bool]) -> list[list[dict[str, Tensor]]]:
        """Take the steps of an update; returns the scalars of each minibatch of each epoch, up to its end."""
        history: list[list[dict[str, Tensor]]] = []
        self.policy.train()
        epochs = self.epochs(experience.rollout.shape[1])
        for _ in range(self.config.n_epochs):
            minibatches = next(epochs)
            often = self.asks_often(len(minibatches[0]))
            if not often and interrupted():
                break
            history.append([])
            for environments, advantage in zip(
                minibatches, self._advantages(experience.rollout, minibatches), strict=True
            ):
                self.optimizer.zero_grad()
                scalars = self._add_gradients(
                    experience, environments, advantage, interrupted if often else lambda: False
                )
                if scalars is None:
                    return history
                history[-1].append(scalars)
                if self._moved_too_far(scalars["approx_kl"]):
                    return history
                scalars["grad_norm"], scalars["skipped_updates"] = apply_gradients(
                    self.optimizer, self.config.max_grad_norm, self.processes
                )
        return history

    def _advantages(self, rollout: Rollout, minibatches: Sequence[Tensor]) -> list[Tensor]:
        """Advantages `[T, n]` of each minibatch, given by its environments."""
        advantage = rollout.advantage
        parts = [advantage.index_select(1, send(one, advantage.device)) for one in minibatches]
        return normalize(parts, self.processes) if self.config.normalize_advantage else parts

    def _add_gradients(
        self, experience: Experience, environments: Tensor, advantage: Tensor, interrupted: Callable[[], bool]
    ) -> dict[str, Tensor] | None:
        """Go through a minibatch in passes of `envs_per_pass`; returns its scalars, or None if interrupted."""
        total: dict[str, Tensor] = {}
        passes = zip(environments.split(self.envs_per_pass), advantage.split(self.envs_per_pass, dim=1), strict=True)
        for chosen, chosen_advantage in passes:
            if interrupted():
                return None
            share = len(chosen) / len(environments)
            scalars = self._backpropagate(experience, chosen, chosen_advantage, share)
            if share < 1.0:
                scalars = {name: share * value + total.get(name, 0.0) for name, value in scalars.items()}
            total = scalars
        return total

    def _backpropagate(
        self, experience: Experience, environments: Tensor, advantage: Tensor, share: float
    ) -> dict[str, Tensor]:
        """Add the gradients of some environments, which are a share of the minibatch; returns their scalars."""
        minibatch = experience.minibatch(environments)
        with self.precision.autocast():
            actions = self.policy.evaluate_actions(
                minibatch.observation, minibatch.start_state, minibatch.starts, minibatch.action
            )
        actions = EvaluatedActions(*(tensor.float() for tensor in actions))
        loss, scalars = self.loss(actions, minibatch, advantage)
        loss.backward(torch.full_like(loss, share))
        return scalars

    def _moved_too_far(self, approx_kl: Tensor) -> bool:
        limit = self.config.target_kl
        return limit is not None and float(self.processes.mean(approx_kl)) > 1.5 * limit


def summarize(epochs: Sequence[Sequence[Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """The scalars of an update from those of the minibatches of each epoch; nothing if there was none."""
    minibatches = [scalars for epoch in epochs for scalars in epoch]
    if not minibatches:
        return {}
    columns = {
        name: torch.stack([scalars[name] for scalars in minibatches if name in scalars]) for name in minibatches[0]
    }
    summary = {name: column.mean() for name, column in columns.items()}
    summary["loss"] = columns["loss"][-1]
    summary["approx_kl"] = columns["approx_kl"][-max(len(epochs[-1]), 1) :].mean()
    if "skipped_updates" in columns:
        summary["skipped_updates"] = columns["skipped_updates"].sum()
    return summary


def explained_variance(value: Tensor, target: Tensor) -> Tensor:
    """1 - Var(target - value) / Var(target), `[]`; NaN where the target does not vary."""
    variance = target.var()
    return torch.where(variance > 0.0, 1.0 - (target - value).var() / variance, torch.nan)
