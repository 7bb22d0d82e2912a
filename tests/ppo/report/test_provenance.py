import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from ppo.report import provenance
from ppo.report.provenance import PACKAGES, describe_run, git_state, package_version


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository, out of reach of the user's git configuration."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git(tmp_path, "init", "--quiet")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path, content: str) -> str:
    (folder / "file.py").write_text(content)
    git(folder, "add", "file.py")
    git(folder, "commit", "--quiet", "--message", "a commit")
    return git(folder, "rev-parse", "HEAD")


def test_git_state_follows_commits_and_changes(repository: Path) -> None:
    assert git_state(repository) == (None, None), "no commit yet"
    first = commit(repository, "one\n")
    assert len(first) == 40
    assert git_state(repository) == (first, False)
    (repository / "untracked.txt").touch()
    assert git_state(repository) == (first, False)
    (repository / "file.py").write_text("two\n")
    assert git_state(repository) == (first, True)
    git(repository, "add", "file.py")
    assert git_state(repository) == (first, True), "a staged change is not committed"
    second = commit(repository, "two\n")
    assert second != first
    assert git_state(repository) == (second, False)


def test_git_state_is_found_from_a_folder_inside(repository: Path) -> None:
    first = commit(repository, "one\n")
    (repository / "package").mkdir()
    assert git_state(repository / "package") == (first, False)


def test_git_state_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_DIR", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == (None, None)
    assert git_state(tmp_path / "missing") == (None, None)


def test_git_state_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(repository, "one\n")
    monkeypatch.setenv("PATH", str(repository))
    assert git_state(repository) == (None, None)


def test_package_version() -> None:
    assert package_version("torch") == metadata.version("torch")
    assert package_version("no-such-distribution-anywhere") is None


def test_describe_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--exp-name", "two words"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    facts = describe_run()
    assert facts["command"] == "train.py --exp-name 'two words'"
    assert facts["python"] == platform.python_version()
    assert set(facts["packages"]) == set(PACKAGES)
    assert facts["packages"]["numpy"] == metadata.version("numpy")
    assert facts["cpu_count"] == os.cpu_count()
    assert facts["cuda_device"] is None
    assert (facts["git_commit"], facts["git_dirty"]) == git_state(Path(__file__).parents[3] / "ppo")
    assert json.loads(json.dumps(facts)) == facts, "plain values only"


def test_describe_run_names_the_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a graphics card")
    assert describe_run()["cuda_device"] == "a graphics card"


def test_a_copy_within_a_foreign_repository_does_not_name_its_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(repository, "one\n")
    copy = repository / "installed.py"
    copy.touch()
    monkeypatch.setattr(provenance, "__file__", str(copy))
    assert describe_run()["git_commit"] is None
    assert describe_run()["git_dirty"] is None
    monkeypatch.setattr(provenance, "__file__", str(repository / "file.py"))
    assert describe_run()["git_commit"] == first
