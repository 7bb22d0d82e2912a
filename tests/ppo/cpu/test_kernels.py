"""The kernels are compiled once, and PyTorch takes over where they cannot be."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pytest
import torch

from ppo.cpu.kernels import COMPILERS, complaint, library, load, loaded, usable
from ppo.cpu.layers import KernelLSTM
from ppo.recurrence import EpisodeStarts, EpisodicLSTM

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(library() is None, reason="no C compiler, or switched off")


def test_only_single_precision_on_a_cpu() -> None:
    tensor = torch.zeros(2)
    assert usable(tensor, tensor)
    assert not usable(tensor, tensor.double())
    assert not usable(tensor.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not usable(tensor)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kernels are kept, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "biped-ppo"


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """A compiler that says what is wrong with it."""
    path = tmp_path / "cc"
    path.write_text("#!/bin/sh\necho note: so it is >&2\necho fatal error: no headers >&2\nexit 1\n")
    path.chmod(0o755)
    return str(path)


def test_without_kernels_pytorch_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    lstm, plain = KernelLSTM(3, 16), EpisodicLSTM(3, 16)
    plain.load_state_dict(lstm.state_dict())
    features, starts = torch.randn(4, 5, 3), EpisodeStarts(torch.rand(4, 5) < 0.3)
    state = lstm.initial_state(5)
    compiled = lstm.sequence(features, state, starts)
    monkeypatch.setenv("PPO_KERNELS", "0")
    loaded.cache_clear()
    try:
        assert library() is None
        assert "PPO_KERNELS=0" in str(complaint())
        output = lstm.sequence(features, state, starts)
        assert torch.equal(output, plain.sequence(features, state, starts))
        torch.testing.assert_close(output, compiled, rtol=1e-5, atol=1e-6)
    finally:
        monkeypatch.undo()
        loaded.cache_clear()


def test_what_is_missing_is_named(broken: str, cache: Path) -> None:
    assert load(("no-such-compiler",)).library is None
    assert "there is no C compiler (no-such-compiler)" in str(load(("no-such-compiler",)).complaint)
    assert load((broken,)).library is None
    assert str(load((broken,)).complaint).endswith(f"{broken}: fatal error: no headers")
    assert load((broken, *COMPILERS)) == (ANY, None)


def test_it_is_compiled_once(cache: Path) -> None:
    assert load(COMPILERS) == (ANY, None)
    (made,) = cache.iterdir()
    before = made.stat()
    assert load(COMPILERS).library is not None
    assert [made] == list(cache.iterdir())
    assert made.stat() == before


@pytest.mark.parametrize("damage", [lambda code: code[: len(code) // 2], lambda code: b"", lambda code: code[::-1]])
def test_a_damaged_file_is_compiled_anew(damage: Callable[[bytes], bytes], cache: Path) -> None:
    assert load(COMPILERS).library is not None
    (made,) = cache.iterdir()
    whole = made.read_bytes()
    # A new file, as the old one is mapped into this process.
    made.unlink()
    made.write_bytes(damage(whole))
    assert load(COMPILERS) == (ANY, None)
    assert len(made.read_bytes()) == len(whole)


def test_without_a_folder_to_write_to_they_are_compiled_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    library, complaint = load(COMPILERS)
    assert library is not None
    assert "compiled anew at every start" in str(complaint)
    assert "Not a directory" in str(complaint)


def test_processes_that_start_at_once(cache: Path) -> None:
    program = "from ppo.cpu.kernels import COMPILERS, load; raise SystemExit(load(COMPILERS).complaint)"
    runs = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert [path.suffix for path in cache.iterdir()] == [".so"]
