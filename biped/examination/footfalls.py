"""Touchdowns, told from chatter."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

SHORTEST_CONTACT = 0.04
"""s; a foot that touches or leaves the ground for less than this only chatters."""


class Footfalls(NamedTuple):
    """What the feet of `N` robots did in one control step."""

    grounded: Tensor
    """`[N, 2]` bool; the foot is on the ground, chatter left out."""
    touchdown: Tensor
    """`[N, 2]` bool; a swing that was seen to begin ended."""
    swing_height: Tensor
    """`[N, 2]` m; highest point of the swing that ended, valid at a `touchdown`."""
    compared: Tensor
    """`[N]` touchdowns that another one came before."""
    alternating: Tensor
    """`[N]` of these, the ones of the other foot than before."""


class StepTracker:
    """Tells touchdowns of `N` robots from chatter, and one foot's from the other's.

    A foot changes between ground and air once its contact has read differently for `SHORTEST_CONTACT`, so either
    change is noticed late by the same time.
    """

    def __init__(self, num_envs: int, control_dt: float, device: torch.device) -> None:
        """Start with both feet in the air, in no swing."""
        self._least_steps = max(1, math.ceil(SHORTEST_CONTACT / control_dt - 1e-6))
        self._grounded = torch.zeros(num_envs, 2, dtype=torch.bool, device=device)
        self._differing_steps = torch.zeros(num_envs, 2, dtype=torch.int32, device=device)
        self._swinging = self._grounded.clone()
        self._highest = torch.zeros(num_envs, 2, device=device)
        self._last_landed = self._grounded.clone()

    def step(self, contact: Tensor, foot_height: Tensor) -> Footfalls:
        """Move on by one control step, with contacts `[N, 2]` bool and heights of the soles `[N, 2]` in m."""
        self._differing_steps = (self._differing_steps + 1) * (contact != self._grounded)
        changed = self._differing_steps >= self._least_steps
        self._differing_steps = self._differing_steps * ~changed
        self._grounded = grounded = self._grounded ^ changed

        lifted, touchdown = changed & ~grounded, changed & grounded & self._swinging
        self._swinging = (self._swinging | lifted) & ~touchdown
        self._highest = torch.where(lifted, foot_height, torch.maximum(self._highest, foot_height))

        landed = touchdown.sum(dim=-1)
        compared = landed * self._last_landed.any(dim=-1)
        alternating = (landed == 1) & (compared > 0) & ~(touchdown & self._last_landed).any(dim=-1)
        self._last_landed = torch.where((landed > 0).unsqueeze(-1), touchdown, self._last_landed)
        return Footfalls(grounded, touchdown, self._highest, compared, alternating)
