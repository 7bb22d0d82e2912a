"""Checkpoints go to Stable-Baselines3 2.3, which runs on gymnasium 0.29, and come back.

The old packages live in a folder of their own beside the installed ones, made once: `.sb3-2.3`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ppo.checkpoint.sb3_zip import read_zip
from tests.ppo.checkpoint.sb3_exchange import ExchangeTests, exchange

FOLDER = Path(__file__).parents[3] / ".sb3-2.3"
PACKAGES = ("stable-baselines3==2.3.2", "sb3-contrib==2.3.0", "gymnasium==0.29.1", "pandas", "pytz")
"""The old packages, and what they import that nothing else here does; the rest, torch above all, is shared."""


def _install() -> None:
    """Make `FOLDER`; fails the test where the environment variable CI is "true", and skips it elsewhere."""
    if FOLDER.is_dir():
        return
    # Another name until everything is there: an interrupted installation must not pass for a whole one.
    unfinished = Path(tempfile.mkdtemp(prefix=".sb3-2.3-", dir=FOLDER.parent))
    try:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(unfinished),
            *PACKAGES,
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            reason = f"{' '.join(PACKAGES)} cannot be installed: {result.stderr.strip()[-300:]}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        unfinished.rename(FOLDER)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _install()
    folder = tmp_path_factory.mktemp("sb3_old")
    exchange(folder, python_path=str(FOLDER))
    return folder


class TestVersion23(ExchangeTests):
    # Clip ranges are pickled functions there, even where they are constant.
    clip_range = None

    def test_the_version_is_the_old_one(self, exchanged: Path) -> None:
        assert (exchanged / "version.txt").read_text() == "2.3.2"

    def test_clip_range_of_values_is_unknown_too(self, exchanged: Path) -> None:
        assert read_zip(exchanged / "genuine_elu_linear.zip").hyperparameters["clip_range_vf"] is None
