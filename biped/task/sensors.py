"""What the robot's own sensors make of the state: an IMU mounted askew, encoders that are offset, all of it late.

Only what the actor sees comes from here. Rewards, terminations and the critic's own parts are of the true state.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from biped.simulators.state import State, rotate_inverse
from biped.task.buffers import Buffers
from biped.task.delay_line import DelayLine
from biped.task.observer import Observer


def rotation_quaternion(rotation: Tensor) -> Tensor:
    """Unit quaternions `[N, 4]` (w x y z) of rotation vectors `[N, 3]` in rad."""
    half = 0.5 * rotation.norm(dim=-1, keepdim=True)
    # The sine of half the angle over the angle, also where that is 0.
    return torch.cat((half.cos(), 0.5 * torch.sinc(half / torch.pi) * rotation), dim=-1)


def through_tilted_imu(state: State, tilt: Tensor) -> State:
    """`state` as an IMU shows it that is mounted with the rotation vector `tilt` `[N, 3]` rad from the body frame.

    Rates, velocity and gravity are in its own frame, and roll and pitch those of its own frame as gravity shows them.
    The yaw, which no IMU measures, stays.
    """
    in_body = torch.stack((state.base_linear_velocity, state.base_angular_velocity, state.projected_gravity), dim=1)
    linear, angular, gravity = rotate_inverse(rotation_quaternion(tilt).unsqueeze(1), in_body).unbind(1)
    x, y, z = gravity.unbind(-1)
    roll_pitch = (torch.atan2(-y, -z), torch.asin(x.clamp(-1.0, 1.0)))
    return state._replace(
        base_linear_velocity=linear,
        base_angular_velocity=angular,
        projected_gravity=gravity,
        roll_pitch_yaw=torch.stack((*roll_pitch, state.roll_pitch_yaw[:, 2]), dim=-1),
    )


class Sensors(Buffers):
    """Measures the states of `N` robots for an observer."""

    persistent: ClassVar[tuple[str, ...]] = ()

    def __init__(self, observer: Observer, at_rest: State, longest_delay: int) -> None:
        """Prepare for measurements that are up to `longest_delay` control steps late; `at_rest` is the first state."""
        self._observer = observer
        sensed = observer.measure_at_rest(at_rest)[:, : observer.sensed_width]
        self._delay = DelayLine(sensed, longest_delay) if longest_delay else None

    def measure(self, state: State, faults: Mapping[str, Tensor], *, at_rest: bool = False) -> Tensor:
        """What is measured of `state` now, `[N, M]`.

        Args:
            state: the true state.
            faults: may have `encoder_bias` `[N, J]` rad and `imu_tilt` `[N, 3]` rad among other things.
            at_rest: whether `state` is a `state_at_rest`.
        """
        sensed = state
        if "encoder_bias" in faults:
            sensed = sensed._replace(joint_position=sensed.joint_position + faults["encoder_bias"])
        if "imu_tilt" in faults:
            sensed = through_tilted_imu(sensed, faults["imu_tilt"])
        return (self._observer.measure_at_rest if at_rest else self._observer.measure)(state, sensed)

    def arrive(self, measurement: Tensor, delay: Tensor | None) -> Tensor:
        """Take in the newest measurement `[N, M]`; what the actor sees of it is that of `delay` `[N]` steps ago."""
        if self._delay is None or delay is None:
            return measurement
        width = self._observer.sensed_width
        return torch.cat((self._delay.step(measurement[:, :width], delay), measurement[:, width:]), dim=1)

    def reset(self, mask: Tensor, measurement: Tensor) -> None:
        """Let the robots in `mask` `[N]` bool always have measured what `measurement` `[N, M]` says."""
        if self._delay is not None:
            self._delay.reset(mask, measurement[:, : self._observer.sensed_width])

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the remembered tensors by name."""
        return {} if self._delay is None else self._delay.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with the tensors of `state_dict`."""
        if self._delay is not None:
            self._delay.load_state_dict(state)
