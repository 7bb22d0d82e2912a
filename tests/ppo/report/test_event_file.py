"""Whoever reads the event files of a run that died and was continued sees the run that went on, and nothing else."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from ppo.report.event_file import EventFile, event_files, read_scalars

Rows = Sequence[tuple[Sequence[str], int]]

DEAD: Rows = [(["fps", "eval"], 100), (["fps"], 200), (["fps"], 240), (["fps", "eval"], 300)]
"""A checkpoint was saved at step 200."""
CONTINUED: Rows = [(["fps"], 296), (["fps"], 392)]
"""Other steps than before, as with another number of robots, and a tag that is not written again."""
EXPECTED = {"fps": [100, 200, 296, 392], "eval": [100]}


def write(folder: Path, rows: Rows, continued_from: int | None = None) -> Path:
    file = EventFile(folder, continued_from)
    for tags, step in rows:
        file.write(dict.fromkeys(tags, float(step)), step)
    file.close()
    return event_files(folder)[-1]


def steps(accumulator: EventAccumulator) -> dict[str, list[int]]:
    return {tag: [event.step for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}


def read(folder: Path) -> dict[str, list[int]]:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return steps(accumulator)


def test_a_reader_sees_no_point_of_the_dead_run(tmp_path: Path) -> None:
    write(tmp_path, DEAD)
    write(tmp_path, CONTINUED, continued_from=200)
    assert read(tmp_path) == EXPECTED


def test_a_reader_that_has_seen_them_forgets_them(tmp_path: Path) -> None:
    write(tmp_path, DEAD)
    watching = EventAccumulator(str(tmp_path))
    watching.Reload()
    assert steps(watching) == {"fps": [100, 200, 240, 300], "eval": [100, 300]}
    write(tmp_path, [], continued_from=200)
    watching.Reload()
    assert steps(watching) == {"fps": [100, 200], "eval": [100]}
    write(tmp_path, CONTINUED, continued_from=200)
    watching.Reload()
    assert steps(watching) == EXPECTED


def test_every_earlier_file_is_cut_and_whole_ones_are_left_alone(tmp_path: Path) -> None:
    first = write(tmp_path, [(["fps"], 100), (["fps"], 200)])
    second = write(tmp_path, [(["fps"], 250)], continued_from=200)
    third = write(tmp_path, [(["fps"], 260), (["fps"], 300)], continued_from=240)
    before = first.stat()
    write(tmp_path, [(["fps"], 270)], continued_from=200)
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert read(tmp_path) == {"fps": [100, 200, 270]}
    assert [path.name for path in event_files(tmp_path)][:3] == [first.name, second.name, third.name]
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_new_run_leaves_older_files_alone(tmp_path: Path) -> None:
    first = write(tmp_path, DEAD)
    content = first.read_bytes()
    write(tmp_path, [(["other"], 10)])
    assert first.read_bytes() == content


@pytest.mark.parametrize("damage", [b"\x10", b"\x05" + bytes(30), bytes(range(255, 0, -3))])
def test_a_record_that_was_cut_short_or_is_damaged_ends_the_file(tmp_path: Path, damage: bytes) -> None:
    first = write(tmp_path, DEAD)
    with first.open("ab") as file:
        file.write(damage)
    write(tmp_path, CONTINUED, continued_from=200)
    assert read(tmp_path) == EXPECTED


def test_the_clock_may_have_been_put_back(tmp_path: Path) -> None:
    first = write(tmp_path, DEAD)
    future = first.with_name(re.sub(r"[0-9]{10}", f"{int(time.time()) + 10_000}", first.name, count=1))
    first.rename(future)
    last = write(tmp_path, CONTINUED, continued_from=200)
    assert event_files(tmp_path) == [future, last]
    assert read(tmp_path) == EXPECTED


@contextmanager
def tensorboard(folder: Path, load_fast: str) -> Iterator[str]:
    """TensorBoard on this machine; the address of what its plugins show."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0", "--load_fast", load_fast],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        addresses = (re.search(r"http://\S+?:([0-9]+)/", line) for line in process.stdout)
        (port,) = next(match.groups() for match in addresses if match)
        yield f"http://localhost:{port}/data/plugin"
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_tensorboard_itself_shows_the_run_that_went_on(tmp_path: Path, load_fast: str) -> None:
    """Also with its data server, which reads event files in a way of its own."""
    if load_fast == "true":
        pytest.importorskip("tensorboard_data_server")
    write(tmp_path / "run", DEAD)
    write(tmp_path / "run", CONTINUED, continued_from=200)
    with tensorboard(tmp_path, load_fast) as address:
        await_run(f"{address}/scalars/tags")
        shown = {
            tag: [step for _, step, _ in json.load(urlopen(f"{address}/scalars/scalars?run=run&tag={tag}", timeout=10))]
            for tag in EXPECTED
        }
    assert shown == EXPECTED


def await_run(address: str) -> None:
    """Wait until TensorBoard knows the run called `run`."""
    deadline = time.monotonic() + 60.0
    while not json.load(urlopen(address, timeout=10)).get("run") and time.monotonic() < deadline:
        time.sleep(0.1)


def animation(level: int) -> bytes:
    """A GIF of two pictures, eight by six pixels."""
    file = io.BytesIO()
    first, second = (Image.new("RGB", (8, 6), (level + step, 0, 0)) for step in (0, 100))
    first.save(file, "GIF", save_all=True, append_images=[second], duration=40, loop=0)
    return file.getvalue()


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_tensorboard_itself_shows_animations_as_they_are(tmp_path: Path, load_fast: str) -> None:
    if load_fast == "true":
        pytest.importorskip("tensorboard_data_server")
    file = EventFile(tmp_path / "run")
    # That of an older checkpoint is there later than newer numbers.
    file.write({"fps": 1.0}, 300)
    for step in (100, 200):
        file.write_animation("film", animation(step), step)
    file.close()
    with tensorboard(tmp_path, load_fast) as address:
        await_run(f"{address}/images/tags")
        found = json.load(urlopen(f"{address}/images/images?run=run&tag=film&sample=0", timeout=10))
        assert [image["step"] for image in found] == [100, 200]
        for image, level in zip(found, (100, 200), strict=True):
            with urlopen(f"{address}/images/individualImage?{image['query']}", timeout=10) as answer:
                assert answer.headers["Content-Type"] == "image/gif"
                assert answer.read() == animation(level)


def test_a_continued_run_forgets_the_films_of_the_dead_one(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    for step in (100, 200, 300):
        file.write_animation("film", animation(0), step)
    file.close()
    EventFile(tmp_path, continued_from=200).close()
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    images = accumulator.Images("film")
    assert [(image.step, image.width, image.height) for image in images] == [(100, 8, 6), (200, 8, 6)]


def test_scalars_are_read_back(tmp_path: Path) -> None:
    for first in (1, 3):
        file = EventFile(tmp_path)
        for step in (first, first + 1):
            file.write({"loss": 0.5 * step, "other": float(step)}, step)
        file.close()
    broken = event_files(tmp_path)[-1]
    broken.write_bytes(broken.read_bytes()[:-3])
    scalars = read_scalars(tmp_path)
    assert scalars["loss"] == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert scalars.keys() == {"loss", "other"}
