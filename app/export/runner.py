"""Runs an exported walking policy on numpy and onnxruntime: sensor readings and a command in, joint targets out."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]


class Runner:
    """The policy of one robot, with its memory, its gait clock and its last action.

    Call `reset` when the robot starts and `step` once per `period` seconds. Joints stand in the order of `joint_names`.

    Raises:
        ValueError: the files of the folder do not belong together.
    """

    def __init__(self, folder: str | Path) -> None:
        """Read `contract.json` and `policy.onnx` from the folder of an export."""
        text = (Path(folder) / "contract.json").read_text(encoding="utf-8")
        options = onnxruntime.SessionOptions()
        # The network is small: to share it among threads costs more than it gains.
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(Path(folder) / "policy.onnx"), options, providers=["CPUExecutionProvider"]
        )
        if self._session.get_modelmeta().custom_metadata_map.get("contract") != text:
            raise ValueError(f"{folder}: contract.json and policy.onnx are of two different exports")
        self.contract: dict[str, Any] = json.loads(text)
        if self.contract["schema_version"] != 1:
            raise ValueError(f"{folder}: the contract has version {self.contract['schema_version']}, not 1")
        joints, action = self.contract["joints"], self.contract["action"]
        self.joint_names: list[str] = joints["names"]
        self.period: float = self.contract["control"]["period"]
        """s between two calls of `step`."""
        self._default = np.array(joints["default_position"], dtype=np.float32)
        self._scale = np.array(action["scale"], dtype=np.float32)
        clock = self.contract["clock"]
        self._phase_step = np.float32(self.period / clock["period"])
        self._standing_command = np.float32(clock["standing_command"])
        self._stopping_steps = round(clock["stopping_time"] / self.period)
        observation = self.contract["observation"]
        self._limit = np.float32(observation["limit"])
        self._parts = [
            (
                part["reading"],
                np.array(part["columns"]),
                np.array(part["offset"], dtype=np.float32),
                np.array(part["scale"], dtype=np.float32),
            )
            for part in observation["parts"]
        ]
        self._sizes = {name: len(reading["values"]) for name, reading in observation["readings"].items()}
        self.measured = [name for name, reading in observation["readings"].items() if reading["measured"]]
        """Names of the readings that `step` needs."""
        self._state_shape = self.contract["policy"]["inputs"]["h_in"]
        self.reset()

    def reset(self, phase: float | None = None) -> None:
        """Forget everything, and start the gait clock at `phase`, 0 to 1; where training did unless it is given."""
        self.phase = np.float32(self.contract["clock"]["start_phase"] if phase is None else phase)
        self.action: Array = np.zeros_like(self._default)
        """`[A]` what the policy returned last."""
        self._steps_to_stop: int | None = None
        self._hidden: Array = np.zeros(self._state_shape, dtype=np.float32)
        self._cell: Array = np.zeros(self._state_shape, dtype=np.float32)

    def observe(self, readings: Mapping[str, ArrayLike], command: ArrayLike) -> Array:
        """The observation `[D]` that the policy is given.

        Args:
            readings: those named in `measured`, in the units and the order of values of the contract. A value that no
                part of the observation takes may be NaN.
            command: forward and leftward velocity in m/s, yaw rate in rad/s.

        Raises:
            ValueError: a reading is missing, has the wrong size or is not finite.
        """
        asked = np.asarray(command, dtype=np.float32)
        standing = self._asks_to_stand(asked) and not self._left_to_stop(asked)
        angle = np.float32(2.0 * math.pi) * self.phase
        clock = np.zeros(2, dtype=np.float32) if standing else np.array([np.sin(angle), np.cos(angle)], np.float32)
        known: dict[str, ArrayLike] = {**readings, "command": asked, "previous_action": self.action, "clock": clock}
        values = []
        for name, columns, offset, scale in self._parts:
            if name not in known or np.shape(known[name]) != (self._sizes[name],):
                raise ValueError(f"the reading {name} must be given, with {self._sizes[name]} values")
            values.append((np.asarray(known[name], dtype=np.float32)[columns] - offset) * scale)
            if not np.isfinite(values[-1]).all():
                raise ValueError(f"the reading {name} is not finite: {np.asarray(known[name])}")
        observation: Array = np.clip(np.concatenate(values), -self._limit, self._limit)
        return observation

    def _asks_to_stand(self, command: ArrayLike) -> bool:
        return bool(np.max(np.abs(np.asarray(command, dtype=np.float32))) < self._standing_command)

    def _left_to_stop(self, command: ArrayLike) -> int:
        """Steps for which the clock goes on under this command; none at the start, where the robot stands."""
        if self._steps_to_stop is None:
            return 0
        return max(0, self._steps_to_stop - 1) if self._asks_to_stand(command) else self._stopping_steps + 1

    def step(self, readings: Mapping[str, ArrayLike], command: ArrayLike) -> Array:
        """Joint targets `[A]` in rad for the next `period` seconds; arguments and errors as of `observe`.

        Raises:
            ValueError: the policy answered with NaN or infinity.
        """
        inputs = {"obs": self.observe(readings, command)[None], "h_in": self._hidden, "c_in": self._cell}
        actions, self._hidden, self._cell = self._session.run(["actions", "h_out", "c_out"], inputs)
        if not np.isfinite(actions).all():
            raise ValueError("the policy returned an action that is not finite; stop the robot and reset")
        self.action = actions[0]
        self._steps_to_stop = self._left_to_stop(command)
        self.phase = np.remainder(self.phase + self._phase_step, np.float32(1.0))
        return self._default + self._scale * self.action
