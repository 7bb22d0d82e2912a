from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from biped.examination.video import VideoWriter  # noqa: E402


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


def test_a_recording_of_nothing_ends_quietly(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "walk.mp4", 50) as video:
        assert video.frames == 0


def test_a_file_that_cannot_be_written_is_an_oserror(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "nowhere" / "walk.mp4", 50)
    with pytest.raises(FileNotFoundError):
        video.add(np.zeros((48, 64, 3), dtype=np.uint8))
