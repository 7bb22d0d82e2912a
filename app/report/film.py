"""A short film of one robot, as text that a page can hold."""

import base64
import io
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.filming.shooting import pictures
from app.progress import progress
from app.session import Session
from biped.examination.trials import STRAIGHT, Command
from biped.examination.video import VideoWriter

SECONDS = 6.0
LARGEST = 3_500_000
"""Bytes of a film that a page holds; a larger one is left out."""
STILLS = 6
"""Pictures side by side, which paper shows, too; an even number."""
STRIDE_S = 0.9
"""s that they cover: about a stride."""


class Film(NamedTuple):
    """What a page shows of the robot in motion."""

    command: Command
    video: str | None
    """`data:` address of an MP4; None where there is none."""
    poster: str | None
    """`data:` address of a picture in the middle of it."""
    strip: str | None
    """`data:` address of a picture of several side by side."""
    complaint: str | None
    """Why there is no video, in one line."""


def film(session: Session, engine: str) -> Film:
    """Film the first robot at 0.5 m/s or at the one command that was asked for, for `SECONDS`; never fails."""
    command = session.options.command or STRAIGHT
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "film.mp4"
            stills = shoot(session, engine, command, path)
            video = path.read_bytes()
    except Exception as error:  # Which one depends on the engine and on the OpenGL library that is missing.
        reason = " ".join(str(error).split()) or type(error).__name__
        return Film(command, None, None, None, reason)
    poster, strip = picture(stills[len(stills) // 2]), picture(in_rows(stills))
    if len(video) > LARGEST:
        return Film(command, None, poster, strip, f"the film has {len(video) / 1e6:.1f} MB, too many for a page")
    return Film(command, data_address("video/mp4", video), poster, strip, None)


def shoot(session: Session, engine: str, command: Command, path: Path) -> list[NDArray[np.uint8]]:
    """Write the film to `path`; returns `STILLS` of its pictures `[rows, columns, 3]`, within one stride at its end.

    Raises:
        ValueError: the engine cannot make pictures here.
        OSError: the file cannot be written.
    """
    control_dt = session.experiment.simulation.control_dt
    steps = round(SECONDS / control_dt)
    apart = max(1, round(STRIDE_S / control_dt / STILLS))
    kept = {steps - 1 - apart * number for number in range(STILLS)}
    stills: list[NDArray[np.uint8]] = []
    with VideoWriter(path, round(1.0 / control_dt)) as video, progress("filming", steps) as advance:
        for index, frame in enumerate(pictures(session, engine, command, SECONDS, overlay=False)):
            video.add(frame)
            advance()
            if index in kept:
                stills.append(frame)
    return stills


def in_rows(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The middle halves of an even number of pictures of one size, in two rows, row by row."""
    columns, half = pictures[0].shape[1], len(pictures) // 2
    margin = columns // 4
    middles = [one[:, margin : columns - margin] for one in pictures]
    return np.concatenate([np.concatenate(row, axis=1) for row in (middles[:half], middles[half:])], axis=0)


def picture(pixels: NDArray[np.uint8]) -> str:
    """`data:` address of pixels `[rows, columns, 3]` as a JPEG."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((640, 640))
    image.save(buffer, "JPEG", quality=80)
    return data_address("image/jpeg", buffer.getvalue())


def data_address(kind: str, content: bytes) -> str:
    """The content of a file as the address of itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
