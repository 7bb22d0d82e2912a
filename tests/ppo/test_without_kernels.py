"""`ppo/cpu` is optional: without the folder, everything else is there and works."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SELECTION = (
    "tests/ppo/test_recurrence.py",
    "tests/ppo/test_rollout.py",
    "tests/ppo/test_update.py::test_learning_lowers_the_loss_it_is_given",
    "tests/ppo/test_policy.py::test_acting_step_by_step_equals_evaluating_the_sequence",
    "tests/ppo/test_trainer.py::test_learns_what_needs_memory[1]",
    "tests/ppo/test_learner.py::test_a_resumed_run_equals_one_that_never_stopped[constant]",
    "tests/ppo/test_processes.py::test_two_processes_learn_what_one_learns",
)
IMPORT_ALL = """
import importlib, pathlib
assert not pathlib.Path("ppo/cpu").exists()
for path in sorted(pathlib.Path("ppo").rglob("*.py")):
    if path.stem != "__main__":
        module = importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
        assert pathlib.Path(module.__file__) == path.resolve()
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and its tests, without the kernels."""
    folder = tmp_path_factory.mktemp("checkout")
    leave_out = shutil.ignore_patterns("cpu", "__pycache__")
    for name in ("ppo", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave_out)
    shutil.copytree(ROOT / "tests" / "ppo", folder / "tests" / "ppo", ignore=leave_out)
    for name in ("pyproject.toml", "tests/__init__.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def run(checkout: Path, *arguments: str) -> str:
    variables = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_other_module_can_be_imported(checkout: Path) -> None:
    run(checkout, "-c", IMPORT_ALL)


def test_network_training_and_processes_pass_their_tests(checkout: Path) -> None:
    output = run(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SELECTION)
    assert "passed" in output.splitlines()[-1]
    assert "skipped" not in output.splitlines()[-1]
