"""Genesis' caches are put right before it starts: no lock for ever, nothing broken, and always somewhere to write."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from biped.simulators.genesis_cache import CACHES, HEADER, INDEX, KERNELS, LOCK, TRACES, kernels_whole, settle_caches

NAMES = ["T" + digit * 64 for digit in "ab"]


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Home of a user's caches, with two kernels that Quadrants has compiled."""
    for variable in CACHES:
        # Set first, so that what the code sets is taken back as well.
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = kernels(tmp_path / "home")
    folder.mkdir(parents=True)
    for name in NAMES:
        body = b'{"args":[]}' + name.encode() * 3
        content = HEADER.pack(b"QDC", 11, len(body) - 11) + body + hashlib.sha256(body).hexdigest().encode()
        (folder / f"{name}.qdc").write_bytes(content)
    index = b"".join(name.encode() + bytes(20) for name in NAMES)
    (folder / INDEX).write_bytes((len(index) + 8).to_bytes(8, "little") + index)
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
    assert kernels_whole(kernels(caches))
    assert sorted(path for path in caches.rglob("*") if path.name != "genesis") == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", [f"{NAMES[1]}.qdc", INDEX])
@pytest.mark.parametrize("damage", [cut, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(bytes(100))])
def test_damaged_kernels_are_compiled_anew_and_it_is_said(
    name: str, damage: Callable[[Path], object], caches: Path
) -> None:
    damage(kernels(caches) / name)
    (line,) = settle()
    assert "was damaged, so all kernels of the simulator are compiled anew" in line
    assert not kernels(caches).exists()
    assert not (kernels(caches).parent / TRACES).exists()
    assert settle() == []


@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_a_kernel_of_the_index_that_is_changed_or_missing(damage: Callable[[Path], object], caches: Path) -> None:
    damage(kernels(caches) / f"{NAMES[0]}.qdc")
    assert not kernels_whole(kernels(caches))


def test_a_broken_trace_goes_alone(caches: Path) -> None:
    traces = kernels(caches).parent / TRACES
    (traces / "empty.cache.txt").touch()
    assert settle() == []
    assert [path.name for path in traces.iterdir()] == ["whole.cache.txt"]
    assert kernels(caches).exists()


def test_the_lock_of_a_killed_program_is_removed(caches: Path) -> None:
    lock = kernels(caches) / LOCK
    lock.touch()
    os.utime(lock, (time.time() - 60.0,) * 2)
    assert settle() == []
    assert not lock.exists()


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
