"""Genesis' caches are put right before it starts: no lock for ever, nothing broken, and always somewhere to write."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from biped.simulators.genesis_cache import CACHES, INDEX, KERNELS, LOCK, LOCKED_SECONDS, TRACES, settle_caches


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Home of a user's caches, with what Quadrants writes there."""
    for variable in CACHES:
        # Set first, so that what the code sets is taken back as well.
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = kernels(tmp_path / "home")
    folder.mkdir(parents=True)
    (folder / INDEX).write_bytes((50).to_bytes(8, "little") + bytes(42))
    traces = folder.parent / TRACES
    traces.mkdir()
    (traces / "whole.cache.txt").write_text("{}")
    return tmp_path / "home"


def kernels(home: Path) -> Path:
    return home / "quadrants" / "qdcache" / KERNELS


def settle() -> list[str]:
    lines: list[str] = []
    settle_caches(lines.append)
    return lines


def test_what_is_whole_stays(caches: Path) -> None:
    before = sorted(caches.rglob("*"))
    assert settle() == []
    assert sorted(path for path in caches.rglob("*") if path.name != "genesis") == before


@pytest.mark.parametrize("damage", [lambda index: index[:-1], lambda index: b"", lambda index: bytes(100)])
def test_it_is_said_when_damage_makes_a_start_slow(damage: Callable[[bytes], bytes], caches: Path) -> None:
    index = kernels(caches) / INDEX
    index.write_bytes(damage(index.read_bytes()))
    (line,) = settle()
    assert "is damaged, so the kernels of the simulator are compiled anew" in line


def test_a_broken_trace_goes_alone(caches: Path) -> None:
    traces = kernels(caches).parent / TRACES
    (traces / "empty.cache.txt").touch()
    assert settle() == []
    assert [path.name for path in traces.iterdir()] == ["whole.cache.txt"]
    assert kernels(caches).exists()


def test_the_lock_of_a_killed_program_is_removed(caches: Path) -> None:
    lock = kernels(caches) / LOCK
    for age in (60.0, LOCKED_SECONDS - 1.0):
        lock.touch()
        os.utime(lock, (time.time() - age,) * 2)
        begin = time.monotonic()
        assert settle() == []
        assert not lock.exists()
        assert time.monotonic() - begin < LOCKED_SECONDS


def test_without_a_folder_to_write_to_a_private_one_is_taken_and_found_again(
    caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    lines = settle()
    assert len(lines) == len(CACHES)
    assert all("Not a directory" in line for line in lines)
    folders = [Path(os.environ[variable]) for variable in CACHES]
    for folder in folders:
        assert folder.is_dir()
        assert folder.is_relative_to(tmp_path)
    private = folders[0].parent
    assert private.stat().st_mode & 0o777 == 0o700
    for variable in CACHES:
        monkeypatch.setenv(variable, "")
    settle()
    assert [Path(os.environ[variable]) for variable in CACHES] == folders


def test_a_folder_that_others_can_write_to_is_not_trusted(
    caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    foreign = tmp_path / f"biped-caches-{os.getuid()}"
    foreign.mkdir()
    foreign.chmod(0o777)
    settle()
    assert not Path(os.environ["GS_CACHE_FILE_PATH"]).is_relative_to(foreign)
