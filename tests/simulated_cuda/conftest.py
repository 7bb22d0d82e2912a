"""The device is built once, before the first test here; without a compiler there are none."""

import subprocess
from pathlib import Path

import pytest

from tests.simulated_cuda import device


@pytest.fixture(scope="session", autouse=True)
def built() -> Path:
    if device.compiler() is None:
        pytest.skip("there is no C++ compiler for the simulated CUDA device")
    try:
        return device.library()
    except subprocess.CalledProcessError as error:
        pytest.fail(f"the simulated CUDA device does not compile:\n{error.stderr}")
