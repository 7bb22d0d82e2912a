"""From actions to joint targets: clip, scale, latency, backlash. The motors themselves are the simulator's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from biped.task.buffers import Buffers
from biped.task.delay_line import DelayLine
from ppo.value_ranges import Range, check_ranges


@dataclass(frozen=True)
class ActuatorConfig:
    """How an action becomes a joint target."""

    action_scale: Annotated[float, Range(-1e6, 1e6)] = 0.25
    """rad of joint target per unit of action, around the default pose."""
    action_limit: Annotated[float, Range(1e-6, 1e6)] = 100.0
    """Actions are clipped to plus and minus this."""

    def __post_init__(self) -> None:
        check_ranges(self)


def backlash_output(previous: Tensor, target: Tensor, backlash: Tensor) -> Tensor:
    """The play operator: a gear with slack moves only once the slack is taken up.

    Args:
        previous: `[N, J]` rad, the last output.
        target: `[N, J]` rad, the input.
        backlash: `[N, J]` rad, total width of the slack; 0 passes the target through.

    Returns:
        `[N, J]` rad, never further than half the slack from the target (Visintin, Differential Models of Hysteresis).
    """
    lowest, highest = (torch.add(target, backlash, alpha=side) for side in (-0.5, 0.5))
    return torch.clamp(previous, lowest, highest)


class Actuators(Buffers):
    """Joint targets on their way to the motors of `N` robots with `J` joints."""

    persistent: ClassVar[tuple[str, ...]] = ("_output",)

    def __init__(
        self, config: ActuatorConfig, default_joint_position: Tensor, num_envs: int, longest_latency: int
    ) -> None:
        """Start with every target at `default_joint_position` `[J]` rad; latencies reach `longest_latency` steps."""
        self._config = config
        self._default = default_joint_position
        self._output = default_joint_position.expand(num_envs, -1).clone()
        self._delay = DelayLine(self._output, longest_latency)

    @property
    def output(self) -> Tensor:
        """`[N, J]` rad, the joint targets of the last control step; the default pose in a new episode."""
        return self._output

    def clip(self, action: Tensor) -> Tensor:
        """Clip actions `[N, J]` to the action limit."""
        return action.clamp(-self._config.action_limit, self._config.action_limit)

    def step(self, action: Tensor, latency: Tensor, backlash: Tensor) -> Tensor:
        """Joint targets `[N, J]` rad that the motors see in this control step.

        Args:
            action: `[N, J]`, clipped.
            latency: `[N]` int64, control steps until an action arrives.
            backlash: `[N, J]` rad.
        """
        target = torch.add(self._default, action, alpha=self._config.action_scale)
        self._output = backlash_output(self._output, self._delay.step(target, latency), backlash)
        return self._output

    def reset(self, mask: Tensor) -> None:
        """Forget the past of the robots in `mask` `[N]`: their targets were always the default pose."""
        self._delay.reset(mask, self._default)
        self._output = torch.where(mask.unsqueeze(-1), self._default, self._output)

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the remembered tensors by name."""
        return {**super().state_dict(), **self._delay.state_dict()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with the tensors of `state_dict`."""
        super().load_state_dict(state)
        self._delay.load_state_dict(state)
