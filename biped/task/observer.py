"""From states to observation vectors, as `biped.task.observations` lays them out."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.state import State
from biped.task import observation_sources as sources
from biped.task.observations import ObservationConfig, ObservationField, observation_fields, observation_slices
from biped.task.randomization import uniform

Quantity = tuple[sources.Measured | sources.Known, bool]
"""A source, and whether it is measured without fault, for the critic alone."""


class Observer:
    """Builds observation vectors `[N, D]`: one concatenation of all sources, then one choice of columns.

    What is measured of the state, `[N, M]`, is kept apart from what is known without (command, contacts, action, clock,
    properties of the robot), so that the end of an episode and the beginning of the next can be observed in one step.
    What is measured for the actor comes first, so that it can pass through sensors; the critic's own parts are true.
    """

    def __init__(self, robot: Robot, config: ObservationConfig, generator: torch.Generator) -> None:
        """Prepare the columns, scales and noise for `robot`; noise comes from `generator`.

        Raises:
            ValueError: a part cannot be observed of a robot at rest.
        """
        device = generator.device
        self.fields = observation_fields(robot, config)
        """The parts in their order."""
        self.slices = observation_slices(self.fields)
        """Where each part lies."""
        self.dim = sum(field.width for field in self.fields)
        """`D`."""
        quantities = dict.fromkeys(map(_quantity, self.fields))
        self._sensed = [source for source, true in quantities if isinstance(source, sources.Measured) and not true]
        self._true = [source for source, true in quantities if isinstance(source, sources.Measured) and true]
        self._known = [source for source, _ in quantities if isinstance(source, sources.Known)]
        state, knowledge = sources.state_at_rest(robot, 1, device), sources.knowledge_at_rest(robot, 1, device)
        at_rest: dict[Quantity, Tensor] = {
            **{(source, False): _at_rest(source, state) for source in self._sensed},
            **{(source, True): _at_rest(source, state) for source in self._true},
            **{(source, False): source.read(knowledge) for source in self._known},
        }
        for field in self.fields:
            _check(field, at_rest[_quantity(field)])
        self.sensed_width = sum(at_rest[source, False].shape[1] for source in self._sensed)
        """Columns of a measurement, the first ones, that the actor sees."""
        widths = (values.shape[1] for values in at_rest.values())
        starts = dict(zip(at_rest, (0, *itertools.accumulate(widths)), strict=False))

        def each_value(number: float | Sequence[float], width: int) -> Sequence[float]:
            return number if isinstance(number, Sequence) else (number,) * width

        columns, offset, scale, noise = [], [], [], []
        for field in self.fields:
            factors = each_value(field.scale, field.width)
            offsets = each_value(field.offset, field.width)
            for column, factor, origin in zip(field.columns, factors, offsets, strict=True):
                columns.append(starts[_quantity(field)] + column)
                offset.append(origin)
                scale.append(factor)
                noise.append(factor * field.noise)
        self._columns = torch.tensor(columns, device=device)
        self._offset = torch.tensor(offset, device=device)
        self._scale = torch.tensor(scale, device=device)
        self._noise = torch.tensor(noise, device=device)
        self._config = config
        self._generator = generator

    def draw_noise(self, num_envs: int) -> Tensor:
        """Noise `[N, D]` for one observation of each of `N` robots, in its scale."""
        if not self._config.noise:
            return torch.zeros(num_envs, self.dim, device=self._noise.device)
        return uniform((num_envs, self.dim), -1.0, 1.0, self._generator).mul_(self._noise)

    def measure(self, state: State, sensed: State | None = None) -> Tensor:
        """What is measured of `state` without noise, `[N, M]`; `sensed` is what sensors make of it, if not the same."""
        return self._measure(lambda source, state: source.read(state), state, sensed)

    def measure_at_rest(self, state: State, sensed: State | None = None) -> Tensor:
        """The same `[N, M]` of robots that the simulator has not shown yet, given a `state_at_rest`."""
        return self._measure(_at_rest, state, sensed)

    def __call__(self, measurement: Tensor, knowledge: sources.Knowledge, noise: Tensor) -> Tensor:
        """Observe.

        Args:
            measurement: `[N, M]` from `measure` or `measure_at_rest`.
            knowledge: what is known without measuring.
            noise: `[N, D]` from `draw_noise`.

        Returns:
            `[N, D]`.
        """
        known = [source.read(knowledge) for source in self._known]
        observation = torch.cat([measurement, *known], dim=1).index_select(1, self._columns)
        observation = torch.addcmul(noise, observation.sub_(self._offset), self._scale)
        return observation.clamp_(-self._config.limit, self._config.limit)

    def _measure(self, read: Callable[[sources.Measured, State], Tensor], state: State, sensed: State | None) -> Tensor:
        seen = state if sensed is None else sensed
        parts = [read(source, seen) for source in self._sensed] + [read(source, state) for source in self._true]
        return torch.cat(parts, dim=1)


def _quantity(field: ObservationField) -> Quantity:
    return field.source, field.critic_only and isinstance(field.source, sources.Measured)


def _at_rest(source: sources.Measured, state: State) -> Tensor:
    return source.read(state) if source.at_rest is None else source.at_rest(state)


def _check(field: ObservationField, at_rest: Tensor) -> None:
    """Check a part by the values `[1, W]` of its source of a robot at rest."""
    if at_rest.dim() != 2 or at_rest.shape[0] != 1:
        raise ValueError(f"the observation {field.name} must have shape [N, W], not [N, *] {list(at_rest.shape[1:])}")
    if max(field.columns) >= at_rest.shape[1]:
        raise ValueError(
            f"the observation {field.name} takes column {max(field.columns)} of a quantity of {at_rest.shape[1]}"
        )
    if not at_rest[0, list(field.columns)].isfinite().all():
        raise ValueError(f"the observation {field.name} is not known of a robot at rest: give its source `at_rest`")
