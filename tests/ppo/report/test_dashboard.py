"""What is shown beside scalars, read back as TensorBoard and its plugins read it."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from ppo.report.dashboard import Dashboard, flags
from ppo.report.event_file import read_scalars
from ppo.report.logging import MetricsLogger
from tests.end_to_end.command import ROOT

DASHBOARD = Dashboard({"progress": {"reward": ["rollout/.*"], "points": ["eval/points"]}}, ["eval/points"])
CONFIG = {"seed": 3, "wandb": False, "save_freq": None, "ppo": {"gamma": 0.5}, "policy": {"pi": [64, 32]}}
FLAGS = {"seed": 3.0, "wandb": "False", "save_freq": "None", "ppo.gamma": 0.5, "policy.pi": "64 32"}


def png() -> bytes:
    """Two rows of three pixels."""
    file = io.BytesIO()
    image.imsave(file, np.zeros((2, 3, 3), np.uint8))
    return file.getvalue()


def logged(folder: Path, continued_from: int | None = None) -> EventAccumulator:
    logger = MetricsLogger(folder, wandb=None, config={}, warn=pytest.fail, continued_from=continued_from)
    logger.arrange(DASHBOARD, CONFIG, {"experiment": CONFIG, "run": {"git_commit": "abc"}})
    logger.log({"eval/points": 4.5}, (continued_from or 0) + 100)
    logger.log_picture("eval/gait", png(), (continued_from or 0) + 100)
    logger.close()
    return EventAccumulator(str(folder)).Reload()


def plugin_data(log: EventAccumulator, tag: str) -> Any:  # noqa: ANN401 - a protocol buffer
    content = log.SummaryMetadata(tag).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_charts_are_arranged(tmp_path: Path) -> None:
    (event,) = logged(tmp_path).Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    found = {group.title: {one.title: list(one.multiline.tag) for one in group.chart} for group in layout.category}
    assert found == DASHBOARD.charts


def test_flags_stand_beside_results(tmp_path: Path) -> None:
    log = logged(tmp_path)
    start = plugin_data(log, metadata.SESSION_START_INFO_TAG).session_start_info
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert values == FLAGS == dict(flags(CONFIG))
    experiment = plugin_data(log, metadata.EXPERIMENT_TAG).experiment
    assert [info.name for info in experiment.hparam_infos] == list(FLAGS)
    # The plugin takes the result from the scalars of the run.
    assert [info.name.tag for info in experiment.metric_infos] == ["eval/points"]
    assert [event.value for event in log.Scalars("eval/points")] == [4.5]


def test_the_configuration_is_text(tmp_path: Path) -> None:
    (event,) = logged(tmp_path).Tensors("configuration")
    text = event.tensor_proto.string_val[0].decode()
    # Four blanks make it code in Markdown.
    assert "    experiment:\n      seed: 3\n" in text
    assert text.endswith("    run:\n      git_commit: abc\n")


def test_pictures_are_images(tmp_path: Path) -> None:
    (event,) = logged(tmp_path).Images("eval/gait")
    assert (event.step, event.width, event.height) == (100, 3, 2)
    assert event.encoded_image_string == png()


def test_a_continued_run_keeps_one_dashboard_and_its_pictures(tmp_path: Path) -> None:
    logged(tmp_path)
    log = logged(tmp_path, continued_from=150)
    assert [event.step for event in log.Images("eval/gait")] == [100, 250]
    assert read_scalars(tmp_path) == {"eval/points": [(100, 4.5), (250, 4.5)]}
    assert plugin_data(log, metadata.SESSION_START_INFO_TAG).session_start_info.hparams["seed"].number_value == 3.0


def test_tensorflow_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise RuntimeError('tensorflow was imported')\n")
    code = """
import sys
from pathlib import Path
from ppo.report.dashboard import Dashboard
from ppo.report.logging import MetricsLogger
logger = MetricsLogger(Path(sys.argv[1]), wandb=None, config={}, warn=print)
logger.arrange(Dashboard({}, []), {}, {})
assert "tensorflow" not in sys.modules
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
