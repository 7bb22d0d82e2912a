"""The wheel holds every package and asset, and its programs run from any folder."""

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "biped", "configs", "ppo")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files that git knows, so that nothing left over from an earlier build gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    known = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip("this is no checkout of git")
    for name in filter(None, known.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(folder / "source")]
    subprocess.run(command, check=True)
    (made,) = folder.glob("*.whl")
    return made


def test_it_holds_every_module_and_asset(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assets = {path.relative_to(ROOT).as_posix() for path in (ROOT / "biped" / "assets").iterdir()}
    assert modules | assets | {"train.py", "play.py", "ppo/cpu/kernels.c"} <= names
    assert {"app/export/contract.schema.json", "app/export/runner.md", "app/report/page.css"} <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/"))]


def test_its_programs_run_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True)

    def run(program: str, *arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, str(site / "bin" / program), *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site), "DISPLAY": "", "WAYLAND_DISPLAY": ""},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "--num-envs" in run("biped-train", "--help")
    assert "mine.yaml: 9 joints" in run(
        "biped-robot", "import", str(site / "biped/assets/biped.urdf"), "-o", "mine.yaml"
    )
    assert "environment steps" in run("biped-checkpoint", "inspect", str(site / "biped" / "assets" / "walk.zip"))
    if find_spec("onnx") is not None and find_spec("onnxruntime") is not None:
        assert "policy.onnx" in run("biped-export", str(site / "biped" / "assets" / "walk.zip"), "walk")
        assert (tmp_path / "walk" / "README.md").stat().st_size > 0
    arguments = ("--simulator", "mujoco", "--seconds", "0.1")
    pytest.importorskip("mujoco")
    assert str(site / "biped" / "assets" / "walk.zip") in run("biped-play", *arguments)
