import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from ppo.report.logging import MetricsLogger, WandbConfig, WandbMissingError, next_run_folder

REPOSITORY = Path(__file__).parents[3]


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}


def run_python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def fail_on_warning(text: str) -> None:
    pytest.fail(f"unexpected warning: {text}")


@pytest.mark.parametrize(
    ("present", "fresh", "reused"),
    [
        ([], "RecurrentPPO_1", "RecurrentPPO_1"),
        (["RecurrentPPO_1"], "RecurrentPPO_2", "RecurrentPPO_1"),
        (["RecurrentPPO_1", "RecurrentPPO_7"], "RecurrentPPO_8", "RecurrentPPO_7"),
        (["RecurrentPPO_9", "RecurrentPPO_10"], "RecurrentPPO_11", "RecurrentPPO_10"),
        (["RecurrentPPO_old_30", "RecurrentPPO_9x", "RecurrentPPO_", "PPO_4"], "RecurrentPPO_1", "RecurrentPPO_1"),
        (["RecurrentPPO_0"], "RecurrentPPO_1", "RecurrentPPO_0"),
    ],
)
def test_run_folder_numbering(tmp_path: Path, present: Sequence[str], fresh: str, reused: str) -> None:
    for name in present:
        (tmp_path / name).mkdir()
    assert next_run_folder(tmp_path, reuse=False) == tmp_path / fresh
    assert next_run_folder(tmp_path, reuse=True) == tmp_path / reused
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(present), "numbering must create nothing"


def test_run_folder_numbering_equals_stable_baselines3(tmp_path: Path) -> None:
    utils = pytest.importorskip("stable_baselines3.common.utils")
    for name in ("RecurrentPPO_3", "RecurrentPPO_12", "RecurrentPPO_old_30", "RecurrentPPO_99x", "RecurrentPPO_007"):
        (tmp_path / name).mkdir()
    (tmp_path / "RecurrentPPO_20").touch()
    expected = utils.get_latest_run_id(str(tmp_path), "RecurrentPPO") + 1
    assert next_run_folder(tmp_path, reuse=False).name == f"RecurrentPPO_{expected}" == "RecurrentPPO_21"
    assert next_run_folder(tmp_path, reuse=True).name == "RecurrentPPO_12", "a plain file is not a run to continue"


def test_run_folder_without_a_log_folder(tmp_path: Path) -> None:
    assert next_run_folder(tmp_path / "missing", reuse=False) == tmp_path / "missing" / "RecurrentPPO_1"
    assert next_run_folder(tmp_path / "missing", reuse=True) == tmp_path / "missing" / "RecurrentPPO_1"


def test_tensorboard_holds_tags_steps_and_values_before_close(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "RecurrentPPO_1"
    logger = MetricsLogger(folder, wandb=None, config={}, warn=fail_on_warning)
    logger.log({"rollout/ep_rew_mean": 1.5, "train/learning_rate": 0.001}, 4_000_000_000)
    logger.log({"rollout/ep_rew_mean": -2.25}, 4_000_098_304)

    scalars = read_scalars(folder)
    assert set(scalars) == {"rollout/ep_rew_mean", "train/learning_rate"}
    assert scalars["rollout/ep_rew_mean"] == [(4_000_000_000, 1.5), (4_000_098_304, -2.25)]
    ((step, value),) = scalars["train/learning_rate"]
    assert step == 4_000_000_000
    assert value == pytest.approx(0.001, rel=1e-6)

    logger.close()
    logger.close()
    assert read_scalars(folder) == scalars


def test_nan_is_left_out_and_infinity_is_kept(tmp_path: Path) -> None:
    logger = MetricsLogger(tmp_path, wandb=None, config={}, warn=fail_on_warning)
    logger.log({"rollout/ep_rew_mean": float("nan"), "time/fps": 7.0}, 10)
    logger.log({"rollout/ep_rew_mean": float("nan")}, 20)
    logger.log({"rollout/ep_rew_mean": 3.0, "train/loss": float("inf")}, 30)
    logger.close()
    assert read_scalars(tmp_path) == {
        "time/fps": [(10, 7.0)],
        "rollout/ep_rew_mean": [(30, 3.0)],
        "train/loss": [(30, float("inf"))],
    }


def test_a_continued_run_replaces_what_was_logged_beyond_its_checkpoint(tmp_path: Path) -> None:
    interrupted = MetricsLogger(tmp_path, wandb=None, config={}, warn=fail_on_warning)
    for step, value in ((100, 1.0), (200, 2.0), (300, 3.0)):
        interrupted.log({"time/fps": value}, step)
    interrupted.close()
    continued = MetricsLogger(tmp_path, wandb=None, config={}, warn=fail_on_warning, continued_from=200)
    assert read_scalars(tmp_path) == {"time/fps": [(100, 1.0), (200, 2.0)]}
    continued.log({"time/fps": 25.0}, 290)
    continued.close()
    assert read_scalars(tmp_path) == {"time/fps": [(100, 1.0), (200, 2.0), (290, 25.0)]}


def test_an_unwritable_run_folder_warns_once_and_training_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    warnings: list[str] = []
    logger = MetricsLogger(tmp_path / "file" / "run", wandb=None, config={}, warn=warnings.append)
    logger.log({"time/fps": 1.0}, 1)
    logger.close()
    assert len(warnings) == 1
    assert warnings[0].startswith("TensorBoard logging stops: ")
    assert str(tmp_path / "file") in warnings[0]


def test_a_disk_that_fills_up_warns_once_and_loses_nothing_written_before(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    code = """
import resource, sys
from pathlib import Path
from ppo.report.logging import MetricsLogger
logger = MetricsLogger(Path(sys.argv[1]), wandb=None, config={}, warn=lambda text: print("WARNING", text))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
for step in range(200):
    logger.log({"time/fps": float(step)}, step)
logger.close()
print("finished")
"""
    result = run_python(code, str(tmp_path))
    assert result.stderr == ""
    assert result.stdout == "WARNING TensorBoard logging stops: [Errno 27] File too large\nfinished\n"
    fps = read_scalars(tmp_path)["time/fps"]
    assert 10 < len(fps) < 200
    assert fps == [(step, float(step)) for step in range(len(fps))]


def test_logging_imports_neither_torch_nor_tensorflow_nor_wandb(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise RuntimeError('tensorflow was imported')\n")
    code = """
import json, sys, tempfile
from pathlib import Path
from ppo.report.logging import MetricsLogger
logger = MetricsLogger(Path(sys.argv[1]), wandb=None, config={}, warn=print)
logger.log({"time/fps": 1.0}, 1)
logger.log_checkpoint(Path("missing.zip"))
logger.close()
print(json.dumps([name for name in ("torch", "tensorflow", "wandb") if name in sys.modules]))
"""
    result = run_python(code, str(tmp_path / "run"), PYTHONPATH=str(tmp_path))
    assert result.stderr == ""
    assert json.loads(result.stdout) == []


def test_a_missing_wandb_package_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(WandbMissingError, match=r"^Weights & Biases needs the package wandb: pip install wandb$"):
        MetricsLogger(tmp_path / "run", wandb=WandbConfig(), config={}, warn=fail_on_warning)
    assert not (tmp_path / "run").exists()


def test_a_folder_called_wandb_does_not_pass_for_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace_package = ModuleType("wandb")
    namespace_package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "wandb", namespace_package)
    with pytest.raises(WandbMissingError):
        MetricsLogger(tmp_path / "run", wandb=WandbConfig(), config={}, warn=fail_on_warning)


class FakeWandb:
    """Stands in for the wandb module and for the run it opens; records every call."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.failing = failing
        self.id = "abc"
        self.offline = False
        self.url = "https://wandb.example/abc"

    def _record(self, name: str, *details: Any) -> None:  # noqa: ANN401
        if name == self.failing:
            raise RuntimeError(f"{name} failed\nand a second line")
        self.calls.append((name, *details))

    def init(self, **arguments: Any) -> "FakeWandb":  # noqa: ANN401
        self._record("init", arguments)
        return self

    def Settings(self, **settings: Any) -> dict[str, Any]:  # noqa: ANN401, N802
        return settings

    def Artifact(self, name: str, *, type: str) -> "FakeWandb":  # noqa: N802
        self._record("artifact", name, type)
        return self

    def add_file(self, path: str) -> None:
        self._record("add_file", path)

    def define_metric(self, name: str, step_metric: str | None = None, summary: str = "") -> None:
        self._record("define_metric", name, step_metric, summary)

    def log(self, metrics: dict[str, float]) -> None:
        self._record("log", metrics)

    def log_artifact(self, artifact: "FakeWandb", aliases: list[str]) -> None:
        self._record("log_artifact", aliases)

    def finish(self) -> None:
        self._record("finish")


def test_wandb_gets_configuration_metrics_and_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    logger = MetricsLogger(
        tmp_path,
        wandb=WandbConfig(project="walking", entity="lab", run_name="first"),
        config={"num_envs": 8},
        warn=fail_on_warning,
    )
    assert logger.wandb_url == "https://wandb.example/abc"
    logger.log({"time/fps": 5.0, "train/loss": float("nan")}, 96)
    logger.log_checkpoint(tmp_path / "biped_96_steps.zip")
    logger.close()
    logger.log_checkpoint(tmp_path / "biped_192_steps.zip")
    assert fake.calls == [
        (
            "init",
            {
                "project": "walking",
                "entity": "lab",
                "name": "first",
                "id": None,
                "resume": None,
                "config": {"num_envs": 8},
                "dir": str(tmp_path),
                "settings": {"console": "off"},
            },
        ),
        ("define_metric", "global_step", None, ""),
        ("define_metric", "*", "global_step", ""),
        ("log", {"time/fps": 5.0, "global_step": 96}),
        ("artifact", "model-abc", "model"),
        ("add_file", str(tmp_path / "biped_96_steps.zip")),
        ("log_artifact", ["latest", "biped_96_steps"]),
        ("finish",),
    ]


@pytest.mark.parametrize("failing", ["init", "define_metric", "log", "add_file", "log_artifact", "finish"])
def test_a_failure_of_wandb_warns_once_and_leaves_tensorboard_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb(failing))
    warnings: list[str] = []
    logger = MetricsLogger(tmp_path, wandb=WandbConfig(), config={}, warn=warnings.append)
    for step in (1, 2):
        logger.log({"time/fps": float(step)}, step)
        logger.log_checkpoint(tmp_path / "model.zip")
    logger.close()
    logger.close()
    assert warnings == [f"Weights & Biases logging stops: {failing} failed"]
    assert logger.wandb_url is None
    assert read_scalars(tmp_path) == {"time/fps": [(1, 1.0), (2, 2.0)]}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("abc", {"id": "abc", "resume": "allow"}),
        ("../x y", {"id": None, "resume": None}),
        ("", {"id": None, "resume": None}),
    ],
)
def test_a_continued_run_is_the_same_run_of_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, expected: dict[str, str | None]
) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    for continued_from in (None, 96):
        fake = FakeWandb()
        monkeypatch.setitem(sys.modules, "wandb", fake)
        arguments: dict[str, Any] = {"wandb": WandbConfig(), "config": {}, "warn": fail_on_warning}
        MetricsLogger(tmp_path, **arguments, continued_from=continued_from).close()
        given = fake.calls[0][1]
        assert {name: given[name] for name in ("id", "resume")} == (
            expected if continued_from is not None else {"id": None, "resume": None}
        )
        assert (tmp_path / "wandb-run-id.txt").read_text() == "abc"
        (tmp_path / "wandb-run-id.txt").write_text(stored)


def test_wandb_offline_goes_on_with_the_run_that_is_continued(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    code = """
import sys
from pathlib import Path
from ppo.report.logging import MetricsLogger, WandbConfig
for continued_from in (None, 96, None):
    arguments = {"wandb": WandbConfig(), "config": {"from": continued_from}, "warn": print}
    logger = MetricsLogger(Path(sys.argv[1]), **arguments, continued_from=continued_from)
    logger.log({"rollout/ep_rew_mean": 1.5}, 192)
    logger.close()
    print((Path(sys.argv[1]) / "wandb-run-id.txt").read_text())
"""
    folders = {name: str(tmp_path / name) for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "HOME")}
    result = run_python(code, str(tmp_path / "run"), WANDB_MODE="offline", WANDB_SILENT="", WANDB_RUN_ID="", **folders)
    assert (result.returncode, result.stderr) == (0, "")
    first, continued, new = result.stdout.splitlines()
    assert first == continued != new
    records = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    assert sorted(path.stem for path in records) == sorted([f"run-{first}", f"run-{first}", f"run-{new}"])


def test_wandb_offline_writes_a_run_to_the_run_folder_quietly(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    code = """
import sys
from pathlib import Path
from ppo.report.logging import MetricsLogger, WandbConfig
folder = Path(sys.argv[1])
logger = MetricsLogger(folder, wandb=WandbConfig(run_name="offline"), config={"num_envs": 8}, warn=print)
logger.log({"rollout/ep_rew_mean": 1.5}, 96)
(folder / "biped_96_steps.zip").write_bytes(bytes(100))
logger.log_checkpoint(folder / "biped_96_steps.zip")
print(logger.wandb_url)
logger.close()
"""
    folders = {name: str(tmp_path / name) for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "HOME")}
    result = run_python(code, str(tmp_path / "run"), WANDB_MODE="offline", WANDB_SILENT="true", **folders)
    assert (result.returncode, result.stdout, result.stderr) == (0, "None\n", "")
    (record,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    content = record.read_bytes()
    for text in (b"rollout/ep_rew_mean", b"global_step", b"num_envs", b"biped_96_steps", b"biped-rl-sb3"):
        assert text in content
    assert read_scalars(tmp_path / "run") == {"rollout/ep_rew_mean": [(96, 1.5)]}
