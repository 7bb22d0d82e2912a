"""Changes to the recipe that no flag makes: `python -m benchmarks.ideas NAME [flags of train.py]` trains with one.

They are here to be measured, by `benchmarks.ablation` or alone; what pays moves into the project.
"""

import sys
from collections.abc import Mapping

import torch
from torch import Tensor

from app.build import Parts
from app.training import main as train
from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.simulators.interface import Simulator
from biped.simulators.state import State
from biped.task.commands import Commands
from biped.task.reward_terms import RewardInputs
from biped.task.terminations import EpisodeEnd

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

    def _reward_inputs(self, state: State, previous_action: Tensor, end: EpisodeEnd) -> RewardInputs:
        inputs = super()._reward_inputs(state, previous_action, end)
        now = inputs.state.base_linear_velocity
        if self._velocity is None:
            self._velocity = now[:, :2]
        smooth = torch.lerp(self._velocity, now[:, :2], self.control_dt / STRIDE_S)
        self._velocity = torch.where(self._began.unsqueeze(-1), now[:, :2], smooth)
        planar = torch.cat((self._velocity, now[:, 2:]), dim=-1)
        return inputs._replace(state=inputs.state._replace(base_linear_velocity=planar))


class GrowingCommandsEnv(BipedEnv):
    """Draws `GrowingCommands`."""

    def __init__(self, simulator: Simulator, config: EnvConfig, *, seed: int) -> None:
        super().__init__(simulator, config, seed=seed)
        self.commands = GrowingCommands(config.commands, self.num_envs, self.control_dt, self._generator)


IDEAS: Mapping[str, Parts] = {
    "commands that grow": Parts(env=GrowingCommandsEnv),
    "velocity averaged over a stride": Parts(env=SmoothedVelocityEnv),
}


if __name__ == "__main__":
    sys.exit(train(sys.argv[2:], IDEAS[sys.argv[1]]))
