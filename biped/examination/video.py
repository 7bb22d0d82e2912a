"""Frames to a film that browsers play."""

import secrets
from contextlib import ExitStack, nullcontext, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

GIF_RATE = 25
"""Pictures per second of a GIF at most: many programs show it slower than faster ones ask for."""


class VideoWriter:
    """Writes H.264 video in the pixel format that every player knows, or a GIF; a context manager, which finishes it.

    The frames go to a hidden temporary file in the same folder, which takes the name `path` when it is finished: a
    process that is killed leaves no broken film under that name.

    Args:
        path: the file to create or replace; `.gif` makes a GIF, which leaves out frames beyond `GIF_RATE` and has the
            colours of its first frame.
        frames_per_second: of playback.

    Raises:
        OSError: the folder is missing or read-only.
    """

    def __init__(self, path: Path, frames_per_second: int) -> None:
        self._path = path
        self._temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
        self._failed = False
        self.frames = 0
        """Frames added so far."""
        with ExitStack() as stack:
            stack.callback(self._temporary.unlink, missing_ok=True)
            # Opened here and not by name: to the library `12:30.mp4` is a protocol and `%d.mp4` a pattern.
            self._file = stack.enter_context(self._temporary.open("xb"))
            self._gif = FewColours() if path.suffix == ".gif" else None
            self._every = 1 if self._gif is None else max(1, round(frames_per_second / GIF_RATE))
            kind, codec, pixels = ("mp4", "libx264", "yuv420p") if self._gif is None else ("gif", "gif", "pal8")
            self._container = av.open(self._file, "w", format=kind)
            stream = self._container.add_stream(codec, rate=Fraction(frames_per_second, self._every))
            assert isinstance(stream, VideoStream)
            self._stream, stream.pix_fmt = stream, pixels
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
        if self.frames % self._every == 0:
            pixels = np.ascontiguousarray(frame[:height, :width])
            self._write(av.VideoFrame.from_ndarray(pixels, format="rgb24") if self._gif is None else self._gif(pixels))
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


class FewColours:
    """Pictures in the 256 colours that serve the first one best, so that what does not move stays as it is."""

    def __init__(self) -> None:
        self._first: Image.Image | None = None
        self._palette = np.zeros((256, 4), dtype=np.uint8)

    def __call__(self, pixels: NDArray[np.uint8]) -> av.VideoFrame:
        """The pixels `[H, W, 3]` as numbers of colours."""
        picture = Image.fromarray(pixels)
        if self._first is None:
            self._first = picture.quantize(256)
            colours = np.array(self._first.getpalette(), dtype=np.uint8).reshape(-1, 3)
            # Opaque, then red, green and blue.
            self._palette[: len(colours), 0] = 255
            self._palette[: len(colours), 1:] = colours
        numbers = picture.quantize(palette=self._first, dither=Image.Dither.NONE)
        # The library's type hints lack the pair that it asks for here.
        return av.VideoFrame.from_ndarray((np.array(numbers), self._palette), format="pal8")  # type: ignore[arg-type]
