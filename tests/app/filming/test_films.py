"""The films of a training: when they are made, where they go, and what becomes of those that go wrong."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from app.filming.films import LOW_PRIORITY, PROGRAM, Films, film_environment, most_films
from ppo.report.logging import MetricsLogger

GIF = b"GIF89a\x04\x00\x03\x00"
"""As much of one as is looked at: four by three pixels."""
FILMING = f"""
import sys
from pathlib import Path
film, animation = map(Path, sys.argv[2:])
film.write_text(Path(sys.argv[1]).name)
animation.write_bytes({GIF!r})
"""
"""Takes the place of the program that films, and notes what it was given as the film."""
WAITING = """
import sys, time
from pathlib import Path
while not Path(sys.argv[1]).with_suffix(".go").exists():
    time.sleep(0.01)
"""
"""Comes first in one that waits for a file beside the checkpoint."""

Make = Callable[..., Films]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, said: list[str]) -> Iterator[Make]:
    logger = MetricsLogger(tmp_path / "log", wandb=None, config={}, warn=pytest.fail)
    made: list[Films] = []

    def films(program: str | Sequence[str] = FILMING, first: int = 0, patience: float = 60.0) -> Films:
        words = (sys.executable, "-c", program) if isinstance(program, str) else program
        options: dict[str, Any] = {"say": said.append, "on_gpu": False, "program": words, "patience": patience}
        made.append(Films(tmp_path, 100, first, logger=logger, **options))
        return made[-1]

    yield films
    for one in made:
        one.close()
    logger.close()


def checkpoint(folder: Path, steps: int) -> Path:
    path = folder / f"biped_model_{steps}_steps.zip"
    path.write_text("model")
    return path


def let_go(path: Path) -> None:
    path.with_suffix(".go").touch()


def when_made(films: Films) -> None:
    """Wait until the film in the making is made or has failed."""
    take = films._take
    assert take is not None
    take.process.wait(60.0)


def seen(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "videos").glob("*"))


def test_a_film_is_made_of_the_first_checkpoint_after_each_multiple(
    tmp_path: Path, make: Make, said: list[str]
) -> None:
    films = make()
    for steps in (90, 130, 190, 210, 290):
        films.saved(checkpoint(tmp_path, steps))
        if films._take is not None:
            when_made(films)
    assert seen(tmp_path) == ["biped_model_130_steps.mp4", "biped_model_210_steps.mp4"]
    assert (tmp_path / "videos" / "biped_model_210_steps.mp4").read_text() == "biped_model_210_steps.zip"
    assert [line.split("/")[-1] for line in said] == seen(tmp_path)
    assert said[0].startswith("filmed ")


def test_other_models_are_not_filmed_while_training_goes_on(tmp_path: Path, make: Make) -> None:
    films = make()
    for name in ("model_best.zip", "model_interrupted.zip"):
        films.saved(tmp_path / name)
    assert films._take is None


def test_the_log_has_each_film_at_the_steps_of_its_checkpoint(tmp_path: Path, make: Make) -> None:
    films = make()
    for steps in (100, 200):
        films.saved(checkpoint(tmp_path, steps))
        when_made(films)
    films.saved(tmp_path / "model_best.zip")
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    images = events.Images("film")
    assert [(image.step, image.width, image.height) for image in images] == [(100, 4, 3), (200, 4, 3)]
    assert images[0].encoded_image_string == GIF


def test_a_film_that_is_due_while_another_is_made_is_left_out(tmp_path: Path, make: Make) -> None:
    films = make(WAITING + FILMING)
    first = checkpoint(tmp_path, 100)
    begin = time.monotonic()
    films.saved(first)
    take = films._take
    films.saved(checkpoint(tmp_path, 200))
    assert films._take is take
    let_go(first)
    when_made(films)
    films.saved(checkpoint(tmp_path, 290))
    assert films._take is None
    let_go(checkpoint(tmp_path, 300))
    films.saved(tmp_path / "biped_model_300_steps.zip")
    when_made(films)
    assert films.finish(tmp_path / "biped_model_300_steps.zip", 300) is None
    assert seen(tmp_path) == ["biped_model_100_steps.mp4", "biped_model_300_steps.mp4"]
    assert time.monotonic() - begin < 60.0


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.abort()", ["its process ended with -6"]),
        ("raise RuntimeError('solver')", ["RuntimeError: solver"]),
        ("import sys; print('broken zip', file=sys.stderr); sys.exit(1)", ["broken zip"]),
        # It says that it has made a film, and has not.
        ("", ["film.mp4", "No such file"]),
    ],
)
def test_a_film_that_fails_is_one_line_and_the_next_one_is_made(
    program: str, words: list[str], tmp_path: Path, make: Make, said: list[str]
) -> None:
    films = make(f"import sys\nif '_100_' in sys.argv[1]:\n    {program or 'sys.exit(0)'}\n{FILMING}")
    for steps in (100, 200):
        films.saved(checkpoint(tmp_path, steps))
        when_made(films)
    films.finish(tmp_path / "biped_model_200_steps.zip", 200)
    (failure,) = [line for line in said if "failed" in line]
    assert "\n" not in failure
    assert [word for word in ("biped_model_100_steps.zip", *words) if word not in failure] == []
    assert seen(tmp_path) == ["biped_model_200_steps.mp4"]


def test_where_nothing_can_be_rendered_there_are_no_more_films(tmp_path: Path, make: Make, said: list[str]) -> None:
    films = make("import sys; print('MuJoCo cannot render here', file=sys.stderr); sys.exit(2)")
    films.saved(checkpoint(tmp_path, 100))
    when_made(films)
    films.saved(checkpoint(tmp_path, 200))
    assert films._take is None
    assert films.finish(tmp_path / "model_final.zip", 300) is None
    (line,) = said
    assert line.endswith("failed: MuJoCo cannot render here; there will be no films")


def test_nor_where_that_is_found_out_at_the_end_only(tmp_path: Path, make: Make, said: list[str]) -> None:
    films = make("import sys, time; time.sleep(0.3); print('no OpenGL', file=sys.stderr); sys.exit(2)")
    films.saved(checkpoint(tmp_path, 100))
    assert films.finish(tmp_path / "model_final.zip", 300) is None
    assert [line for line in said if "failed" in line] == said[1:]
    assert len(said) == 2


def test_a_program_that_cannot_be_started_is_one_line(tmp_path: Path, make: Make, said: list[str]) -> None:
    make(["/no/such/program"]).saved(checkpoint(tmp_path, 100))
    (line,) = said
    assert line.endswith("No such file or directory")


def test_the_last_model_is_filmed_and_waited_for(tmp_path: Path, make: Make, said: list[str]) -> None:
    films = make("import time; time.sleep(0.3)\n" + FILMING)
    films.saved(checkpoint(tmp_path, 100))
    assert films.finish(tmp_path / "model_final.zip", 150) is None
    assert seen(tmp_path) == ["biped_model_100_steps.mp4", "biped_model_150_steps.mp4"]
    assert (tmp_path / "videos" / "biped_model_150_steps.mp4").read_text() == "model_final.zip"
    assert said[0].startswith("waiting for the film of the last model")


def test_a_training_that_ends_before_a_film_is_due_makes_none(tmp_path: Path, make: Make, said: list[str]) -> None:
    films = make(first=110)
    films.saved(checkpoint(tmp_path, 150))
    assert films.finish(tmp_path / "model_final.zip", 199) is None
    assert said == []
    assert seen(tmp_path) == []


def test_the_last_film_is_waited_for_so_long_and_no_longer(tmp_path: Path, make: Make, said: list[str]) -> None:
    films = make("import time; time.sleep(1000)", patience=0.5)
    begin = time.monotonic()
    assert films.finish(tmp_path / "model_final.zip", 100) is None
    assert time.monotonic() - begin < 20.0
    assert said[-1].endswith("left out: it takes too long")


def test_a_signal_ends_the_waiting(tmp_path: Path, make: Make) -> None:
    films = make("import time; time.sleep(1000)")
    # A shell that puts the tests into the background lets them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        begin = time.monotonic()
        assert films.finish(tmp_path / "model_final.zip", 100) == signal.SIGINT
        assert time.monotonic() - begin < 20.0
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)


def test_closing_ends_the_process_also_one_that_will_not(tmp_path: Path, make: Make) -> None:
    ready = tmp_path / "ready"
    stubborn = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(ready)!r}, 'w')\n"
    films = make(stubborn + "time.sleep(1000)")
    films.saved(checkpoint(tmp_path, 100))
    take = films._take
    assert take is not None
    while not ready.exists():
        time.sleep(0.01)
    workshop = Path(take.process.args[-1]).parent  # type: ignore[index, arg-type]
    assert workshop.is_dir()
    films.close()
    assert take.process.returncode == -signal.SIGKILL
    assert not workshop.exists()
    films.close()


def test_a_film_leaves_gpu_and_display_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    mesa, missing = tmp_path / "50_mesa.json", tmp_path / "missing.json"
    mesa.touch()
    environment = film_environment(on_gpu=True, mesa=mesa)
    assert "DISPLAY" not in environment
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    # Mesa, which renders without a GPU, or what cannot use one.
    assert environment["__EGL_VENDOR_LIBRARY_FILENAMES"] == str(mesa)
    assert film_environment(on_gpu=True, mesa=missing)["MUJOCO_GL"] == "osmesa"
    assert "MUJOCO_GL" not in film_environment(on_gpu=False, mesa=missing)
    monkeypatch.setenv("MUJOCO_GL", "egl")
    assert film_environment(on_gpu=True, mesa=missing)["MUJOCO_GL"] == "egl"
    assert "LIBGL_ALWAYS_SOFTWARE" not in film_environment(on_gpu=True, mesa=mesa)


@pytest.mark.parametrize(("total", "count"), [(99, 0), (100, 2), (250, 3), (300, 4)])
def test_how_many_films_there_are_at_most(total: int, count: int) -> None:
    assert most_films(total, 100) == count


def test_the_process_has_low_priority_and_says_what_is_wrong(tmp_path: Path, make: Make, said: list[str]) -> None:
    films = make(PROGRAM)
    films.saved(checkpoint(tmp_path, 100))
    assert films._take is not None
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, films._take.process.pid) == min(19, own + LOW_PRIORITY)
    when_made(films)
    films.saved(tmp_path / "model_best.zip")
    # It is not a checkpoint.
    (line,) = said
    assert "biped_model_100_steps.zip failed: " in line
    assert "there will be no films" not in line
