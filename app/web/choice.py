"""The widgets that choose the checkpoint, and what is said about the one that walks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import viser

from app.steering.loop import Status
from app.steering.requests import Play, Request
from app.steering.walker import Walker
from app.web.checkpoints import Checkpoints
from app.web.widgets import put

NONE_CHOSEN = "choose one"
"""Stands among the checkpoints of a run none of which is played."""


class Choice:
    """Run and checkpoint, shared by all browsers.

    Args:
        gui: of the server.
        submit: takes the requests.
        checkpoints: to choose from.
    """

    def __init__(self, gui: viser.GuiApi, submit: Callable[[Request], None], checkpoints: Checkpoints) -> None:
        self._submit, self._checkpoints = submit, checkpoints
        self._walking = ""
        self._played: Path | None = None
        self._asked: Path | None = None
        with gui.add_folder("policy"):
            self._text = gui.add_markdown("")
            self._run: viser.GuiDropdownHandle[str] = gui.add_dropdown("run", checkpoints.runs())
            self._file: viser.GuiDropdownHandle[str] = gui.add_dropdown("checkpoint", (NONE_CHOSEN,))
            self._newest = gui.add_checkbox(
                "always the newest", initial_value=False, hint="play each checkpoint of this run once it is saved"
            )
        self._run.on_update(lambda event: self._list_files() if event.client is not None else None)
        self._file.on_update(self._choose)

    def meet(self, walker: Walker) -> None:
        """Show what is played."""
        session = walker.session
        self._walking = f"{session.options.agent} actions"
        if session.checkpoint is not None and session.options.agent == "trained":
            self._walking = f"trained for {session.checkpoint.model.num_timesteps:,} control steps"
        self._played = self._asked = None if session.checkpoint is None else session.checkpoint.path
        run = None if self._played is None else self._checkpoints.run_of(self._played)
        if run is not None:
            put(self._run, run)
        self.refresh()

    def tell(self, status: Status) -> None:
        """Write down how things stand."""
        falls = "1 fall" if status.falls == 1 else f"{status.falls or 'no'} falls"
        pace = "paused" if status.paused else f"{100.0 * status.pace:.0f} % of real time"
        self._text.content = f"{self._walking}  \n**{falls}**, {pace}"

    def refresh(self) -> None:
        """List the runs and checkpoints that there are now, and ask for the newest one if that is wanted."""
        runs = self._checkpoints.runs()
        if runs != self._run.options:
            self._run.options = runs
        self._list_files()
        newest = self._checkpoints.newest(self._run.value) if self._newest.value else None
        if newest is not None and newest != self._asked:
            self._ask(newest)

    def _list_files(self) -> None:
        files = self._checkpoints.of_run(self._run.value)
        played = next((name for name, path in files.items() if _same(path, self._played)), None)
        names = tuple(files) if played is not None else (NONE_CHOSEN, *files)
        if names != self._file.options:
            self._file.options = names
        put(self._file, played or NONE_CHOSEN)

    async def _choose(self, event: viser.GuiEvent[Any]) -> None:
        # In viser's own loop: until one of its threads has come to it, `refresh` may have put back what is played.
        path = self._checkpoints.of_run(self._run.value).get(self._file.value)
        if event.client is not None and path is not None:
            self._ask(path)

    def _ask(self, path: Path) -> None:
        self._asked = path
        self._submit(Play(path))


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and path.resolve() == other.resolve()
