from pathlib import Path

import pytest

pytest.importorskip("viser")
pytest.importorskip("trimesh")

import trimesh

from app.web.robot_view import read_mesh
from biped.robots.shapes import GREY, Placement, Shape


def mesh(path: Path) -> Shape:
    return Shape("mesh", (0.001, 0.001, 0.002), path, Placement((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)), GREY)


def test_a_mesh_is_read_in_its_scale(tmp_path: Path) -> None:
    path = tmp_path / "box.stl"
    trimesh.creation.box((100.0, 200.0, 300.0)).export(path)
    read = read_mesh(mesh(path))
    assert read is not None
    assert read.extents == pytest.approx([0.1, 0.2, 0.6])


def test_a_mesh_that_is_missing_or_none_is_left_out(tmp_path: Path) -> None:
    assert read_mesh(mesh(tmp_path / "gone.stl")) is None
    for name in ("broken.stl", "broken.dae", "broken.obj", "unknown.xyzw"):
        (tmp_path / name).write_text("nothing")
        assert read_mesh(mesh(tmp_path / name)) is None, name
