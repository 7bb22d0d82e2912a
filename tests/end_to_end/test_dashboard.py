"""What TensorBoard and Weights & Biases get to see of a training with examinations."""

import io
import re
from pathlib import Path

import pytest
from matplotlib import image
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from app.dashboard import DASHBOARD
from tests.end_to_end.command import run_program

pytest.importorskip("mjbatch")
pytest.importorskip("wandb")


def test_a_training_fills_every_chart_and_draws_the_gait(tmp_path: Path) -> None:
    flags = ("--preset", "smoke", "--simulator", "mujoco", "--total-timesteps", "768", "--eval-freq", "768")
    folders = {name: str(tmp_path) for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")}
    environment = {"WANDB_MODE": "offline", **folders}
    result = run_program("train.py", *flags, "--exp-name", "walk", "--wandb", cwd=tmp_path, environment=environment)
    assert result.returncode == 0, result.stderr
    assert "logging stops" not in result.stdout
    folder = tmp_path / "logs" / "walk" / "RecurrentPPO_1"
    log = EventAccumulator(str(folder)).Reload()
    tags = log.Tags()["scalars"]
    for charts in DASHBOARD.charts.values():
        for title, patterns in charts.items():
            for pattern in patterns:
                assert any(re.fullmatch(pattern, tag) for tag in tags), (title, pattern)
    assert set(DASHBOARD.results) <= set(tags)
    (event,) = log.Images("eval/gait")
    pixels = image.imread(io.BytesIO(event.encoded_image_string))
    assert (event.step, pixels.shape[:2]) == (768, (event.height, event.width))
    # Bars in the colours of the feet, not a white page.
    assert len({tuple(pixel) for pixel in pixels.reshape(-1, pixels.shape[2])}) > 20
    (record,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    content = record.read_bytes()
    for text in (b"eval/points", b"git_commit", b"model_final", b"eval/gait"):
        assert text in content
    assert len(list(record.parent.glob("files/media/images/eval/gait_*.png"))) == 1
