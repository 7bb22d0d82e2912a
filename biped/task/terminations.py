"""When an episode ends, and why."""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from biped.simulators.state import State
from ppo.value_ranges import Range, check_ranges


@dataclass(frozen=True)
class TerminationConfig:
    """What counts as a fall."""

    tilt_limit_deg: Annotated[float, Range(0.0, 1e6)] = 30.0
    """Largest roll and largest pitch of the base, degrees, either way."""
    minimum_height: Annotated[float | None, Range(-1e6, 1e6)] = None
    """m; lowest height of the base above the ground, the robot's own `lowest` one if not given."""

    def __post_init__(self) -> None:
        check_ranges(self)


class EpisodeEnd(NamedTuple):
    """Which of `N` episodes ended in this control step; at most one cause holds for each."""

    simulation_error: Tensor
    """`[N]` bool; the simulator failed for this robot."""
    fall_tilt: Tensor
    """`[N]` bool; rolled or pitched too far."""
    fall_height: Tensor
    """`[N]` bool; sank too low."""
    time_out: Tensor
    """`[N]` bool; reached the longest duration, and nothing else happened."""

    @property
    def fell(self) -> Tensor:
        """`[N]` bool; by the robot's own doing."""
        return self.fall_tilt | self.fall_height

    @property
    def terminated(self) -> Tensor:
        """`[N]` bool; ended for good."""
        return self.fell | self.simulation_error


def episode_end(
    state: State, episode_steps: Tensor, longest_episode: int, config: TerminationConfig, lowest_height: float
) -> EpisodeEnd:
    """Decide which episodes end.

    Where several causes hold, the one that says most is named: simulation error, tilt, height, time-out.

    Args:
        state: After the control step.
        episode_steps: `[N]` int64, control steps of each episode, this one included.
        longest_episode: Control steps after which an episode times out.
        config: What counts as a fall.
        lowest_height: m, of the base, as the robot or the configuration says.
    """
    error = state.failed
    tilted = (state.roll_pitch_yaw[:, :2].abs() > math.radians(config.tilt_limit_deg)).any(dim=-1)
    low = state.base_position[:, 2] < lowest_height
    late = episode_steps >= longest_episode
    upset = error | tilted
    # Of two masks, `a > b` is what is in `a` and not in `b`.
    return EpisodeEnd(error, tilted > error, low > upset, late > (upset | low))


def count_causes(end: EpisodeEnd) -> dict[str, Tensor]:
    """How many episodes ended for each cause: scalars `[]` float32 named `episode/<cause>`."""
    counts = torch.stack(end).sum(dim=1, dtype=torch.float32)
    return {f"episode/{name}": count for name, count in zip(EpisodeEnd._fields, counts.unbind(), strict=True)}
