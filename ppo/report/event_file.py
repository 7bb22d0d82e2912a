"""TensorBoard event files: one that grows record by record, and older ones without what a dead run wrote into them."""

import itertools
import os
import re
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from ppo.checkpoint.atomic import atomic_write

_NAME = re.compile(r"events\.out\.tfevents\.([0-9]+)\..*", re.DOTALL)


class EventFile:
    """One TensorBoard event file of scalars, pictures and animations.

    Written record by record on the caller's thread: TensorBoard's own `EventFileWriter` imports TensorFlow where that
    is installed, and its background thread reports a full disk as a traceback on the terminal.

    Args:
        folder: where the file goes; created if missing.
        continued_from: control steps at which an earlier run in the folder is continued; what it logged beyond goes.
    """

    _serial = itertools.count()

    def __init__(self, folder: Path, continued_from: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        older = event_files(folder)
        if continued_from is not None:
            for path in older:
                remove_events_beyond(path, continued_from)
        # TensorBoard reads the files of a folder in the order of their names: seconds first, serial last. The clock may
        # have been put back, or be another machine's.
        seconds = max([int(time.time()), *(1 + int(_NAME.fullmatch(path.name)[1]) for path in older)])  # type: ignore[index]
        name = f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.{next(self._serial)}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if continued_from is not None:
            # For who is watching: a TensorBoard that has read the removed events forgets them.
            start = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=continued_from + 1, session_log=start))

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        """Append the scalars; they are in the operating system's hands when this returns."""
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self.write_summary(Summary(value=values), step)

    def write_picture(self, tag: str, png: bytes, step: int) -> None:
        """Append a PNG; likewise."""
        self._write_image(tag, png, struct.unpack_from(">II", png, 16), step)

    def write_summary(self, summary: Summary, step: int) -> None:
        """Append what TensorBoard calls a summary; likewise."""
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def write_animation(self, tag: str, gif: bytes, step: int) -> None:
        """Append a GIF, which TensorBoard plays among its images; likewise."""
        self._write_image(tag, gif, struct.unpack_from("<HH", gif, 6), step)

    def _write_image(self, tag: str, content: bytes, size: Sequence[int], step: int) -> None:
        width, height = size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
        self.write_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()


def event_files(folder: Path) -> list[Path]:
    """The event files of a folder, oldest first."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file())


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar in the event files of a folder: control steps and value, oldest first, by tag.

    What follows a damaged record in its file is left out.

    Raises:
        OSError: a file cannot be read.
    """
    scalars: dict[str, list[tuple[int, float]]] = {}
    for path in event_files(folder):
        for _, event in _records(path.read_bytes()):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    return scalars


def remove_events_beyond(path: Path, step: int) -> None:
    """Write the event file anew without the events after `step`, in one atomic step, unless there are none.

    TensorBoard's own remedy, a record that tells readers to forget what came before, reaches neither every tag nor
    every reader.
    """
    content = path.read_bytes()
    kept = b"".join(record for record, event in _records(content) if event.step <= step)
    if kept != content:
        with atomic_write(path) as file:
            file.write(kept)


def _records(content: bytes) -> Iterator[tuple[bytes, Event]]:
    """Every whole record of an event file, with its frame, and the event in it; ends at the first damaged one.

    A record is the length of the event in eight bytes, their checksum in four, the event, and its checksum in four.
    """
    position = 0
    while position + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, position)
        end = position + 12 + length + 4
        if end > len(content):
            return
        try:
            event = Event.FromString(content[position + 12 : end - 4])
        except DecodeError:
            return
        yield content[position:end], event
        position = end
