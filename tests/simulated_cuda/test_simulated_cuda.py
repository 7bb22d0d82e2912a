"""What the code does on a GPU, checked on a simulated one: each file of `checks` in a process of its own."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.end_to_end.command import ROOT, USER_ENVIRONMENT

FILES = sorted(Path(__file__).with_name("checks").glob("check_*.py"))
MARKS = {"check_genesis": pytest.mark.genesis}
CHECKS = [pytest.param(file, id=file.stem, marks=MARKS.get(file.stem, ())) for file in FILES]


@pytest.mark.parametrize("file", CHECKS)
def test_on_the_simulated_device(file: Path) -> None:
    if file.stem == "check_genesis" and find_spec("genesis") is None:
        pytest.skip("genesis-world is not installed")
    options = ("--quiet", "--capture=no", "-p", "no:cacheprovider", "-o", "python_files=check_*.py")
    result = subprocess.run(
        [sys.executable, "-m", "tests.simulated_cuda", "pytest", str(file), *options],
        cwd=ROOT,
        env={**USER_ENVIRONMENT, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900.0,
    )
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
