import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from biped.examination.video import VideoWriter  # noqa: E402

ROOT = Path(__file__).parents[3]


def test_frames_come_back_in_order_at_their_rate(tmp_path: Path) -> None:
    path = tmp_path / "walk.mp4"
    with VideoWriter(path, 50) as video:
        for level in (0, 60, 120, 180, 240):
            video.add(np.full((49, 65, 3), level, dtype=np.uint8))
        assert video.frames == 5
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        levels = [float(frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(stream)]
        assert levels == pytest.approx([0, 60, 120, 180, 240], abs=4.0)
        assert stream.average_rate == 50
        assert (stream.width, stream.height) == (64, 48)
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"


def test_a_gif_has_the_frames_in_order_for_as_long_as_they_last(tmp_path: Path) -> None:
    path = tmp_path / "walk.gif"
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    with VideoWriter(path, 50) as video:
        for number in range(10):
            frame = np.zeros((49, 65, 3), dtype=np.uint8)
            frame[:24, :64] = ramp[None, :, None]
            frame[30:40, 6 * number : 6 * number + 6] = (255, 0, 0)
            video.add(frame)
        assert video.frames == 10
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (5, (64, 48), 0)
        for number in range(5):
            film.seek(number)
            assert film.info["duration"] == 40
            picture = np.array(film.convert("RGB")).astype(int)
            # Every second frame, and in it the square where it was, with the ramp in nearly its greys.
            red = np.flatnonzero((picture[35] == (255, 0, 0)).all(axis=1))
            assert red.tolist() == list(range(12 * number, 12 * number + 6))
            assert np.abs(picture[10, :, 0] - ramp).max() <= 6


def test_a_gif_at_its_own_rate_has_every_frame(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "walk.gif", 20) as video:
        for level in (0, 200):
            video.add(np.full((48, 64, 3), level, dtype=np.uint8))
    with Image.open(tmp_path / "walk.gif") as film:
        assert (film.n_frames, film.info["duration"]) == (2, 50)


def test_an_interrupted_recording_can_be_watched(tmp_path: Path) -> None:
    path = tmp_path / "walk.mp4"

    def record() -> None:
        with VideoWriter(path, 50) as video:
            video.add(np.zeros((48, 64, 3), dtype=np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record()
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(container.streams.video[0])) == 1


def test_a_recording_of_nothing_ends_quietly_and_leaves_nothing(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "walk.mp4", 50) as video:
        assert video.frames == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        VideoWriter(tmp_path / "nowhere" / "walk.mp4", 50)


@pytest.mark.parametrize(
    "name",
    [
        b"walk-12:30.mp4",
        b"file:x.mp4",
        b"pipe:1.mp4",
        b"http://x.mp4",
        b"-y.mp4",
        b"walk %d %03d.mp4",
        b"two\nlines.mp4",
        b"[a]*?.mp4",
        "gehen-läuft.mp4".encode(),
        b"latin-\xe4.mp4",
    ],
)
def test_every_name_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 50) as video:
        video.add(np.zeros((48, 64, 3), dtype=np.uint8))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files == [tmp_path / path]
    with path.open("rb") as file, av.open(file) as container:
        assert sum(1 for _ in container.decode(container.streams.video[0])) == 1


def test_an_older_film_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "walk.mp4"
    path.write_bytes(b"old")
    with VideoWriter(path, 50) as video:
        video.add(np.zeros((48, 64, 3), dtype=np.uint8))
        assert path.read_bytes() == b"old"
    assert path.stat().st_size > 3
    assert [file.name for file in tmp_path.iterdir()] == ["walk.mp4"]


@pytest.mark.parametrize(("limit", "frames"), [(2000, 50), (40, 1), (0, 1)])
def test_a_full_disk_keeps_the_older_film(tmp_path: Path, limit: int, frames: int) -> None:
    pytest.importorskip("resource")
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from biped.examination.video import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
noise = np.random.default_rng(0)
try:
    with VideoWriter(Path(sys.argv[1]), 50) as video:
        for _ in range(int(sys.argv[3])):
            video.add(noise.integers(0, 255, (480, 640, 3), dtype=np.uint8))
except OSError as error:
    print(type(error).__name__, error.strerror)
"""
    path = tmp_path / "walk.mp4"
    path.write_bytes(b"old")
    words = [sys.executable, "-c", code, str(path), str(limit), str(frames)]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert (result.returncode, result.stdout.strip()) == (0, "OSError File too large"), result.stderr
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["walk.mp4"]
