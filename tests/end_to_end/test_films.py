"""Films of a training, as a user makes and sees them."""

import io
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from app.filming.films import FILM_BYTES
from tests.end_to_end.command import run_program
from tests.end_to_end.test_interruption import FOR_EVER, interrupt

pytest.importorskip("mjbatch")

TRAIN = ("train.py", "--device", "cpu", "--preset", "smoke", "--simulator", "mujoco", "--exp-name", "walk")
EVERY = ("--video-freq", "384")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run with films, of two processes and with Weights & Biases offline."""
    folder = tmp_path_factory.mktemp("trained")
    environment = {"WANDB_MODE": "offline"}
    # Nothing but the last model is saved. Films of others are made at low priority, so that a busy machine takes long.
    arguments = (*EVERY, "--save-freq", "10000", "--processes", "2", "--wandb")
    result = run_program(*TRAIN, *arguments, cwd=folder, environment=environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    if "MuJoCo cannot render here" in result.stdout:
        pytest.skip("no OpenGL to render with")
    assert re.search(r"films of [\d.]+ MB at most", result.stdout)
    assert "filmed logs/walk/videos/biped_model_1152_steps.mp4" in result.stdout
    return folder / "logs" / "walk"


def test_the_last_model_is_filmed(trained: Path) -> None:
    (film,) = (trained / "videos").iterdir()
    assert film.name == "biped_model_1152_steps.mp4"
    with av.open(film) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(480, 640, 3)] * 250
    # Bright sky, and the dark panel before it.
    assert frames[0][:50, 270:].mean() > 150.0
    assert frames[0][6:30, 6:60].mean() < 100.0


def test_tensorboard_plays_it(trained: Path) -> None:
    events = EventAccumulator(str(trained / "RecurrentPPO_1"))
    events.Reload()
    (image,) = events.Images("film")
    assert image.step == 1152
    with Image.open(io.BytesIO(image.encoded_image_string)) as film:
        assert (film.format, film.size) == ("GIF", (320, 240))
        assert (image.width, image.height) == film.size
        # 125 pictures, and those alike may be shown as one.
        assert film.n_frames > 20
        film.seek(film.n_frames - 1)
        assert np.array(film.convert("RGB"))[:25, 135:].mean() > 150.0


def test_weights_and_biases_has_it(trained: Path) -> None:
    (copy,) = (trained / "RecurrentPPO_1" / "wandb").rglob("*.mp4")
    assert copy.read_bytes() == (trained / "videos" / "biped_model_1152_steps.mp4").read_bytes()


def test_it_takes_no_more_than_is_announced(trained: Path) -> None:
    (film,) = (trained / "videos").iterdir()
    (log,) = (trained / "RecurrentPPO_1").glob("events.out.*")
    assert film.stat().st_size + log.stat().st_size < FILM_BYTES


def test_training_survives_where_nothing_can_be_rendered(tmp_path: Path) -> None:
    result = run_program(*TRAIN, *EVERY, cwd=tmp_path, environment={"MUJOCO_GL": "disable"})
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    (line,) = [line for line in result.stdout.splitlines() if "failed" in line]
    assert "MuJoCo cannot render here" in line
    assert "set MUJOCO_GL to egl" in line
    assert line.endswith("there will be no films")
    assert (tmp_path / "logs" / "walk" / "model_final.zip").exists()
    assert not (tmp_path / "logs" / "walk" / "videos").exists()


def test_training_survives_a_film_that_crashes(tmp_path: Path) -> None:
    """The process of a film is killed as soon as it can be seen, the last one's as well."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'app.filming' in ' '.join(sys.orig_argv): os.kill(os.getpid(), 9)\n"
    )
    result = run_program(*TRAIN, *EVERY, cwd=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    failures = [line for line in result.stdout.splitlines() if "failed" in line]
    assert failures
    assert all(line.endswith("failed: its process ended with -9") for line in failures)
    assert "done; see it walk with" in result.stdout
    assert (tmp_path / "logs" / "walk" / "model_final.zip").exists()


def films_in_the_making(folder: Path) -> Iterator[int]:
    """Processes that film checkpoints of a run in the folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"app.filming" in words and bytes(folder) in words:
            yield int(entry.name)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_ends_the_film_as_well(tmp_path: Path) -> None:
    arguments = (*TRAIN, "--total-timesteps", FOR_EVER, *EVERY, "--save-freq", "768")
    end = interrupt(arguments, r"saved .*768_steps", 0.5, signal.SIGINT, tmp_path)
    assert end.code == 130, end.errors
    assert "model_interrupted.zip" in end.output
    assert "waiting for the film" not in end.output
    end_of_waiting = time.monotonic() + 30.0
    while list(films_in_the_making(tmp_path)):
        assert time.monotonic() < end_of_waiting
        time.sleep(0.1)
