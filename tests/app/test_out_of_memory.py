"""A machine or a GPU that is too small ends a training in one line, and costs no model."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.training import is_out_of_memory
from app.training import main as train
from ppo.checkpoint.sb3_zip import read_zip
from tests.app.fake_engines import FakeSimulation, parts

GENESIS = "[cuda_driver.h:operator()@92] CUDA Error CUDA_ERROR_OUT_OF_MEMORY: out of memory"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (RuntimeError(GENESIS), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
    ],
)
def test_what_means_that_memory_has_run_out(error: RuntimeError | MemoryError, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def run_out_after(steps: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the simulator raise in a control step."""
    taken: list[None] = []
    step = FakeSimulation.step

    def failing(self: FakeSimulation, joint_target: Tensor) -> None:
        taken.append(None)
        if len(taken) > steps:
            raise error
        step(self, joint_target)

    monkeypatch.setattr(FakeSimulation, "step", failing)


def test_it_ends_in_one_line_that_says_what_to_lower(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_out_after(30, torch.OutOfMemoryError("CUDA out of memory"), monkeypatch)
    with pytest.raises(SystemExit) as end:
        train(["--preset", "smoke", "--exp-name", "small"], parts())
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cpu has too little memory for 16 robots")
    assert "--num-envs" in line
    assert read_zip(Path("logs/small/model_interrupted.zip")).num_timesteps == 16 * 24


def test_another_error_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    run_out_after(1, RuntimeError("the robot is on fire"), monkeypatch)
    with pytest.raises(RuntimeError, match="on fire"):
        train(["--preset", "smoke"], parts())
