"""Frames to a video file that browsers play."""

import secrets
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray


class VideoWriter:
    """Writes H.264 video in the pixel format that every player knows; a context manager that finishes the file.

    The frames go to a hidden temporary file in the same folder, which takes the name `path` when it is finished: a
    process that is killed leaves no broken film under that name.

    Args:
        path: the MP4 file to create or replace.
        frames_per_second: of playback.

    Raises:
        OSError: the folder is missing or read-only.
    """

    def __init__(self, path: Path, frames_per_second: int) -> None:
        self._path = path
        self._temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
        self._failed = False
        self.frames = 0
        """Frames written so far."""
        with ExitStack() as stack:
            stack.callback(self._temporary.unlink, missing_ok=True)
            # Opened here and not by name: to the library `12:30.mp4` is a protocol and `%d.mp4` a pattern.
            self._file = stack.enter_context(self._temporary.open("xb"))
            self._container = av.open(self._file, "w", format="mp4")
            self._stream = self._container.add_stream("libx264", rate=frames_per_second)
            self._stream.pix_fmt = "yuv420p"
            self._clean_up = stack.pop_all()

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
        self._write(picture)
        self.frames += 1

    def _write(self, picture: av.VideoFrame | None) -> None:
        """Encode a picture, or with None those that the encoder still holds."""
        try:
            self._container.mux(self._stream.encode(picture))
        except OSError:
            self._failed = True
            raise

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file, also after an error: what was recorded so far can be watched.

        Raises:
            OSError: the file cannot be written; whatever was at `path` is still there.
        """
        with self._clean_up:
            try:
                if self.frames and not self._failed:
                    self._write(None)
            finally:
                # Closing writes too, and says in its own way that the file cannot be written.
                with suppress(OSError, av.FFmpegError) if self._failed else nullcontext():
                    self._container.close()
            if self.frames and not self._failed:
                self._file.close()
                self._temporary.replace(self._path)
