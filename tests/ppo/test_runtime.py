"""Devices and precisions are chosen as the flags say, or refused with a remedy."""

import os
from collections.abc import Iterator

import pytest
import torch

from ppo.runtime import Precision, PrecisionName, Stopwatch, cpu_has_bf16, derive_seed, resolve_device


@pytest.fixture(autouse=True)
def _restore_torch_settings() -> Iterator[None]:
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn


def pretend_cuda(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    def visible() -> int:
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        return count if named is None else len(named.split(","))

    # What a test sets is undone at its end.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: visible() > 0)
    monkeypatch.setattr(torch.cuda, "device_count", visible)


def test_auto_takes_cuda_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, 0)
    assert resolve_device("auto") == torch.device("cpu")
    pretend_cuda(monkeypatch, 2)
    assert resolve_device("auto").type == "cuda"


def test_named_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, 2)
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("cuda") == resolve_device("cuda:0") == torch.device("cuda:0")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("name", "local_rank", "named", "seen"),
    [
        ("cuda:1", 0, None, "1"),
        ("cuda:2", 0, "3,5,GPU-8932f937, 7", "GPU-8932f937"),
        ("cuda:3", 0, "3,5,GPU-8932f937, 7", "7"),
        ("cuda", 2, None, "2"),
        ("auto", 2, "4,5,6", "6"),
        ("cuda:1", 2, None, "1"),
        ("cuda", 0, "4,5,6", "4,5,6"),
        ("cpu", 2, "4,5,6", "4,5,6"),
    ],
)
def test_a_process_sees_its_gpu_first(
    name: str, local_rank: int, named: str | None, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_cuda(monkeypatch, 4)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert resolve_device(name, local_rank) == torch.device("cpu" if name == "cpu" else "cuda:0")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_a_gpu_that_cannot_be_hidden_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, 2)
    # As where CUDA is in use already.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="set CUDA_VISIBLE_DEVICES=1 and use cuda"):
        resolve_device("cuda:1")


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("gpu", 1, "gpu is not a device; use auto, cpu"),
        ("", 1, "is not a device; use auto, cpu"),
        ("cuda:x", 1, "cuda:x is not a device"),
        ("mps", 0, "mps is not supported; use auto, cpu"),
        ("meta", 0, "meta is not supported"),
        ("cpu:1", 0, "cpu:1 is not supported"),
        ("cuda", 0, "no CUDA; use cpu"),
        ("cuda:2", 2, "only 2 CUDA devices"),
    ],
)
def test_devices_that_are_not_there(name: str, count: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, count)
    with pytest.raises(ValueError, match=message) as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "device", "resolved", "matmul"),
    [
        ("auto", "cpu", "fp32", "highest"),
        ("auto", "cuda", "tf32", "high"),
        ("fp32", "cuda", "fp32", "highest"),
        ("tf32", "cuda", "tf32", "high"),
        ("bf16", "cuda", "bf16", "high"),
        pytest.param(
            *("bf16", "cpu", "bf16", "highest"),
            marks=pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU cannot run an LSTM in bf16"),
        ),
    ],
)
def test_precision(
    name: PrecisionName, device: str, resolved: str, matmul: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert Precision.resolve(name, torch.device(device)) == Precision(resolved, device)  # type: ignore[arg-type]
    assert torch.get_float32_matmul_precision() == matmul
    assert torch.backends.cudnn.allow_tf32 is (matmul == "high")


def test_precisions_that_the_device_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="tf32 needs a CUDA device; use fp32"):
        Precision.resolve("tf32", torch.device("cpu"))
    if not cpu_has_bf16():
        with pytest.raises(ValueError, match="bf16 is not supported by this CPU"):
            Precision.resolve("bf16", torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(ValueError, match="bf16 is not supported by this GPU"):
        Precision.resolve("bf16", torch.device("cuda"))


@pytest.mark.skipif(cpu_has_bf16(), reason="this CPU runs LSTMs in bf16")
def test_bf16_is_refused_where_the_cpu_cannot_run_an_lstm_in_it() -> None:
    with pytest.raises(ValueError, match="bf16 is not supported by this CPU"):
        Precision.resolve("bf16", torch.device("cpu"))


def test_autocast() -> None:
    matrix = torch.ones(2, 2)
    with Precision("fp32", "cpu").autocast():
        assert (matrix @ matrix).dtype == torch.float32
    with Precision("bf16", "cpu").autocast():
        assert (matrix @ matrix).dtype == torch.bfloat16
    assert (matrix @ matrix).dtype == torch.float32


def test_stopwatch_adds_phases_and_forgets_them_when_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 10.0, 10.5, 20.0, 22.0])
    monkeypatch.setattr("ppo.runtime.time.perf_counter", lambda: next(ticks))
    watch = Stopwatch(torch.device("cpu"))
    for name in ("simulation", "policy", "simulation"):
        with watch.phase(name):
            pass
    assert watch.read() == {"simulation": 3.0, "policy": 0.5}
    assert watch.read() == {}


def test_every_stream_has_a_seed_of_its_own() -> None:
    seeds = [
        derive_seed(seed, purpose, rank)
        for seed in (0, 1, 2, 2**63 - 1)
        for purpose in ("environments", "exploration")
        for rank in range(3)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, "exploration", 0) == derive_seed(1, "exploration", 0)


def test_streams_of_neighbouring_seeds_and_ranks_have_nothing_in_common() -> None:
    streams = [
        torch.randn(1000, generator=torch.Generator().manual_seed(derive_seed(seed, "exploration", rank)))
        for seed in (1, 2)
        for rank in (0, 1)
    ]
    correlations = torch.corrcoef(torch.stack(streams)) - torch.eye(4)
    assert correlations.abs().max() < 0.15
