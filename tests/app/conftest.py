"""What the tests of this folder share."""

import sys
from pathlib import Path

import pytest

from tests.app.fake_engines import FakeSimulation


@pytest.fixture(autouse=True)
def simulation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeSimulation]:
    """An empty working folder, no display, and a simulation that takes no time."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    return FakeSimulation
