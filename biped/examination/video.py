"""Frames to a video file that browsers play."""

from pathlib import Path
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray


class VideoWriter:
    """Writes H.264 video in the pixel format that every player knows; a context manager that finishes the file.

    Args:
        path: the file to create or replace; its suffix chooses the container, such as `.mp4`.
        frames_per_second: of playback.
    """

    def __init__(self, path: Path, frames_per_second: int) -> None:
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=frames_per_second)
        self._stream.pix_fmt = "yuv420p"
        self.frames = 0
        """Frames written so far."""

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append one frame `[H, W, 3]`, all of one size; an odd last row or column is cut off.

        Raises:
            OSError: the file cannot be written.
        """
        # Colour is stored for blocks of two by two pixels.
        height, width = (2 * (size // 2) for size in frame.shape[:2])
        if self.frames == 0:
            self._stream.height, self._stream.width = height, width
            self._container.start_encoding()
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file, also after an error: what was recorded so far can be watched."""
        if self.frames:
            self._container.mux(self._stream.encode(None))
        self._container.close()
