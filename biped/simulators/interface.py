"""What environment and programs ask of a simulator, so that another engine can take Genesis's place."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.state import State
from ppo.env import Recorder


class Simulator(Protocol):
    """`N` copies of one robot with `J` joints, each alone on its own ground.

    Nothing here waits for the device. Tensors lie on `device`; joints stand in the order of `robot.joint_names`.
    """

    @property
    def robot(self) -> Robot:
        """The robot that is simulated."""
        ...

    @property
    def num_envs(self) -> int:
        """`N`."""
        ...

    @property
    def device(self) -> torch.device:
        """Where every tensor lies."""
        ...

    @property
    def control_dt(self) -> float:
        """Duration of one control step in s."""
        ...

    def step(self, joint_target: Tensor) -> None:
        """Drive the joints towards `joint_target` `[N, J]` rad for one control step."""
        ...

    def read(self) -> State:
        """The state after the last `step`; what a `reset` since then changed need not show yet."""
        ...

    def reset(self, mask: Tensor, base_position: Tensor, base_quaternion: Tensor, joint_position: Tensor) -> None:
        """Put the robots in `mask` `[N]` bool at rest.

        Args:
            mask: `[N]` bool, the robots to move; the others are left alone.
            base_position: `[N, 3]` m, world frame.
            base_quaternion: `[N, 4]` body to world, w x y z.
            joint_position: `[N, J]` rad.
        """
        ...

    def set_velocity(self, base_linear_velocity_world: Tensor, base_angular_velocity_world: Tensor) -> None:
        """Give the bases of all robots new velocities `[N, 3]` in m/s and rad/s, world frame."""
        ...

    def set_force(self, force: Tensor) -> None:
        """Pull each base at its centre of mass with `force` `[N, 3]` N, world frame, in the next control step only."""
        ...

    def set_properties(self, values: Mapping[str, Tensor]) -> None:
        """Let robots differ in the properties `values`, by the names in `biped.simulators.properties.PROPERTIES`.

        What is not in `values` stays as it is. It may take longer than a step.
        """
        ...

    def read_properties(self) -> dict[str, Tensor]:
        """Every property as the solver holds it; rounded, and not for every step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue exactly here, what was set included."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        ...

    def record(self, recorder: Recorder) -> None:
        """Let `recorder` record what is done in every step, if that is possible."""
        ...

    def render(self, robot: int = 0) -> NDArray[np.uint8]:
        """One frame `[rows, columns, 3]` of a robot; raises ValueError where the simulator has no camera for it."""
        ...

    def close(self) -> None:
        """Release what the simulator holds."""
        ...
