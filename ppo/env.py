"""The contract between an environment and the trainer: what `step` takes and what it gives back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

Remembered = tuple[object, Sequence[str]]
"""An object, and the names of its attributes that hold tensors, or containers of tensors, from one call to the next."""


class Recorder(Protocol):
    """Makes functions faster that are called again and again with tensors of the same shapes."""

    def __call__(
        self,
        function: Callable[P, R],
        memory: Sequence[Remembered] = (),
        generators: Sequence[torch.Generator] = (),
    ) -> Callable[P, R]:
        """A function that does the same; what it returns may be overwritten by its next call.

        Args:
            function: with positional arguments and results that are tensors, numbers or containers of them. It waits
                for nothing, and changes only tensors in place and the attributes in `memory`. What it reads beside
                these and its arguments stays in the same memory.
            memory: what the function may replace by other tensors, or others may between its calls.
            generators: of the random numbers that it draws.
        """
        ...


def unrecorded(
    function: Callable[P, R], memory: Sequence[Remembered] = (), generators: Sequence[torch.Generator] = ()
) -> Callable[P, R]:
    """The `Recorder` that leaves functions as they are."""
    return function


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

    What `step` returns is valid until the next step.

    An environment may also have `privileged_columns`, a sequence of integers: the columns of its observation that only
    the critic may see, such as what a simulator knows and no sensor measures. And it may have a method
    `record(recorder: Recorder)`, which lets it record what it does in every step.
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


def record_environment(env: VecEnv, recorder: Recorder) -> None:
    """Let the environment record what it does in every step, if it can."""
    record: Callable[[Recorder], None] | None = getattr(env, "record", None)
    if record is not None:
        record(recorder)


def zero_where_not_finite(tensor: Tensor) -> Tensor:
    """The tensor with every value that is not finite replaced by zero: one broken robot must not reach the others."""
    return torch.nan_to_num(tensor, nan=0.0, posinf=0.0, neginf=0.0)
