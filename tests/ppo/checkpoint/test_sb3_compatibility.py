"""Checkpoints go to the installed Stable-Baselines3 and come back."""

from importlib.metadata import version
from pathlib import Path

import pytest

from ppo.checkpoint.sb3_zip import read_zip
from tests.ppo.checkpoint.sb3_exchange import ExchangeTests, exchange


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sb3")
    exchange(folder)
    return folder


class TestInstalledVersion(ExchangeTests):
    def test_the_version_is_the_installed_one(self, exchanged: Path) -> None:
        assert (exchanged / "version.txt").read_text() == version("stable-baselines3")

    def test_constant_clip_ranges_are_recovered(self, exchanged: Path) -> None:
        assert read_zip(exchanged / "genuine_tanh.zip").hyperparameters["clip_range"] == 0.15
        assert read_zip(exchanged / "genuine_elu_linear.zip").hyperparameters["clip_range_vf"] == 0.3
