"""Changes to the recipe that no flag makes: `python -m benchmarks.ideas NAME [flags of train.py]` trains with one.

They are here to be measured, by `benchmarks.ablation` or alone; what pays moves into the project. A model trained with
normalised observations is of use only during its training, since its weights do not know of the normalisation.
"""

import sys
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

import biped.env
import train
from biped.commands import Commands
from biped.env import BipedEnv
from biped.randomization import pushed_velocity
from biped.rewards import RewardInputs
from biped.state import State
from biped.terminations import EpisodeEnd
from ppo.env import Step
from ppo.policy import Evaluation, PolicyConfig, RecurrentActorCritic, RecurrentState
from ppo.recurrence import EpisodeStarts, LstmState

GROWTH_STEPS = 1000
"""Control steps of each robot in which a curriculum reaches the whole task."""
STRIDE_S = 0.6
"""s: the clock's period."""


class Normalized(RecurrentActorCritic):
    """Sees observations less their mean, divided by their standard deviation, over all of the training so far.

    Both change only between an update and the next rollout, so that an update judges what the rollout has done.
    """

    _sums: Tensor
    _center: Tensor
    _scale: Tensor

    def __init__(self, config: PolicyConfig, observation_dim: int, action_dim: int) -> None:
        super().__init__(config, observation_dim, action_dim)
        self.register_buffer("_sums", torch.zeros(3, observation_dim, dtype=torch.float64), persistent=False)
        self.register_buffer("_center", torch.zeros(observation_dim), persistent=False)
        self.register_buffer("_scale", torch.ones(observation_dim), persistent=False)
        self._due = False

    def act(
        self, observation: Tensor, state: LstmState, episode_start: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, LstmState, Tensor]:
        """As the base class. With noise it is training, so the observation counts."""
        if noise is not None:
            if self._due:
                count, total, squares = self._sums
                mean = total / count
                self._center = mean.float()
                self._scale = (squares / count - mean**2).clamp(min=1e-8).rsqrt().float()
                self._due = False
            wide = observation.double()
            self._sums += torch.stack((torch.ones_like(wide), wide, wide**2)).sum(1)
        return super().act(self._normalize(observation), state, episode_start, noise)

    def critic_step(
        self, observation: Tensor, state: LstmState, episode_start: Tensor, actor_latent: Tensor
    ) -> tuple[Tensor, LstmState]:
        """As the base class."""
        return super().critic_step(self._normalize(observation), state, episode_start, actor_latent)

    def evaluate(self, observation: Tensor, state: RecurrentState, starts: EpisodeStarts, action: Tensor) -> Evaluation:
        """As the base class."""
        self._due = True
        return super().evaluate(self._normalize(observation), state, starts, action)

    def _normalize(self, observation: Tensor) -> Tensor:
        return (observation - self._center) * self._scale


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


def normalize_observations() -> None:
    """Train a `Normalized` policy."""
    train.RecurrentActorCritic = Normalized  # type: ignore[attr-defined]


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
    "normalised observations": normalize_observations,
    "commands that grow": grow_commands,
    "velocity averaged over a stride": smooth_velocity,
    "disturbances that grow": grow_disturbances,
}


if __name__ == "__main__":
    IDEAS[sys.argv[1]]()
    sys.exit(train.main(sys.argv[2:]))
