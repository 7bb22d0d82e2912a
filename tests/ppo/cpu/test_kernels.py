"""The kernels are compiled once, and PyTorch takes over where they cannot be."""

import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

from ppo.cpu import kernels
from ppo.cpu.kernels import library, usable
from ppo.recurrence import EpisodeStarts, lstm_sequence

pytestmark = pytest.mark.skipif(library() is None, reason="no C compiler, or switched off")


def test_only_single_precision_on_a_cpu() -> None:
    tensor = torch.zeros(2)
    assert usable(tensor, tensor)
    assert not usable(tensor, tensor.double())
    assert not usable(tensor.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not usable(tensor)


def test_without_a_compiler_pytorch_takes_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lstm, features = nn.LSTM(3, 16), torch.randn(4, 5, 3)
    state = torch.zeros(1, 5, 16), torch.zeros(1, 5, 16)
    starts = EpisodeStarts(torch.rand(4, 5) < 0.3)
    expected = lstm_sequence(lstm, features, state, starts)
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    for compilers in ((), (str(broken),)):
        monkeypatch.setattr(kernels, "COMPILERS", compilers)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        library.cache_clear()
        try:
            assert library() is None
            output = lstm_sequence(lstm, features, state, starts)
            torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
        finally:
            monkeypatch.undo()
            library.cache_clear()


def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.cache_clear()
    try:
        assert library() is not None
        (made,) = (tmp_path / "biped-ppo").iterdir()
        library.cache_clear()

        def refuse(*_: object, **__: object) -> None:
            raise subprocess.SubprocessError

        monkeypatch.setattr(subprocess, "run", refuse)
        assert library() is not None
        assert [made] == list((tmp_path / "biped-ppo").iterdir())
    finally:
        monkeypatch.undo()
        library.cache_clear()


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPO_KERNELS", "0")
    library.cache_clear()
    try:
        assert library() is None
    finally:
        monkeypatch.undo()
        library.cache_clear()
