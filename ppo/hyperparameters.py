"""The hyper-parameters of PPO."""

import math
from dataclasses import dataclass, field
from typing import Annotated

import torch

from ppo.learning_rate import LearningRateConfig
from ppo.value_ranges import ConfigurationError, Range, check_ranges

LIMIT = Range(0.0, 1e12, open=True)
"""Of what may be so large that it limits nothing."""
CPU_PASS_OPERATIONS = 1e11
"""Arithmetic operations of a pass through the network on a CPU, which does 20 to 200 thousand million in a second."""


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters of the algorithm."""

    n_steps: Annotated[int, Range(1, 1_000_000)] = 32
    """Control steps per rollout and environment, `T`."""
    n_minibatches: Annotated[int, Range(1, 1_000_000)] = 4
    """Minibatches per epoch; each is a set of whole environments."""
    batch_size: Annotated[int | None, Range(1, 10**12)] = None
    """Samples per minibatch; if given it replaces `n_minibatches` and must be a multiple of `n_steps`."""
    micro_batch_size: Annotated[int | None, Range(1, 10**12)] = None
    """Samples per pass through the network, rounded down to whole environments; the gradients of a minibatch's passes
    add up. Fewer need less memory. If not given, a GPU takes minibatches as a whole, and a CPU so many samples that
    Ctrl-C is heeded within seconds."""
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
        if self.batch_size % self.n_steps or (num_envs * self.n_steps) % self.batch_size:
            problem = (
                f"{self.batch_size} does not divide the rollout of {num_envs} x {self.n_steps} samples into whole "
                f"environments; choose a multiple of {self.n_steps} that divides {num_envs * self.n_steps}"
            )
            raise ConfigurationError(type(self), "batch_size", problem)
        return self.batch_size // self.n_steps

    def envs_per_pass(self, parameters: int, device: torch.device) -> int:
        """Environments per pass through a network with so many parameters."""
        samples = self.micro_batch_size
        if samples is None:
            # A multiplication and an addition for every parameter, forwards once and backwards twice.
            samples = int(CPU_PASS_OPERATIONS / (6.0 * parameters)) if device.type == "cpu" else 10**12
        return max(1, samples // self.n_steps)

    def sb3_hyperparameters(self, num_envs: int, rate: float, seed: int) -> dict[str, float | int | bool | None]:
        """The values under the names that Stable-Baselines3 gives them; `rate` is the current learning rate."""
        names = "n_steps n_epochs gamma gae_lambda clip_range clip_range_vf ent_coef vf_coef max_grad_norm"
        return {
            **{name: getattr(self, name) for name in (*names.split(), "normalize_advantage", "target_kl")},
            "learning_rate": rate,
            "batch_size": self.minibatch_envs(num_envs) * self.n_steps,
            "seed": seed,
        }
