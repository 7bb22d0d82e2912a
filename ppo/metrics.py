"""From sums on the device to numbers on the host, in one transfer per iteration."""

import math
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from ppo.episodes import EpisodeStatistics
from ppo.processes import Processes

Fractions: TypeAlias = dict[str, tuple[Tensor, Tensor]]
"""Numerator and denominator of each mean, scalars `[]` on the device: only so can means be joined over processes."""


def iteration_fractions(
    update_scalars: Mapping[str, Tensor],
    step_sums: Mapping[str, Tensor],
    episodes: EpisodeStatistics,
    length: int,
) -> Fractions:
    """Name the means of one iteration.

    Args:
        update_scalars: what the update returned.
        step_sums: the environment's metrics, summed over the rollout.
        episodes: after the rollout.
        length: `T`, steps of the rollout.
    """
    (returns, lengths), count = episodes.sums()
    one = torch.ones_like(returns)
    fractions: Fractions = {f"train/{name}": (value, one) for name, value in update_scalars.items()}
    fractions["rollout/ep_rew_mean"] = returns, count
    fractions["rollout/ep_len_mean"] = lengths, count
    for name, total in step_sums.items():
        fractions[name] = total, episodes.ended_in_rollout if name.startswith("episode/") else one * length
    return fractions


def read_fractions(fractions: Fractions, processes: Processes) -> dict[str, float]:
    """Bring means to the host, over all processes; NaN where nothing was counted."""
    table = torch.stack([torch.stack((above.float(), below.float())) for above, below in fractions.values()])
    rows = processes.sum(table).tolist()
    return {name: above / below if below else math.nan for name, (above, below) in zip(fractions, rows, strict=True)}
