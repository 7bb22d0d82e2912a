"""A page about a run that is kept with it at Weights & Biases."""

import subprocess
import sys
from pathlib import Path

import pytest

from ppo.report.logging import WandbConfig, keep_report
from tests.end_to_end.command import ROOT, USER_ENVIRONMENT

LOG_AND_KEEP = """
import sys
from pathlib import Path
from ppo.report.logging import MetricsLogger, WandbConfig, keep_report
folder, page = Path(sys.argv[1]), Path("walk.html")
logger = MetricsLogger(folder, wandb=WandbConfig(), config={}, warn=print)
logger.close()
page.write_text("a page")
print(keep_report(folder, WandbConfig(), page))
"""


def test_the_page_is_an_artifact_of_the_run(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    folders = {name: str(tmp_path / name) for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "HOME")}
    environment = {**USER_ENVIRONMENT, **folders, "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", LOG_AND_KEEP, "run"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (0, "None\n"), result.stderr
    run_id = (tmp_path / "run" / "wandb-run-id.txt").read_text()
    records = list((tmp_path / "run" / "wandb").glob(f"offline-run-*/run-{run_id}.wandb"))
    assert any(f"report-{run_id}".encode() in record.read_bytes() for record in records)


def test_a_run_that_is_not_known_there_keeps_nothing(tmp_path: Path) -> None:
    complaint = keep_report(tmp_path, WandbConfig(), tmp_path / "walk.html")
    assert complaint == "the run's folder does not tell which one it was"
