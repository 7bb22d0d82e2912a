"""A checkpoint beside statistics of observations is not taken for one that works without them."""

from pathlib import Path

import pytest

from ppo.checkpoint.vec_normalize import warn_of_normalization
from tests.ppo.checkpoint.checkpoint_models import tiny_model


@pytest.mark.parametrize(
    ("zip_name", "pickle"),
    [
        ("best_model.zip", "vecnormalize.pkl"),
        ("best_model.zip", "vec_normalize.pkl"),
        ("model.zip", "model_vecnormalize.pkl"),
        ("model.zip", "model_vec_normalize.pkl"),
        # As CheckpointCallback names them.
        ("rl_model_5000_steps.zip", "rl_model_vecnormalize_5000_steps.pkl"),
        ("rl_model_5000_steps.zip", "rl_model_vecnormalize.pkl"),
        ("rl_model_5000_steps.zip", "rl_model_5000_steps_vecnormalize.pkl"),
    ],
)
def test_statistics_beside_a_model_are_named_in_one_line(tmp_path: Path, zip_name: str, pickle: str) -> None:
    path = tmp_path / zip_name
    (tmp_path / pickle).write_text("never opened")
    line = warn_of_normalization(path, tiny_model())
    assert line is not None
    assert line.startswith(f"warning: {path}: beside it lies {pickle}, ")
    assert "\n" not in line


@pytest.mark.parametrize(
    "pickle", ["other_vecnormalize.pkl", "model_vecnormalize_100_steps.pkl", "replay_buffer.pkl", "vecnormalize.zip"]
)
def test_other_files_are_passed_over(tmp_path: Path, pickle: str) -> None:
    (tmp_path / pickle).touch()
    assert warn_of_normalization(tmp_path / "model_200_steps.zip", tiny_model()) is None


def test_our_own_checkpoints_carry_their_statistics(tmp_path: Path) -> None:
    (tmp_path / "vecnormalize.pkl").touch()
    assert warn_of_normalization(tmp_path / "model.zip", tiny_model(own_facts={"version": 1})) is None
