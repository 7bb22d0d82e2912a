"""What a browser sets counts, though the page puts something else there before viser's threads have come to it."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("viser")

import viser

from app.steering.loop import Status
from app.steering.requests import Friction, Play, Request, Steer
from app.web.checkpoints import Checkpoints
from app.web.choice import Choice
from app.web.controls import Controls
from app.web.serving import free_port

STATUS = Status((0.1, 0.2, 0.3), keyed=1, paused=False, speed=1.0, pace=1.0, falls=0, friction=0.5)


@pytest.fixture
def gui() -> Iterator[Any]:
    server = viser.ViserServer(host="127.0.0.1", port=free_port("127.0.0.1", 18200), verbose=False)
    yield server.gui
    server.stop()


def set_by_browser(widget: Any, value: object, meanwhile: Callable[[], None]) -> None:  # noqa: ANN401
    """As viser does it: callbacks that are coroutines run at once, the others when a thread comes to them."""
    widget._impl.value = value
    client: Any = SimpleNamespace()
    event = viser.GuiEvent(client, client_id=0, target=widget)
    later = []
    for callback in widget._impl.update_cb:
        if inspect.iscoroutinefunction(callback):
            asyncio.run(callback(event))
        else:
            later.append(callback)
    meanwhile()
    for callback in later:
        callback(event)


def test_a_checkpoint(gui: Any, tmp_path: Path) -> None:  # noqa: ANN401
    played, other = tmp_path / "walk" / "a.zip", tmp_path / "walk" / "b.zip"
    played.parent.mkdir()
    played.touch()
    other.touch()
    requests: list[Request] = []
    choice = Choice(gui, requests.append, Checkpoints(tmp_path, None))
    checkpoint = SimpleNamespace(model=SimpleNamespace(num_timesteps=1000), path=played)
    session = SimpleNamespace(options=SimpleNamespace(agent="trained"), checkpoint=checkpoint)
    choice.refresh()
    choice.meet(SimpleNamespace(session=session))  # type: ignore[arg-type]
    set_by_browser(choice._file, "b", meanwhile=choice.refresh)
    assert requests == [Play(other)]


def test_a_slider(gui: Any) -> None:  # noqa: ANN401
    requests: list[Request] = []
    controls = Controls(gui, requests.append, lambda follow: None)
    set_by_browser(controls._sliders[0], 0.7, meanwhile=lambda: controls.show(STATUS))
    set_by_browser(controls._friction, 0.9, meanwhile=lambda: controls.show(STATUS._replace(keyed=2)))
    assert requests == [Steer((0.7, 0.0, 0.0)), Friction(0.9)]
