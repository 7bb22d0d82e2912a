"""The PPO loss, and one optimisation over a rollout: epochs of minibatches of whole environments."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor

from ppo.learning_rate import LearningRateConfig
from ppo.optimizer import FlatAdam
from ppo.policy import Evaluation, RecurrentActorCritic, RecurrentState
from ppo.processes import Processes
from ppo.recurrence import EpisodeStarts
from ppo.rollout import Rollout
from ppo.runtime import Precision
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
            ValueError: the environments cannot be divided into equal minibatches.
        """
        if self.batch_size is None:
            if num_envs % self.n_minibatches:
                raise ValueError(
                    f"--num-envs {num_envs} cannot be divided into {self.n_minibatches} minibatches; use a multiple of "
                    f"{self.n_minibatches}, or set --ppo.n-minibatches"
                )
            return num_envs // self.n_minibatches
        if self.batch_size < 1 or self.batch_size % self.n_steps or (num_envs * self.n_steps) % self.batch_size:
            raise ValueError(
                f"--ppo.batch-size {self.batch_size} does not divide the rollout of {num_envs} x {self.n_steps} "
                f"samples into whole environments; use a multiple of {self.n_steps} "
                f"that divides {num_envs * self.n_steps}"
            )
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


def ppo_loss(
    evaluation: Evaluation,
    old_log_prob: Tensor,
    old_value: Tensor,
    advantage: Tensor,
    target: Tensor,
    config: PPOConfig,
    proximal_log_prob: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Clipped surrogate loss (Schulman et al. 2017, arXiv 1707.06347) as Stable-Baselines3 computes it.

    Where an older policy took the actions, the ratio to its probabilities is clipped around that of the policy at the
    start of the update (Queeney et al. 2021, arXiv 2111.00072), instead of around 1.

    Args:
        evaluation: the current policy's judgement, `[T, n]` each.
        old_log_prob: `[T, n]`, when the action was taken.
        old_value: `[T, n]`, at the start of the update.
        advantage: `[T, n]`, normalised already if it shall be.
        target: `[T, n]`; the return that the value should predict.
        config: clip ranges and weights.
        proximal_log_prob: `[T, n]`, at the start of the update; None where it is `old_log_prob`.

    Returns:
        The loss and detached scalars to log, among them the KL divergence estimate mean((r - 1) - log r), r being the
        ratio to the policy at the start of the update (http://joschu.net/blog/kl-approx.html).
    """
    log_ratio = evaluation.log_prob - old_log_prob
    ratio = log_ratio.exp()
    center: Tensor | float = 1.0
    if proximal_log_prob is None:
        clipped = ratio.clamp(1.0 - config.clip_range, 1.0 + config.clip_range)
    else:
        center = (proximal_log_prob - old_log_prob).exp()
        clipped = ratio.clamp(center - config.clip_range, center + config.clip_range)
        log_ratio = evaluation.log_prob - proximal_log_prob
    policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
    value = evaluation.value
    if config.clip_range_vf is not None:
        value = old_value + (value - old_value).clamp(-config.clip_range_vf, config.clip_range_vf)
    value_loss = (target - value).square().mean()
    entropy_loss = -evaluation.entropy.mean()
    loss = policy_loss + config.ent_coef * entropy_loss + config.vf_coef * value_loss
    with torch.no_grad():
        scalars = {
            "loss": loss.detach(),
            "policy_gradient_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "entropy_loss": entropy_loss.detach(),
            "approx_kl": ((ratio - center) - center * log_ratio).mean(),
            "clip_fraction": ((ratio - center).abs() > config.clip_range).float().mean(),
        }
    return loss, scalars


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


def update(
    policy: RecurrentActorCritic,
    optimizer: FlatAdam,
    rollout: Rollout,
    episode_start: Tensor,
    config: PPOConfig,
    generator: torch.Generator,
    precision: Precision,
    processes: Processes,
    interrupted: Callable[[], bool] = lambda: False,
    minibatches_per_epoch: int | None = None,
) -> dict[str, Tensor]:
    """Optimise the policy on one rollout.

    Args:
        policy: network to improve in place.
        optimizer: its Adam.
        rollout: with advantages and returns.
        episode_start: `[T, N]` bool on the host.
        config: hyper-parameters.
        generator: host generator that draws the environments of each minibatch.
        precision: arithmetic of the forward pass.
        processes: over which gradients and statistics are averaged.
        interrupted: asked between minibatches, by several processes between epochs; True ends the update early.
        minibatches_per_epoch: the next epoch begins after so many; None for all environments. Either way all are used
            equally often, up to one time.

    Returns:
        Scalars `[]` on the device, of this process's environments; the norm of the gradient is that of all.
        `approx_kl` is the last epoch's mean and `loss` the last minibatch's, as in SB3; the others are means over all
        minibatches, `skipped_updates` their number with gradients that were not finite.
    """
    history: list[dict[str, Tensor]] = []
    epoch_kl: list[Tensor] = []
    stopped = False
    stream = itertools.chain.from_iterable(
        _draw_minibatches(rollout.num_envs, config, generator) for _ in itertools.count()
    )
    if minibatches_per_epoch is None:
        minibatches_per_epoch = rollout.num_envs // config.minibatch_envs(rollout.num_envs)
    for _ in range(config.n_epochs):
        # Several processes must agree on it, which takes an exchange.
        if processes.count > 1 and interrupted():
            break
        epoch_kl = []
        minibatches = list(itertools.islice(stream, minibatches_per_epoch))
        for environments, advantage in zip(
            minibatches, _advantages(rollout, minibatches, config, processes), strict=True
        ):
            if processes.count == 1 and interrupted():
                stopped = True
                break
            loss, scalars = _minibatch_loss(policy, rollout, environments, advantage, episode_start, config, precision)
            epoch_kl.append(scalars["approx_kl"])
            history.append(scalars)
            if config.target_kl is not None and float(processes.mean(epoch_kl[-1])) > 1.5 * config.target_kl:
                stopped = True
                break
            optimizer.zero_grad()
            loss.backward()
            scalars["grad_norm"], scalars["skipped_updates"] = apply_gradients(
                optimizer, config.max_grad_norm, processes
            )
        if stopped:
            break
    results = {
        name: torch.stack([entry[name] for entry in history if name in entry])
        for name in (history[0] if history else ())
    }
    summary = {name: values.mean() for name, values in results.items()}
    if history:
        summary["loss"] = results["loss"][-1]
        summary["approx_kl"] = torch.stack(epoch_kl).mean() if epoch_kl else results["approx_kl"][-1]
    if "skipped_updates" in results:
        summary["skipped_updates"] = results["skipped_updates"].sum()
    return summary


def _draw_minibatches(num_envs: int, config: PPOConfig, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices `[n]` of the environments of each minibatch of one epoch, on the host."""
    order = torch.randperm(num_envs, generator=generator)
    yield from order.split(config.minibatch_envs(num_envs))


def _advantages(
    rollout: Rollout, minibatches: Sequence[Tensor], config: PPOConfig, processes: Processes
) -> list[Tensor]:
    """Advantages `[T, n]` of each minibatch, given by its environments on the host."""
    advantage = rollout.fields["advantage"]
    parts = [advantage.index_select(1, one.to(advantage.device, non_blocking=True)) for one in minibatches]
    return normalize(parts, processes) if config.normalize_advantage else parts


def _minibatch_loss(
    policy: RecurrentActorCritic,
    rollout: Rollout,
    environments: Tensor,
    advantage: Tensor,
    episode_start: Tensor,
    config: PPOConfig,
    precision: Precision,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of the environments `[n]` given by their indices on the host, with their advantages `[T, n]`."""
    device = rollout.fields["reward"].device
    host_episode_start = episode_start[:, environments]
    environments = environments.to(device, non_blocking=True)
    batch = {
        name: rollout.fields[name].index_select(1, environments)
        for name in ("observation", "action", "episode_start", "log_prob", "value", "return", "proximal_log_prob")
        if name in rollout.fields
    }
    actor, critic = rollout.start_state
    state = RecurrentState(
        (actor[0][:, environments], actor[1][:, environments]), (critic[0][:, environments], critic[1][:, environments])
    )
    starts = EpisodeStarts(host_episode_start, batch["episode_start"])
    with precision.autocast():
        evaluation = policy.evaluate(batch["observation"], state, starts, batch["action"])
    evaluation = Evaluation(*(tensor.float() for tensor in evaluation))
    return ppo_loss(
        evaluation,
        batch["log_prob"],
        batch["value"],
        advantage,
        batch["return"],
        config,
        batch.get("proximal_log_prob"),
    )


def explained_variance(value: Tensor, target: Tensor) -> Tensor:
    """1 - Var(target - value) / Var(target), `[]`; NaN where the target does not vary."""
    variance = target.var()
    return torch.where(variance > 0.0, 1.0 - (target - value).var() / variance, torch.nan)
