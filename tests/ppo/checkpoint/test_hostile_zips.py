"""Damaged and hostile checkpoints: each ends in a CheckpointError of one line that tells the reason."""

import os
import pickle
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from ppo.checkpoint.sb3_zip import CheckpointError, read_num_timesteps, read_zip
from tests.ppo.checkpoint.checkpoint_models import (
    assert_refused,
    members_of,
    torch_file,
    zip_bytes,
)


def test_whole_file_is_read(path: Path) -> None:
    read_zip(path)
    path.write_bytes(zip_bytes(members_of(path)))
    read_zip(path)


def test_every_truncation_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for length in [*range(0, len(content), 1000), len(content) - 1]:
        path.write_bytes(content[:length])
        assert_refused(path)
        with pytest.raises(CheckpointError):
            read_num_timesteps(path)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path, "it is not a file")
    assert_refused(tmp_path / "missing.zip", "it is not a file")
    assert_refused(tmp_path / ("n" * 300), "name too long")
    assert_refused(tmp_path / "sub" / "missing.zip", "it is not a file")
    with pytest.raises(CheckpointError):
        read_zip(tmp_path / "nul\0byte.zip")
    if hasattr(os, "mkfifo"):
        # Opening a pipe would wait for a writer for ever.
        os.mkfifo(tmp_path / "pipe")
        assert_refused(tmp_path / "pipe", "it is not a file")


def test_file_without_permission_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by its mode, which does not stop a superuser.
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert_refused(path, "Permission denied")


def test_failing_disk_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(zipfile.ZipFile, "read", broken)
    assert_refused(path, "Input/output error")


def test_too_large_file_is_refused_before_it_is_read(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(5 * 2**30)  # sparse: takes no space
    assert_refused(path, "larger than")


def test_message_stays_one_line(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines\x1b[31m.zip"
    with pytest.raises(CheckpointError) as raised:
        read_zip(path)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a zip"),
        (b"PK\x03\x04", "cut short"),
        (b"PK\x05\x06" + bytes(18), "not a zip"),
        (b"\x1f\x8b" + bytes(100), "not a zip"),
        (pickle.dumps({"a": 1}), "not a zip"),
        (zip_bytes({"readme": b"x"}), "'policy.pth' is missing"),
        (zip_bytes({"data": b"{}"}), "'policy.pth' is missing"),
        (zip_bytes({"data": b"{}", "policy.pth": b""}), "policy.pth is refused: it is not a zip"),
        (zip_bytes({"data": b"{}", "policy.pth": torch_file(b"\x80\x02].")}), "not a dict of parameters"),
        (zip_bytes({"data": b"{}", "policy.pth": torch_file(b"\x80\x02}.")}), "policy_class is missing"),
    ],
)
def test_foreign_content_is_refused(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    assert_refused(path, reason)


def test_trailing_bytes_are_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")
    assert_refused(path, "behind its end")


@pytest.mark.parametrize("name", ["data", "policy.pth", "DATA"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_member_that_appears_twice_is_refused(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"{}")
    assert_refused(path, "twice")


def test_foreign_members_are_ignored(path: Path) -> None:
    members = {**members_of(path), "../../etc/passwd": b"x", "foo.pth": b"x", "/abs": b"x", "dir/": b""}
    path.write_bytes(zip_bytes(members))
    assert read_zip(path).num_timesteps == 123_456
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["model.zip"]


@pytest.mark.parametrize("member", ["policy.pth", "data"])
def test_missing_member_is_refused(path: Path, member: str) -> None:
    members = members_of(path)
    del members[member]
    path.write_bytes(zip_bytes(members))
    assert_refused(path, f"{member!r} is missing")


def test_missing_optimizer_means_a_new_one(path: Path) -> None:
    members = members_of(path)
    del members["policy.optimizer.pth"]
    path.write_bytes(zip_bytes(members))
    optimizer = read_zip(path).optimizer
    assert optimizer is not None
    assert optimizer["state"] == {}


def test_zip_bomb_is_refused_without_unpacking(path: Path) -> None:
    members = {**members_of(path), "native_state.pt": bytes(64 * 2**20)}
    path.write_bytes(zip_bytes(members, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    try:
        assert_refused(path, "compressed")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def _overlapping(members: int, size: int) -> bytes:
    """Return a zip in which all members of the directory are the same bytes."""
    with BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", bytes(size))
            first = archive.infolist()[0]
            for number in range(members):
                again = zipfile.ZipInfo(f"archive/data/{number}")
                again.header_offset, again.file_size, again.compress_size = 0, size, size
                again.CRC, again.external_attr = first.CRC, first.external_attr
                archive.filelist.append(again)
        return buffer.getvalue()


def test_overlapping_members_are_refused(path: Path) -> None:
    path.write_bytes(zip_bytes({**members_of(path), "policy.pth": _overlapping(1000, 100_000)}))
    assert_refused(path, "add up to more")
    path.write_bytes(_overlapping(10, 100_000))
    assert_refused(path, "add up to more")


def test_endless_directory_is_refused(path: Path) -> None:
    path.write_bytes(zip_bytes({**{f"member_{number}": b"" for number in range(40_000)}, **members_of(path)}))
    tracemalloc.start()
    try:
        assert_refused(path, "damaged")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
