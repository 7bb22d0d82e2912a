"""The kernels are compiled once, and PyTorch takes over where they cannot be."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from ppo.cpu.kernels import COMPILERS, library, load, usable
from ppo.cpu.layers import KernelLSTM
from ppo.recurrence import EpisodeStarts, EpisodicLSTM

pytestmark = pytest.mark.skipif(library() is None, reason="no C compiler, or switched off")


def write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def test_only_single_precision_on_a_cpu() -> None:
    tensor = torch.zeros(2)
    assert usable(tensor, tensor)
    assert not usable(tensor, tensor.double())
    assert not usable(tensor.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not usable(tensor)


@pytest.mark.parametrize("variable", ["PATH", "PPO_KERNELS"])
def test_without_kernels_pytorch_takes_over(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No compiler on the path but broken ones, or switched off."""
    torch.manual_seed(0)
    lstm, plain = KernelLSTM(3, 16), EpisodicLSTM(3, 16)
    plain.load_state_dict(lstm.state_dict())
    features, starts = torch.randn(4, 5, 3), EpisodeStarts(torch.rand(4, 5) < 0.3)
    state = lstm.initial_state(5)
    compiled = lstm.sequence(features, state, starts)
    for name in COMPILERS:
        write_program(tmp_path / name, "exit 1")
    monkeypatch.setenv(variable, {"PATH": str(tmp_path), "PPO_KERNELS": "0"}[variable])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    library.cache_clear()
    try:
        assert library() is None
        assert not lstm.compiled
        output = lstm.sequence(features, state, starts)
    finally:
        monkeypatch.undo()
        library.cache_clear()
    assert torch.equal(output, plain.sequence(features, state, starts))
    torch.testing.assert_close(output, compiled, rtol=1e-5, atol=1e-6)


def test_of_no_compiler_nothing_is_made() -> None:
    assert load(()) is None
    assert load(("no-such-compiler",)) is None


def test_they_are_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = next(filter(None, map(shutil.which, COMPILERS)))
    wrapper = tmp_path / "compiler"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_program(wrapper, f'exec {compiler} "$@"')
    assert load((str(wrapper),)) is not None
    (made,) = (tmp_path / "cache" / "biped-ppo").iterdir()
    stamp = os.stat(made)
    write_program(wrapper, "exit 1")
    assert load((str(wrapper),)) is not None
    assert [made] == list((tmp_path / "cache" / "biped-ppo").iterdir())
    assert os.stat(made) == stamp
