"""What the tests of this folder share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.app.fake_engines import FakeSimulation


@pytest.fixture(autouse=True)
def simulation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeSimulation]:
    """An empty working folder, no display, and a simulation that takes no time."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    # On a slow machine even a stand-in takes long enough to be remembered.
    monkeypatch.setenv("GS_CACHE_FILE_PATH", str(tmp_path.with_name(f"{tmp_path.name}-caches")))
    monkeypatch.setattr(sys, "platform", "linux")
    return FakeSimulation


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What is computed here is so little that threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
