"""Observations with mean 0 and standard deviation 1, in a way that a checkpoint need not know of.

The mean and the scale are folded into the first layer of the saved network, which then takes observations as they are:

    W ((x - mean) * scale) + b = (W * scale) x + (b - (W * scale) mean)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ppo.processes import Processes

SMALLEST_DEVIATION = 0.01
"""What never changes in training, such as a command that is not given, must not become huge when it does."""


class ObservationNormalizer:
    """Mean and standard deviation over all observations of a training.

    They change only in `update`, between the improvement of the policy and the next rollout, so that an update judges
    actions with the network that chose them.

    Args:
        observation_dim: `D`.
        device: of the observations.
    """

    def __init__(self, observation_dim: int, device: torch.device) -> None:
        self._sums = torch.zeros(3, observation_dim, dtype=torch.float64, device=device)
        """Number, sum and sum of squares of what was observed."""
        self.mean = torch.zeros(observation_dim, device=device)
        """`[D]`."""
        self.scale = torch.ones(observation_dim, device=device)
        """`[D]`, one over the standard deviation."""

    def __call__(self, observation: Tensor) -> Tensor:
        """Normalise `[..., D]`."""
        return (observation - self.mean) * self.scale

    def update(self, observation: Tensor, processes: Processes) -> None:
        """Take in the observations `[..., D]` of a rollout, and those of the other processes."""
        wide = observation.reshape(-1, observation.shape[-1]).double()
        sums = torch.stack((torch.full_like(wide[0], float(wide.shape[0])), wide.sum(0), (wide**2).sum(0)))
        self._sums += processes.sum(sums)
        self._measure()

    def fold(self, parameters: Mapping[str, Tensor], layers: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
        """Parameters of the same network for observations that are not normalised.

        Args:
            parameters: by name.
            layers: names of weight `[H, D]` and bias `[H]` of every layer that observations enter.
        """
        folded = dict(parameters)
        for weight, bias in layers:
            scaled = parameters[weight].double() * self.scale.double()
            folded[weight] = scaled.to(parameters[weight].dtype)
            folded[bias] = (parameters[bias].double() - scaled @ self.mean.double()).to(parameters[bias].dtype)
        return folded

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs."""
        return {"sums": self._sums.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._sums.copy_(state["sums"])
        # Nothing has been observed where a training was stopped in its first rollout.
        if self._sums[0].any():
            self._measure()

    def _measure(self) -> None:
        count, total, squares = self._sums
        mean = total / count
        deviation = (squares / count - mean**2).clamp(min=0.0).sqrt().clamp(min=SMALLEST_DEVIATION)
        self.mean, self.scale = mean.float(), (1.0 / deviation).float()
