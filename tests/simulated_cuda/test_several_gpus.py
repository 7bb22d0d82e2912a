"""Trainings on a machine with several GPUs, or with fewer than are asked for."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.end_to_end.command import ROOT, USER_ENVIRONMENT, assert_one_line_error
from tests.simulated_cuda.device import GPUS, VISIBLE

BUDGET = ("--preset", "smoke", "--simulator", "genesis", "--total-timesteps", "384")


def train(
    folder: Path, *arguments: str, gpus: int = 2, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "tests.simulated_cuda", "without-physics", *BUDGET, "--log-dir", str(folder)]
    variables = {name: value for name, value in USER_ENVIRONMENT.items() if name != VISIBLE}
    return subprocess.run(
        [*words, *arguments],
        cwd=ROOT,
        env={**variables, "OMP_NUM_THREADS": "1", GPUS: str(gpus), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300.0,
    )


@pytest.mark.parametrize(
    ("device", "visible", "used"), [("cuda:1", "", "1"), ("cuda", "1", "1"), ("cuda:1", "1,0", "0")]
)
def test_a_gpu_is_chosen(device: str, visible: str, used: str, tmp_path: Path) -> None:
    result = train(tmp_path, "--device", device, environment={VISIBLE: visible} if visible else None)
    assert result.returncode == 0, result.stderr
    assert f"process 0 has used simulated GPU {used}\n" in result.stdout


def test_every_process_has_a_gpu_of_its_own(tmp_path: Path) -> None:
    result = train(tmp_path, "--device", "cuda", "--processes", "auto")
    assert result.returncode == 0, result.stderr
    for rank in range(2):
        assert f"process {rank} has used simulated GPU {rank}\n" in result.stdout


def test_more_processes_than_gpus_are_refused(tmp_path: Path) -> None:
    result = train(tmp_path, "--device", "cuda", "--processes", "2", gpus=1)
    assert_one_line_error(result, "--processes: 2 processes need a GPU each", "--device cuda offers 1")
    assert list(tmp_path.iterdir()) == []
