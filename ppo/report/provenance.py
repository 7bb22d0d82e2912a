"""What a run was made with: versions, machine, commit and command line, to be stored beside its configuration."""

import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "genesis-world", "mujoco", "mjbatch", "tensordict", "numpy")
"""Distributions whose version can change a result."""


def describe_run() -> dict[str, Any]:
    """Describe this process in strings, numbers, booleans and None, ready for YAML.

    Returns:
        `command`: the command line as a shell would take it; `python` and `platform`; `packages`: version of each of
        `PACKAGES`, None where it is not installed; `cpu_count`: logical cores of the machine; `cuda_device`: name of
        the current CUDA device, or None; `git_commit` and `git_dirty` as in `git_state`, of the repository that this
        source is part of, or None.
    """
    own = Path(__file__)
    # An installed copy may lie within somebody else's repository.
    tracked = _git(own.parent, "ls-files", "--error-unmatch", own.name) is not None
    commit, dirty = git_state(own.parent) if tracked else (None, None)
    return {
        "command": shlex.join(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "cpu_count": os.cpu_count(),
        "cuda_device": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "git_commit": commit,
        "git_dirty": dirty,
    }


def package_version(name: str) -> str | None:
    """Installed version of a distribution, found without importing it; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit that `folder` is checked out at, and whether tracked files differ from it.

    Returns:
        `(None, None)` outside a repository, before its first commit, and where git is missing.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None, None
    # Without optional locks, a look at the tree cannot get in the way of a git command running at the same time.
    changes = _git(folder, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else changes != ""


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command in `folder`, None if it fails."""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
