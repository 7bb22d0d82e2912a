"""Whether the tracked joints swing at one common frequency, as legs and trunk do in a steady walk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from biped.task.buffers import Buffers
from ppo.value_ranges import Range, check_ranges


@dataclass(frozen=True)
class HarmonicMotionConfig:
    """Which joints are tracked, and over what time."""

    joints: tuple[str, ...] = ()
    """Names of the tracked joints; the robot's own `rhythmic` ones if none is given."""
    time_constant: Annotated[float, Range(0.0, 1e6)] = 0.6
    """s; averages forget with this time constant. About one period of the gait."""
    amplitude: Annotated[float, Range(1e-6, 1e6)] = 0.05
    """rad; root mean square of a joint's swing at which it counts half. One that hardly moves counts for nothing."""

    def __post_init__(self) -> None:
        check_ranges(self)


def harmonic_score(variance: Tensor, power: Tensor, amplitude: float) -> Tensor:
    """How alike the frequencies of several joints are, from 0 (at rest or unlike) to 1 (all swing alike).

    Simple harmonic motion about a mean has `q'' = -w^2 (q - mean)`. Solving that for `w^2` at one instant divides by
    a quantity that passes through zero twice in every swing. Averaged over time the same motion has
    `E[q'^2] = w^2 Var[q]`, and the variance of a joint that moves does not vanish. The score is

        exp(-Var_j(w_j^2) / E_j(w_j^2)^2) * mean_j(g_j),   g_j = Var[q_j]^2 / (Var[q_j]^2 + amplitude^4),

    whose mean and variance over the joints are weighted by `g_j`: dimensionless, so it does not prefer slow motions.
    The square in `g_j` bounds what a joint that only trembles adds to the variance, however fast it does:
    `g_j w_j^4 <= E[q_j'^2]^2 / amplitude^4`.

    Args:
        variance: `[N, K]` rad^2, of each joint's position over time.
        power: `[N, K]` rad^2/s^2, mean square of each joint's velocity over time.
        amplitude: rad, at which a joint counts half.

    Returns:
        `[N]`.
    """
    tiny = 1e-6
    squared_variance = variance.square()
    weight = squared_variance / (squared_variance + amplitude**4)
    share = weight / (weight.sum(dim=-1, keepdim=True) + tiny)
    squared_frequency = power / (variance + tiny)
    mean = (share * squared_frequency).sum(dim=-1, keepdim=True)
    spread = (share * (squared_frequency - mean).square()).sum(dim=-1)
    return torch.exp(spread / (-tiny - mean.squeeze(-1).square())) * weight.mean(dim=-1)


class HarmonicMotion(Buffers):
    """Exponential moving statistics of `K` tracked joints of `N` robots with `J` joints."""

    persistent: ClassVar[tuple[str, ...]] = ("_mean", "_variance", "_power")

    def __init__(
        self,
        config: HarmonicMotionConfig,
        tracked: Sequence[int],
        default_joint_position: Tensor,
        num_envs: int,
        control_dt: float,
    ) -> None:
        """Start at rest in the default pose `[J]` rad; `tracked` are the indices of the `K` joints."""
        self._amplitude = config.amplitude
        self._rate = control_dt / (control_dt + config.time_constant)
        self._tracked = torch.tensor(tracked, dtype=torch.int64, device=default_joint_position.device)
        self._mean = default_joint_position.index_select(0, self._tracked).repeat(num_envs, 1)
        self._variance = torch.zeros_like(self._mean)
        self._power = torch.zeros_like(self._mean)

    def step(self, joint_position: Tensor, joint_velocity: Tensor) -> Tensor:
        """Take in positions and velocities `[N, J]` in rad and rad/s and return the score `[N]`.

        The variance is updated incrementally (T. Finch, Incremental calculation of weighted mean and variance, 2009),
        which cannot become negative as a difference of two averages can.
        """
        deviation = joint_position.index_select(1, self._tracked) - self._mean
        self._mean = torch.add(self._mean, deviation, alpha=self._rate)
        self._variance = torch.addcmul(self._variance, deviation, deviation, value=self._rate).mul_(1.0 - self._rate)
        power = joint_velocity.index_select(1, self._tracked).square_()
        self._power = torch.lerp(self._power, power, self._rate)
        return harmonic_score(self._variance, self._power, self._amplitude)

    def reset(self, mask: Tensor, joint_position: Tensor) -> None:
        """Begin anew for the robots in `mask` `[N]` bool, at rest in `joint_position` `[N, J]` rad."""
        masked = mask.unsqueeze(-1)
        self._mean = torch.where(masked, joint_position.index_select(1, self._tracked), self._mean)
        self._variance.masked_fill_(masked, 0.0)
        self._power.masked_fill_(masked, 0.0)
