"""The PPO loss, and one optimisation over a rollout: epochs of minibatches of whole environments."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from ppo.learning_rate import LearningRateConfig
from ppo.optimizer import FlatAdam
from ppo.policy import EvaluatedActions, RecurrentActorCritic
from ppo.processes import Processes
from ppo.recurrence import LstmState
from ppo.rollout import Experience, Minibatch, Rollout, critic_pass, generalized_advantage
from ppo.runtime import Precision, send
from ppo.value_ranges import ConfigurationError, Range, check_ranges

LIMIT = Range(0.0, 1e12, open=True)
"""Of what may be so large that it limits nothing."""


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters of the algorithm."""

    n_steps: Annotated[int, Range(1, 1_000_000)] = 32
    """Control steps per rollout and environment, `T`."""
    n_minibatches: Annotated[int, Range(1, 1_000_000)] = 4
    """Minibatches per epoch; each is a set of whole environments."""
    batch_size: Annotated[int | None, Range(1, 10**12)] = None
    """Samples per minibatch; if given it replaces `n_minibatches` and must be a multiple of `n_steps`."""
    n_epochs: Annotated[int, Range(1, 10_000)] = 10
    """Passes over each rollout."""
    learning_rate: Annotated[float, Range(0.0, 10.0, open=True)] = 1e-4
    """Adam step size at the start."""
    lr: LearningRateConfig = field(default_factory=LearningRateConfig)
    """How the learning rate changes."""
    gamma: Annotated[float, Range(0.0, 1.0)] = 0.99
    """Discount per control step."""
    gae_lambda: Annotated[float, Range(0.0, 1.0)] = 0.95
    """Decay of the advantage estimate."""
    clip_range: Annotated[float, LIMIT] = 0.2
    """How far the probability ratio may leave 1 before its gradient is cut; narrower with replay."""
    clip_range_vf: Annotated[float | None, LIMIT] = None
    """How far a value may move from its old prediction; None for no limit."""
    ent_coef: Annotated[float, Range(-1e6, 1e6)] = 0.01
    """Weight of the entropy bonus."""
    vf_coef: Annotated[float, Range(0.0, 1e6)] = 1.0
    """Weight of the value loss."""
    max_grad_norm: Annotated[float, Range(0.0, math.inf, open=True)] = 1.0
    """Gradients are scaled down to this global norm; inf leaves them as they are."""
    normalize_advantage: bool = True
    """Give each minibatch's advantages mean 0 and standard deviation 1."""
    normalize_observation: bool = False
    """Give the network observations of mean 0 and standard deviation 1. Checkpoints take them as they are: both are
    folded into the first layer."""
    target_kl: Annotated[float | None, LIMIT] = None
    """Stop an update when the KL divergence exceeds 1.5 times this; None to never stop. Waits for the device."""
    replay: Annotated[int, Range(1, 1000)] = 1
    """Rollouts that an update learns from, the newest included; more than 1 is Generalised PPO."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if LIMIT.high < self.max_grad_norm < math.inf:
            # Beyond, what checkpoints hold is no float32 any more.
            problem = f"must be at most {LIMIT.high:g}, or inf, not {self.max_grad_norm:g}"
            raise ConfigurationError(type(self), "max_grad_norm", problem)
        if self.lr.schedule == "adaptive" and not self.lr.minimum <= self.learning_rate <= self.lr.maximum:
            raise ConfigurationError(
                type(self),
                "learning_rate",
                f"{self.learning_rate:g} lies outside the range of the adaptive schedule, {self.lr.minimum:g} to "
                f"{self.lr.maximum:g}; change it, or lr.minimum and lr.maximum",
            )

    def minibatch_envs(self, num_envs: int) -> int:
        """Environments per minibatch.

        Raises:
            ConfigurationError: the environments cannot be divided into equal minibatches.
        """
        if self.batch_size is None:
            if num_envs % self.n_minibatches:
                problem = f"{self.n_minibatches} does not divide {num_envs} environments; choose one that does"
                raise ConfigurationError(type(self), "n_minibatches", problem)
            return num_envs // self.n_minibatches
        if self.batch_size < 1 or self.batch_size % self.n_steps or (num_envs * self.n_steps) % self.batch_size:
            problem = (
                f"{self.batch_size} does not divide the rollout of {num_envs} x {self.n_steps} samples into whole "
                f"environments; choose a multiple of {self.n_steps} that divides {num_envs * self.n_steps}"
            )
            raise ConfigurationError(type(self), "batch_size", problem)
        return self.batch_size // self.n_steps

    def sb3_hyperparameters(self, num_envs: int, rate: float, seed: int) -> dict[str, float | int | bool | None]:
        """The values under the names that Stable-Baselines3 gives them; `rate` is the current learning rate."""
        names = "n_steps n_epochs gamma gae_lambda clip_range clip_range_vf ent_coef vf_coef max_grad_norm"
        return {
            **{name: getattr(self, name) for name in (*names.split(), "normalize_advantage", "target_kl")},
            "learning_rate": rate,
            "batch_size": self.minibatch_envs(num_envs) * self.n_steps,
            "seed": seed,
        }


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
        self.last_epochs = 0
        """Epochs of the last update, one that was cut off included, as SB3 counts them."""

    @property
    def update_config(self) -> PPOConfig:
        """Hyper-parameters of the next update."""
        return self.config

    def prepare(self, newest: Experience) -> tuple[Experience, LstmState]:
        """Fill in values, advantages and returns.

        Args:
            newest: what was collected last, by the policy as it is.

        Returns:
            What to learn from, and the critic's state after the newest rollout.
        """
        with torch.no_grad():
            values, next_values, critic_state = critic_pass(self.policy, newest)
        rollout, config = newest.rollout, self.config
        advantage = generalized_advantage(
            rollout.reward, values, next_values, rollout.done, config.gamma, config.gae_lambda
        )
        rollout.value.copy_(values)
        rollout.advantage.copy_(advantage)
        rollout.returns.copy_(advantage + values)
        return newest, critic_state

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
            interrupted: asked between minibatches, by several processes between epochs; True ends the update early.

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
            # Several processes must agree on it, which takes an exchange.
            if self.processes.count > 1 and interrupted():
                break
            minibatches = next(epochs)
            history.append([])
            for environments, advantage in zip(
                minibatches, self._advantages(experience.rollout, minibatches), strict=True
            ):
                if self.processes.count == 1 and interrupted():
                    return history
                loss, scalars = self._minibatch_loss(experience.minibatch(environments), advantage)
                history[-1].append(scalars)
                if self._moved_too_far(scalars["approx_kl"]):
                    return history
                self.optimizer.zero_grad()
                loss.backward()
                scalars["grad_norm"], scalars["skipped_updates"] = apply_gradients(
                    self.optimizer, self.config.max_grad_norm, self.processes
                )
        return history

    def _advantages(self, rollout: Rollout, minibatches: Sequence[Tensor]) -> list[Tensor]:
        """Advantages `[T, n]` of each minibatch, given by its environments."""
        advantage = rollout.advantage
        parts = [advantage.index_select(1, send(one, advantage.device)) for one in minibatches]
        return normalize(parts, self.processes) if self.config.normalize_advantage else parts

    def _minibatch_loss(self, minibatch: Minibatch, advantage: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with self.precision.autocast():
            actions = self.policy.evaluate_actions(
                minibatch.observation, minibatch.start_state, minibatch.starts, minibatch.action
            )
        return self.loss(EvaluatedActions(*(tensor.float() for tensor in actions)), minibatch, advantage)

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
