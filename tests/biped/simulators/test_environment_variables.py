import os

import pytest

from biped.simulators.environment_variables import unset_empty_variables


def test_empty_variables_of_an_engine_are_unset_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MUJOCO_GL": "", "MUJOCO_LOG": "x", "MUJOCO_ID": "0", "PYOPENGL_X": "", "OTHER": ""}.items():
        monkeypatch.setenv(name, value)
    unset_empty_variables("MUJOCO_", "PYOPENGL_")
    left = {name for name in os.environ if name.startswith(("MUJOCO_", "PYOPENGL_", "OTHER"))}
    assert left == {"MUJOCO_LOG", "MUJOCO_ID", "OTHER"}
