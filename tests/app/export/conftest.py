"""One export of the shipped policy for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from app.export.exporting import main
from app.load import SHIPPED_POLICY


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the export."""
    folder = tmp_path_factory.mktemp("walk") / "export"
    assert main([str(SHIPPED_POLICY), str(folder)]) == 0
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks and few robots are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
