"""Building and loading the device of `device.cpp`, and telling `torch.cuda` of it. PyTorch is not imported before."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).with_name("device.cpp")
GPUS = "SIMULATED_GPUS"
"""Variable of the environment: how many GPUs the machine has, 1 unless it is set."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


def compiler() -> str | None:
    """The C++ compiler; None where there is none."""
    return next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)


def why_not() -> str | None:
    """Why this machine cannot have the device; None if it can."""
    if sys.platform != "linux":
        return "the simulated CUDA device is made for Linux"
    if (_torch_folder() / "lib" / "libtorch_cuda.so").exists():
        return "the simulated CUDA device needs the CPU build of PyTorch: this one has a CUDA library of its own"
    return None if compiler() else "there is no C++ compiler for the simulated CUDA device"


def _torch_folder() -> Path:
    spec = find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def library() -> Path:
    """The device for the installed PyTorch, compiled (about 10 s) unless the user's cache holds it.

    Raises:
        subprocess.CalledProcessError: it does not compile; its `stderr` says why.
    """
    folder = _torch_folder()
    key = hashlib.sha256(SOURCE.read_bytes() + f"{metadata.version('torch')} {folder}".encode()).hexdigest()[:20]
    target = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "biped-ppo" / f"device-{key}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        include, libraries = folder / "include", folder / "lib"
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            made = Path(scratch) / "device.so"
            command = [compiler() or "c++", "-O0", "-std=c++20", "-shared", "-fPIC", "-o", str(made), str(SOURCE)]
            command += [f"-I{include}", f"-I{include / 'torch' / 'csrc' / 'api' / 'include'}"]
            command += [f"-L{libraries}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{libraries}"]
            subprocess.run(command, check=True, capture_output=True, text=True)
            os.replace(made, target)
    return target


def install(listener: Callable[[str, str], None]) -> None:
    """Offer `cuda:0` in this process, which cannot be undone.

    Args:
        listener: told of every operator and copy on the device, its kind and its name.
    """
    assert "torch" not in sys.modules, "PyTorch looks for CUDA when it is imported"
    loaded = ctypes.CDLL(str(library()), mode=ctypes.RTLD_GLOBAL)
    function = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p)
    callback = function(lambda kind, name: listener(kind.decode(), name.decode()))
    loaded.listen(callback)

    import torch

    class Event:
        """A moment on the device, where nothing takes longer than on the host."""

        kept_alive = callback

        def __init__(self, **_: object) -> None:
            self.seconds = 0.0

        def record(self) -> None:
            self.seconds = time.perf_counter()

        def synchronize(self) -> None:
            listener("event", "synchronize")

        def elapsed_time(self, other: "Event") -> float:
            return 1e3 * (other.seconds - self.seconds)

    class Stream:
        """The only one."""

        cuda_stream = 0

    replacements = {
        "is_available": lambda: bool(_seen_by_cuda()),
        "device_count": lambda: len(visible_gpus()),
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "get_device_name": lambda device=None: f"simulated GPU {_seen_by_cuda()[0]}",
        "is_bf16_supported": lambda: True,
        "is_current_stream_capturing": lambda: False,
        "current_stream": lambda device=None: Stream,
        "default_stream": lambda device=None: Stream,
        "synchronize": lambda device=None: listener("wait", "synchronize"),
        "_lazy_init": lambda: None,
        "Event": Event,
    }
    for name, value in replacements.items():
        setattr(torch.cuda, name, value)
    # Otherwise an LSTM that is moved to the device would ask cuDNN to pack its weights; `cudnn.py` takes its place.
    torch.backends.cudnn.is_acceptable = lambda tensor: False


def visible_gpus() -> list[str]:
    """The GPUs of the machine that the environment lets this process see, as NVML counts them."""
    present = [str(index) for index in range(int(os.environ.get(GPUS, "1")))]
    named = os.environ.get(VISIBLE)
    return present if named is None else [name for name in named.split(",") if name in present]


@functools.cache
def _seen_by_cuda() -> list[str]:
    """The same as CUDA sees it, which looks at the environment once, at the first call."""
    return visible_gpus()
