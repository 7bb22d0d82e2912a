"""One export of a policy for all tests of this folder."""

from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from app.export.exporting import main
from tests.app.older_policy import OLDER_POLICY


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the export."""
    folder = tmp_path_factory.mktemp("walk") / "export"
    assert main([str(OLDER_POLICY), str(folder)]) == 0
    return folder
