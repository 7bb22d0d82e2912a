"""The device is built once, before the first test here; where it cannot be, they say why."""

import subprocess
from pathlib import Path

import pytest

from tests.simulated_cuda import device


@pytest.fixture(scope="session", autouse=True)
def built() -> Path:
    reason = device.why_not()
    if reason is not None:
        pytest.skip(reason)
    try:
        return device.library()
    except subprocess.CalledProcessError as error:
        pytest.fail(f"the simulated CUDA device does not compile:\n{error.stderr}")
