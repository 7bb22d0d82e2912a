"""What the tests of checkpoints share."""

from pathlib import Path

import pytest
import torch

from ppo.checkpoint.sb3_zip import write_zip
from tests.ppo.checkpoint.checkpoint_models import (
    tiny_model,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole checkpoint."""
    path = tmp_path / "model.zip"
    write_zip(path, tiny_model(lstm_hidden_size=4, own_facts={"a": [1]}, own_state={"x": [torch.ones(3), "text", 1.5]}))
    return path
