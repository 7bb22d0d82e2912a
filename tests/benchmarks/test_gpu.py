"""The one command for whoever has a GPU, on a CPU."""

import json
import warnings
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.adapters import OURS
from benchmarks.end_to_end import STAGES
from benchmarks.training_stages import Job
from configs.presets import SMOKE
from ppo.runtime import Precision


def test_a_case_that_fails_tells_why_and_costs_no_other() -> None:
    cpu = torch.device("cpu")
    # No engine simulates there.
    job = Job(OURS, SMOKE, torch.device("meta"), Precision("fp32", cpu.type), threads=1, iterations=1, model=None)
    told: list[str] = []
    case = gpu.measure_case(job, [OURS], 1, told.append)
    assert set(case) == {"failed"}
    assert told == [f"failed: {case['failed']}"]


def test_only_what_waits_is_counted_as_a_wait() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mode = "Synchronization debug mode is a prototype feature and does not yet detect all synchronizing operations"
        warnings.warn_explicit(mode, UserWarning, str(gpu.ROOT / "torch" / "cuda.py"), 1270)
        for line in (125, 44, 125):
            text = "called a synchronizing CUDA operation (Triggered internally at CUDAFunctions.cpp:173.)"
            warnings.warn_explicit(text, UserWarning, str(gpu.ROOT / "ppo" / "rollout.py"), line)
    assert gpu.count_waits(caught) == {"ppo/rollout.py:125": 2, "ppo/rollout.py:44": 1}


def test_quick_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gpu.json"
    words = ["--quick", "--device", "cpu", "--threads", str(torch.get_num_threads()), "--json", str(path)]
    assert gpu.main(words) == 0
    document = json.loads(path.read_text())
    assert set(document["presets"]["smoke"]["16"][OURS]["steps_per_second"]) == set(STAGES)
    assert document["waits"] == {}
    for part in ("collecting", "learning"):
        assert document[part]["seconds"] > 0.0
        assert document[part]["kernels and copies"] == document[part]["device seconds"] == 0
    assert f"every number is in {path}" in capsys.readouterr().out
