"""Pictures of one robot in MuJoCo.

MuJoCo itself is passed in, as only `biped/simulators/mujoco.py` imports it.
"""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biped.simulators.config import CAMERA_OFFSET

RENDERING_REMEDY = (
    "set MUJOCO_GL to egl, osmesa or glfw, whichever is installed, or record the video with Genesis instead"
)

TALLEST = 0.33
"""m, height looked at up to which a robot fits into the picture from `CAMERA_OFFSET`."""

PICTURE_SIZE = 480, 640
"""Rows and columns of a frame."""


class Camera:
    """Looks at a robot from the side and follows it.

    Args:
        mujoco: the module.
        model: of the robot, with scenery.
        height: m above the ground that it looks at.

    Raises:
        ValueError: if there is no OpenGL to render with.
    """

    def __init__(self, mujoco: ModuleType, model: Any, height: float) -> None:  # noqa: ANN401
        self._mujoco, self._model, self._height = mujoco, model, height
        self._data = mujoco.MjData(model)
        try:
            self._renderer = mujoco.Renderer(model, *PICTURE_SIZE)
        except Exception as error:  # Which one depends on the OpenGL library that is missing.
            raise ValueError(f"MuJoCo cannot render here ({error}); {RENDERING_REMEDY}") from None

    def picture(self, qpos: NDArray[np.float64]) -> NDArray[np.uint8]:
        """One frame `[480, 640, 3]` of the robot with the coordinates `qpos`."""
        self._data.qpos[:] = qpos
        self._mujoco.mj_kinematics(self._model, self._data)
        camera = self._mujoco.MjvCamera()
        # The camera keeps its height, so that the robot is seen to bob and not the ground.
        camera.lookat = [*qpos[:2], self._height]
        x, y, z = CAMERA_OFFSET
        length = np.linalg.norm(CAMERA_OFFSET)
        # A taller robot is looked at from farther away.
        camera.distance = length * max(1.0, self._height / TALLEST)
        camera.azimuth = np.degrees(np.arctan2(-y, -x))
        camera.elevation = np.degrees(-np.arcsin(z / length))
        self._renderer.update_scene(self._data, camera)
        return np.array(self._renderer.render(), dtype=np.uint8)

    def close(self) -> None:
        """Release the renderer; the camera is not used afterwards."""
        self._renderer.close()
