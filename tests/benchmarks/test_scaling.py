"""Speeds are read from the run's own files, and every number of processes is trained with."""

import json
import os
from pathlib import Path
from unittest.mock import patch

import pytest
from torch.utils.tensorboard import SummaryWriter

from benchmarks import scaling
from benchmarks.scaling import TAG, TrainingError, iteration_rates, main, train, training_command


def test_rates_from_the_times_of_the_log(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "run")) as writer:
        for step, wall_time in ((100, 50.0), (200, 60.0), (300, 65.0)):
            writer.add_scalar(TAG, 1.0, step, walltime=wall_time)
    assert iteration_rates(tmp_path) == [10.0, 20.0]


def test_a_training_of_so_many_iterations() -> None:
    words = training_command("smoke", "mujoco", 16, 2, 3, "cpu")
    values = dict(zip(words[2::2], words[3::2], strict=True))
    # 3 iterations and 2 before them, of 16 robots and 24 steps each.
    assert values["--total-timesteps"] == str(5 * 16 * 24)
    assert values["--processes"] == "2"
    assert Path(words[1]).is_file()


def test_a_failed_training_is_reported() -> None:
    with pytest.raises(TrainingError, match=r"exit code 2: error: .*--num-envs"):
        train(training_command("smoke", "mujoco", 15, 2, 1, "cpu"), 0)


def test_the_table_has_every_number_of_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fake(command: list[str], turn: int) -> dict[str, float]:
        return {"steps_per_second": 100.0 if command[command.index("--processes") + 1] == "1" else 150.0}

    path = tmp_path / "result.json"
    with patch.object(scaling, "train", fake):
        assert main(["--quick", "--repeats", "2", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "│ 1 " in out
    assert "│ 2 " in out
    results = json.loads(path.read_text())["processes"]
    assert results["1"] == {"steps_per_second": [100.0, 100.0], "speed_up": 1.0, "efficiency": 1.0}
    assert results["2"] == {"steps_per_second": [150.0, 150.0], "speed_up": 1.5, "efficiency": 0.75}


@pytest.mark.genesis
def test_quick_run(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):
        assert main(["--quick", "--simulator", "mujoco", "--json", str(path)]) == 0
    for result in json.loads(path.read_text())["processes"].values():
        assert min(result["steps_per_second"]) > 0.0


@pytest.mark.parametrize("words", [["--processes", "3"], ["--processes", "0"], ["--iterations", "0"]])
def test_bad_input(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
