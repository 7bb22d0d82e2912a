"""The contract between an environment and the trainer: what `step` takes and what it gives back."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Step(NamedTuple):
    """What one control step of all environments returns. Every tensor lies on the environment's device."""

    observation: Tensor
    """`[N, D]` float32; of the new episode where one began in this step."""
    reward: Tensor
    """`[N]` float32."""
    terminated: Tensor
    """`[N]` bool; the episode ended for good (the robot fell)."""
    truncated: Tensor
    """`[N]` bool; the episode ended by time-out only. Never set together with `terminated`."""
    final_observation: Tensor
    """`[N, D]` float32; the last observation of the episode that ended. Valid where `terminated | truncated`."""
    metrics: Mapping[str, Tensor]
    """Named scalars `[]` on the device, the same names in every step.

    Names under `episode/` count the episodes that ended in this step for one cause; the trainer divides their sum by
    the number of episodes that ended. All other names are means over the environments, averaged over the rollout.
    """


class VecEnv(Protocol):
    """`N` environments stepped together, resetting themselves one by one inside `step`.

    `step` runs without a host synchronisation: no `.item()`, no `.cpu()`, no `nonzero()`; resets are masked.

    An environment may also have `privileged_columns`, a sequence of integers: the columns of its observation that only
    the critic may see, such as what a simulator knows and no sensor measures.
    """

    num_envs: int
    """`N`."""
    observation_dim: int
    """`D`."""
    action_dim: int
    """`A`."""
    action_low: Tensor
    """`[A]` lower action bounds; the policy's actions are clipped to the bounds before `step`."""
    action_high: Tensor
    """`[A]` upper action bounds."""
    device: torch.device

    def reset(self) -> Tensor:
        """Start a new episode in every environment and return its first observation `[N, D]`."""
        ...

    def step(self, action: Tensor) -> Step:
        """Apply `action` `[N, A]` for one control step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue exactly here: tensors, numbers, strings, lists and dicts of them."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        """Continue where `state_dict` was taken; returns the current observation `[N, D]`."""
        ...

    def close(self) -> None:
        """Release what the environment holds; it is not used afterwards."""
        ...


def privileged_columns(env: VecEnv) -> Sequence[int]:
    """Columns of the observation that only the critic may see; none where the environment does not say."""
    columns: Sequence[int] = getattr(env, "privileged_columns", ())
    return columns


def zero_where_not_finite(tensor: Tensor) -> Tensor:
    """The tensor with every value that is not finite replaced by zero: one broken robot must not reach the others."""
    return torch.nan_to_num(tensor, nan=0.0, posinf=0.0, neginf=0.0)
