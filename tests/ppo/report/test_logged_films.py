"""Films in the log of a run; `tests/end_to_end/test_films.py` looks at those of a real one."""

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from ppo.report.logging import MetricsLogger, WandbConfig
from tests.ppo.report.test_logging import FakeWandb, fail_on_warning

GIF = b"GIF89a\x04\x00\x03\x00"
"""As much of one as is looked at: four by three pixels."""


class WandbWithFilms(FakeWandb):
    """Notes the file of a film in the place of the film."""

    def Video(self, path: str, format: str) -> tuple[str, str]:  # noqa: N802
        return path, format


def test_a_film_is_logged_at_the_steps_of_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = WandbWithFilms()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    logger = MetricsLogger(tmp_path, wandb=WandbConfig(), config={}, warn=fail_on_warning)
    logger.log({"time/fps": 5.0}, 300)
    logger.log_film("film", tmp_path / "film.mp4", GIF, 100)
    logger.close()
    assert ("log", {"film": (str(tmp_path / "film.mp4"), "mp4"), "global_step": 100}) in fake.calls
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (image,) = events.Images("film")
    assert (image.step, image.width, image.height, image.encoded_image_string) == (100, 4, 3, GIF)
    assert [event.step for event in events.Scalars("time/fps")] == [300]


def test_films_of_a_log_that_has_stopped_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    warnings: list[str] = []
    logger = MetricsLogger(tmp_path / "file" / "log", wandb=None, config={}, warn=warnings.append)
    logger.log_film("film", tmp_path / "film.mp4", GIF, 100)
    logger.close()
    assert len(warnings) == 1
