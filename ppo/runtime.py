"""Where and how the arithmetic runs: device, precision, random streams, and the time it takes."""

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.random import SeedSequence
from torch import Tensor, nn

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""CUDA looks at this variable once, when it is used first."""

PrecisionName = Literal["auto", "fp32", "tf32", "bf16"]


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """The device called `name`; `auto` is `cuda` if there is a GPU, else the CPU.

    A GPU is always `cuda:0` to its process, because simulators take the first one that they see, whatever they are
    told. Nothing may have used CUDA before.

    Args:
        name: auto, cpu, cuda or cuda:<index>.
        local_rank: number of this process on its machine; of several GPUs, `cuda` is the one of this number.

    Raises:
        ValueError: the name is unknown or the device is not there.
    """
    try:
        device = torch.device("cuda" if name == "auto" else name)
    except RuntimeError:
        raise ValueError(f"{name} is not a device; use auto, cpu, cuda or cuda:<index>") from None
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index is not None):
        raise ValueError(f"{name} is not supported; use auto, cpu, cuda or cuda:<index>")
    if device.type == "cpu":
        return device
    if torch.cuda.device_count():
        see_one_gpu(local_rank if device.index is None else device.index)
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if name == "auto":
        return torch.device("cpu")
    raise ValueError("this machine or this PyTorch build has no CUDA; use cpu")


def see_one_gpu(index: int) -> None:
    """Hide all GPUs but one from this process, unless it is the first, which is taken anyway.

    Raises:
        ValueError: it is not there, or CUDA is in use already.
    """
    count = torch.cuda.device_count()
    if index >= count:
        raise ValueError(f"there is no cuda:{index}, only {count} CUDA devices")
    if index == 0:
        return
    names = os.environ.get(VISIBLE, ",".join(map(str, range(count)))).split(",")
    os.environ[VISIBLE] = names[index].strip()
    if torch.cuda.device_count() > 1:
        raise ValueError(f"the other GPUs cannot be hidden from here; set {VISIBLE}={names[index]} and use cuda")


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy from the host to `device`, unless it is there, without waiting: a GPU reads by itself what is pinned."""
    return tensor if tensor.device.type == device.type else tensor.pin_memory().to(device, non_blocking=True)


def derive_seed(seed: int, *purpose: int | str) -> int:
    """A seed of 63 bits for one of the random streams of a run.

    Streams of neighbouring seeds, ranks or purposes have nothing in common, as they would if numbers were added up.

    Args:
        seed: of the run, at least 0.
        purpose: what the stream is for, such as `"environments"` and the rank of the process.
    """
    words = [int.from_bytes(part.encode(), "little") if isinstance(part, str) else part for part in purpose]
    (state,) = SeedSequence([seed, *words]).generate_state(1, np.uint64)
    return int(state >> np.uint64(1))


@dataclass(frozen=True)
class Precision:
    """Arithmetic of the network's matrix products in gradient steps. Losses and the optimiser are always float32.

    Outside of gradient steps bf16 is tf32 on CUDA: a control step would spend its time on casting the weights.
    """

    name: Literal["fp32", "tf32", "bf16"]
    device_type: str

    @classmethod
    def resolve(cls, name: PrecisionName, device: torch.device) -> "Precision":
        """Choose and set up the precision; `auto` is tf32 on CUDA and fp32 elsewhere.

        Raises:
            ValueError: the device cannot do it.
        """
        if name == "auto":
            name = "tf32" if device.type == "cuda" else "fp32"
        if name == "tf32" and device.type != "cuda":
            raise ValueError("tf32 needs a CUDA device; use fp32")
        if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise ValueError("bf16 is not supported by this GPU; use tf32 or fp32")
        if name == "bf16" and device.type == "cpu" and not cpu_has_bf16():
            raise ValueError("bf16 is not supported by this CPU, which cannot run an LSTM in it; use fp32")
        tf32 = device.type == "cuda" and name != "fp32"
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        return cls(name, device.type)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Context for the forward pass of a gradient step."""
        if self.name == "bf16":
            return torch.autocast(self.device_type, dtype=torch.bfloat16)
        return contextlib.nullcontext()


@functools.cache
def cpu_has_bf16() -> bool:
    """Whether the CPU learns in bf16: on processors without AVX-512 the library under PyTorch has no such LSTM."""
    with torch.random.fork_rng(devices=[]):
        lstm = nn.LSTM(1, 1, device="cpu")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            lstm(torch.zeros(1, 1, 1))[0].sum().backward()
    except RuntimeError:
        return False
    return True


class Stopwatch:
    """Time spent in named phases, on the device where the work happens there.

    On CUDA, events are recorded and read only in `read`, so that timing never waits for the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.seconds: dict[str, float] = {}
        self.events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the enclosed work to `name`."""
        if self.cuda:
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            yield
            end.record()
            self.events.append((name, begin, end))
        else:
            begin_time = time.perf_counter()
            yield
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin_time

    def read(self) -> dict[str, float]:
        """Seconds per phase since the last call. Call it where the device has been waited for anyway."""
        if self.events:
            self.events[-1][2].synchronize()
        for name, begin, end in self.events:
            self.seconds[name] = self.seconds.get(name, 0.0) + begin.elapsed_time(end) / 1000.0
        seconds, self.seconds, self.events = self.seconds, {}, []
        return seconds
