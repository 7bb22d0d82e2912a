"""The exported folder stands alone: no torch, nothing of this project, and a README whose example runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.export import runner as source
from app.export.runner import Runner
from tests.end_to_end.command import USER_ENVIRONMENT

ALONE = """
import importlib.abc, sys

class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "app", "ppo", "biped", "configs", "genesis", "mujoco", "tests"}:
            raise ImportError(f"the runner imports {name}")

sys.meta_path.insert(0, Wall())
"""


@pytest.fixture
def readings(walk: Path) -> dict[str, list[float]]:
    """Of a robot that stands in the default pose."""
    contract = json.loads((walk / "contract.json").read_text(encoding="utf-8"))
    sizes = {name: len(one["values"]) for name, one in contract["observation"]["readings"].items() if one["measured"]}
    still = {name: [0.0] * size for name, size in sizes.items()}
    return {**still, "joint_position": contract["joints"]["default_position"]}


def test_the_folder_holds_what_the_readme_lists(walk: Path) -> None:
    listed = re.findall(r"^\| `([\w.]+)` \|", (walk / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted([*listed, "README.md"]) == sorted(path.name for path in walk.iterdir())
    assert source.__file__ is not None
    assert (walk / "runner.py").read_bytes() == Path(source.__file__).read_bytes()


def test_the_example_of_the_readme_runs_without_torch_and_without_this_project(walk: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", (walk / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    result = subprocess.run(
        [sys.executable, "-c", ALONE + example], cwd=walk, env=USER_ENVIRONMENT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "right_hip1" in result.stdout


def test_it_is_about_a_hundred_lines_long() -> None:
    assert source.__file__ is not None
    assert Path(source.__file__).read_text(encoding="utf-8").count("\n") <= 130


def test_reset_begins_anew(walk: Path, readings: dict[str, list[float]]) -> None:
    runner, command = Runner(walk), [0.5, 0.0, 0.0]
    first = [runner.step(readings, command) for _ in range(40)]
    assert not np.array_equal(first[0], first[-1])
    runner.reset()
    again = [runner.step(readings, command) for _ in range(40)]
    np.testing.assert_array_equal(first, again)
    runner.reset(0.5)
    assert not np.array_equal(runner.step(readings, command), first[0])


def test_half_a_period_later_a_symmetric_robot_does_the_mirror_image(
    walk: Path, readings: dict[str, list[float]]
) -> None:
    runner, command = Runner(walk), [0.5, 0.0, 0.0]
    right = runner.step(readings, command) - runner.contract["joints"]["default_position"]
    runner.reset(0.5)
    left = runner.step(readings, command) - runner.contract["joints"]["default_position"]
    np.testing.assert_allclose(left, -right[runner.contract["mirror"]["action"]["columns"]], atol=1e-6)


def test_readings_that_are_missing_or_broken_are_refused(walk: Path, readings: dict[str, list[float]]) -> None:
    runner = Runner(walk)
    with pytest.raises(ValueError, match="the reading joint_velocity must be given, with 9 values"):
        runner.step({name: values for name, values in readings.items() if name != "joint_velocity"}, [0.0] * 3)
    with pytest.raises(ValueError, match="the reading joint_position must be given, with 9 values"):
        runner.step({**readings, "joint_position": [0.0] * 8}, [0.0] * 3)
    with pytest.raises(ValueError, match="the reading base_angular_velocity is not finite"):
        runner.step({**readings, "base_angular_velocity": [0.0, np.nan, 0.0]}, [0.0] * 3)
    with pytest.raises(ValueError, match="the reading command must be given, with 3 values"):
        runner.step(readings, [0.0] * 2)
    # What no part of the observation takes may be unknown.
    runner.step({**readings, "base_position": [np.nan, np.nan, 0.4]}, [0.0] * 3)


def test_files_of_two_exports_are_told_apart(walk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(walk, folder)
    contract = (folder / "contract.json").read_text(encoding="utf-8")
    (folder / "contract.json").write_text(contract.replace('"period": 0.02', '"period": 0.01'), encoding="utf-8")
    with pytest.raises(ValueError, match="two different exports"):
        Runner(folder)
