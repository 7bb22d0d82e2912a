"""Changes to the recipe that no flag makes: `python -m benchmarks.ideas NAME [flags of train.py]` trains with one.

They are here to be measured, by `benchmarks.ablation` or alone; what pays moves into the project.
"""

import sys
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

import biped.env
import train
from biped.env import BipedEnv
from biped.simulators.state import State
from biped.task.commands import Commands
from biped.task.randomization import pushed_velocity
from biped.task.reward_terms import RewardInputs
from biped.task.terminations import EpisodeEnd
from ppo.env import Step

GROWTH_STEPS = 1000
"""Control steps of each robot in which a curriculum reaches the whole task."""
STRIDE_S = 0.6
"""s: the clock's period."""


class GrowingCommands(Commands):
    """Commands start at 0.3 of their range."""

    _full: tuple[Tensor, Tensor] | None = None
    _steps = 0

    def step(self, episode_steps: Tensor) -> None:
        """As the base class, from a range that grows."""
        if self._full is None:
            self._full = self._low, self._span
        grown = min(1.0, 0.3 + 0.7 * self._steps / GROWTH_STEPS)
        self._low, self._span = self._full[0] * grown, self._full[1] * grown
        self._steps += 1
        super().step(episode_steps)


class SmoothedVelocityEnv(BipedEnv):
    """Pays for the planar velocity averaged over about a stride, so that its swing within one costs nothing."""

    _velocity: Tensor | None = None

    def _reward_inputs(self, previous_action: Tensor, end: EpisodeEnd) -> RewardInputs:
        inputs = super()._reward_inputs(previous_action, end)
        now = inputs.state.base_linear_velocity
        if self._velocity is None:
            self._velocity = now[:, :2]
        smooth = torch.lerp(self._velocity, now[:, :2], self.control_dt / STRIDE_S)
        self._velocity = torch.where(self._began.unsqueeze(-1), now[:, :2], smooth)
        planar = torch.cat((self._velocity, now[:, 2:]), dim=-1)
        return inputs._replace(state=inputs.state._replace(base_linear_velocity=planar))


class GrowingDisturbancesEnv(BipedEnv):
    """Pushes grow from nothing to their full speed, latency from its lowest to its highest."""

    def step(self, action: Tensor) -> Step:
        """As the base class, with weaker disturbances at first."""
        grown = min(1.0, self._step_count / GROWTH_STEPS)

        def pushed(state: State, at_rest: Tensor, speed: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            return pushed_velocity(state, at_rest, speed * grown, generator)

        biped.env.pushed_velocity = pushed  # type: ignore[attr-defined]
        low, high = self.config.randomization.latency_steps
        drawn = self.randomization.latency
        self.randomization.latency = drawn.clamp(max=low + int(grown * (high - low)))
        step = super().step(action)
        self.randomization.latency = torch.where(self._began, self.randomization.latency, drawn)
        return step


def grow_commands() -> None:
    """Draw `GrowingCommands`."""
    biped.env.Commands = GrowingCommands  # type: ignore[attr-defined]


def smooth_velocity() -> None:
    """Train in a `SmoothedVelocityEnv`."""
    train.BipedEnv = SmoothedVelocityEnv  # type: ignore[attr-defined]


def grow_disturbances() -> None:
    """Train in a `GrowingDisturbancesEnv`."""
    train.BipedEnv = GrowingDisturbancesEnv  # type: ignore[attr-defined]


IDEAS: Mapping[str, Callable[[], None]] = {
    "commands that grow": grow_commands,
    "velocity averaged over a stride": smooth_velocity,
    "disturbances that grow": grow_disturbances,
}


if __name__ == "__main__":
    IDEAS[sys.argv[1]]()
    sys.exit(train.main(sys.argv[2:]))
