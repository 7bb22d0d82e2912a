"""What a Stable-Baselines3 checkpoint of a recurrent PPO says."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ppo.policy import PolicyConfig

HYPERPARAMETERS: Mapping[str, type] = {
    "learning_rate": float,
    "clip_range": float,
    "clip_range_vf": float,
    "n_steps": int,
    "batch_size": int,
    "n_epochs": int,
    "gamma": float,
    "gae_lambda": float,
    "ent_coef": float,
    "vf_coef": float,
    "max_grad_norm": float,
    "normalize_advantage": bool,
    "target_kl": float,
    "seed": int,
}
"""Names of the hyper-parameters, in the order of a file, and their types."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written; the message is one line that names the file and the remedy."""

    def __init__(self, message: str) -> None:
        """Keep `message`, which may quote a foreign file, without line breaks and control characters."""
        super().__init__("".join(character if character.isprintable() else "?" for character in message))


@dataclass(frozen=True, eq=False)
class Sb3Model:
    """A recurrent PPO model as a Stable-Baselines3 checkpoint holds it."""

    policy: PolicyConfig
    """Shape of the network."""
    observation_dim: int
    """`D`."""
    action_low: tuple[float, ...]
    """`A` lower action bounds."""
    action_high: tuple[float, ...]
    """`A` upper action bounds."""
    parameters: dict[str, Tensor]
    """float32 tensors under Stable-Baselines3's names, in its order: `expected_shapes`."""
    optimizer: dict[str, Any] | None
    """`state_dict` of `torch.optim.Adam` over the parameters in their order, one group. None, or an empty `state`,
    stands for an optimiser that starts anew."""
    hyperparameters: Mapping[str, float | int | bool | None]
    """Values for the names in `HYPERPARAMETERS`. None where the file does not tell (schedules other than constants;
    every clip range of Stable-Baselines3 before 2.7) or where None switches the feature off."""
    num_timesteps: int
    """Environment steps so far, all environments together."""
    n_updates: int
    """Epochs of optimisation so far."""
    own_facts: Mapping[str, Any] | None = None
    """JSON facts of our own; Stable-Baselines3 carries them along."""
    own_state: Mapping[str, Any] | None = None
    """Tensors and plain values of our own (`ppo.checkpoint.tensor_archive.Tree`); Stable-Baselines3 drops them."""

    def lightened(self) -> "Sb3Model":
        """The same without what only continuing exactly from here would need: Adam's moments and the environments."""
        optimizer = None if self.optimizer is None else {**self.optimizer, "state": {}}
        own_state = None if self.own_state is None else {**self.own_state, "processes": []}
        return replace(self, optimizer=optimizer, own_state=own_state)


def bounds_conflict(model: Sb3Model, low: Sequence[float], high: Sequence[float]) -> str | None:
    """One line where the environment's action bounds, `A` each, are not those of the model; None where they are."""
    if all(
        math.isclose(ours, theirs, rel_tol=1e-6)
        for ours, theirs in zip((*model.action_low, *model.action_high), (*low, *high), strict=True)
    ):
        return None

    def text(low: Sequence[float], high: Sequence[float]) -> str:
        ranges = [f"{lowest:g} to {highest:g}" for lowest, highest in zip(low, high, strict=True)]
        return ranges[0] if len(set(ranges)) == 1 else ", ".join(ranges)

    return (
        f"the model's actions lie within {text(model.action_low, model.action_high)}, the task takes "
        f"{text(low, high)}: they are clipped to what both allow"
    )
