"""The compiled kernels of `kernels.c` for a CPU: dense layers and the step-by-step part of LSTM layers.

`ppo.cpu.shared_memory` calls the functions that add up gradients over processes, `ppo.program.interruption` the one
that ends this process.

They are compiled at first use. Without a C compiler, or with the environment variable `PPO_KERNELS=0`, PyTorch's own
operations take their place; the numbers agree to rounding, and small networks learn slower.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ppo.checkpoint.atomic import atomic_write, remove_abandoned

SOURCE = Path(__file__).with_name("kernels.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
NATIVE_FLAGS = ("-march=native",)
COMPILE_TIMEOUT = 120.0
"""s after which a compiler counts as broken."""


class Loaded(NamedTuple):
    """What came of loading the kernels."""

    library: ctypes.CDLL | None
    """None where they are switched off or cannot be compiled."""
    complaint: str | None
    """One line about what is missing or costs time at every start; None if all is well."""


def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they are switched off or cannot be compiled, as `complaint` tells."""
    return loaded().library


def complaint() -> str | None:
    """One line about what is wrong with the kernels of this process, for its user; None if nothing is."""
    return loaded().complaint


@functools.cache
def loaded() -> Loaded:
    """The kernels of this process, loaded at the first call."""
    return load(COMPILERS)


def load(compilers: Sequence[str]) -> Loaded:
    """Load the kernels from the user's cache, after compiling them where it does not hold them whole.

    Args:
        compilers: commands, the best one first.
    """
    without = "The network runs without compiled kernels, up to 1.6 times slower: "
    if os.environ.get("PPO_KERNELS", "1") == "0":
        return Loaded(None, without + "PPO_KERNELS=0 switches them off")
    found = list(filter(None, map(shutil.which, compilers)))
    reason = f"there is no C compiler ({', '.join(compilers)})"
    for compiler in found:
        for flags in ((*NATIVE_FLAGS, *FLAGS), FLAGS):
            try:
                return _load(compiler, flags)
            except subprocess.CalledProcessError as error:
                lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
                reason = f"{compiler}: {next((line for line in lines if 'error' in line), lines[0])}"
            except subprocess.TimeoutExpired:
                reason = f"{compiler} had not compiled them after {COMPILE_TIMEOUT:.0f} s"
            except OSError as error:
                reason = str(error)
    return Loaded(None, without + reason)


def _load(compiler: str, flags: tuple[str, ...]) -> Loaded:
    """Load what this compiler makes.

    Raises:
        OSError: it can be written nowhere, or not be loaded.
        subprocess.SubprocessError: the compiler fails.
    """
    source = SOURCE.read_bytes()
    key = hashlib.sha256(source + repr((compiler, flags, _processor())).encode()).hexdigest()[:20]
    try:
        target = _cache_folder() / f"kernels-{key}.so"
        if _whole(target):
            return Loaded(_open(target), None)
    except (OSError, RuntimeError):
        # Whatever keeps it from being read, the attempt to write it will tell.
        pass
    # Private to this user, as what is loaded from it is run.
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "kernels.so"
        command = [compiler, *flags, "-o", str(made), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_TIMEOUT)
        code = made.read_bytes()
        try:
            folder = _cache_folder()
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / f"kernels-{key}.so"
            # Another process may be doing the same; whoever is last replaces like by like.
            with atomic_write(target) as file:
                file.write(code + hashlib.sha256(code).digest())
            remove_abandoned(folder)
            return Loaded(_open(target), None)
        except (OSError, RuntimeError) as error:
            return Loaded(_open(made), f"The network's kernels are compiled anew at every start: {error}")


def _cache_folder() -> Path:
    """Where compiled kernels are kept.

    Raises:
        RuntimeError: this user has no home folder.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "biped-ppo"


def _whole(path: Path) -> bool:
    """Whether a library is as it was written, its digest behind it: one that is cut short can end the process."""
    content = path.read_bytes() if path.exists() else b""
    length = hashlib.sha256().digest_size
    return len(content) > length and hashlib.sha256(content[:-length]).digest() == content[-length:]


def _open(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    loaded.dense_workspace.restype = loaded.lstm_workspace.restype = ctypes.c_ssize_t
    return loaded


def _processor() -> str:
    """What distinguishes the instructions of this machine from those of another one that shares the home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return platform.machine() + next((line for line in lines if line.lower().startswith(("flags", "features"))), "")


IDENTITY, ELU, RELU, TANH = range(4)
"""Activations of a dense layer."""


def usable(*tensors: Tensor) -> bool:
    """Whether the kernels can take these tensors: float32 on a CPU, and no lower precision asked for."""
    return (
        all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
        and not torch.is_autocast_enabled("cpu")
        and library() is not None
    )


class _Dense(ctypes.Structure):
    """`dense` in `kernels.c`."""

    _fields_: ClassVar = [
        *((name, ctypes.c_ssize_t) for name in ("M", "in_", "out")),
        ("activation", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("x", "weight", "bias", "y")),
        *((name, ctypes.c_void_p) for name in ("grad", "grad_x", "grad_weight", "grad_bias", "workspace")),
    ]


class _Lstm(ctypes.Structure):
    """`lstm` in `kernels.c`."""

    _fields_: ClassVar = [
        *((name, ctypes.c_ssize_t) for name in ("T", "N", "H")),
        *((name, ctypes.c_void_p) for name in ("gates", "weight", "keep", "h0", "c0", "h", "c", "grad_h", "grad")),
        ("workspace", ctypes.c_void_p),
    ]


def dense_forward(x: Tensor, weight: Tensor, bias: Tensor, activation: int) -> Tensor:
    """`activation(x weight^T + bias)`, `[M, out]`; all arguments are contiguous.

    Args:
        x: `[M, in]`.
        weight: `[out, in]`.
        bias: `[out]`.
        activation: one of `IDENTITY`, `ELU`, `RELU`, `TANH`.
    """
    y = x.new_empty(x.shape[0], weight.shape[0])
    _run_dense("dense_forward", x, weight, activation, bias=bias, y=y)
    return y


def dense_backward(
    x: Tensor,
    weight: Tensor,
    y: Tensor | None,
    activation: int,
    grad: Tensor,
    wants: Collection[str],
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """Gradients with respect to `x`, `weight` and `bias`; all arguments are contiguous.

    Args:
        x: `[M, in]`.
        weight: `[out, in]`.
        y: `[M, out]` of `dense_forward`; not needed without an activation.
        activation: as in `dense_forward`.
        grad: `[M, out]` gradient with respect to `y`; becomes that before the activation.
        wants: what needs a gradient besides the weight, `"x"` or `"bias"`.
    """
    grad_x = torch.empty_like(x) if "x" in wants else None
    grad_bias = weight.new_empty(weight.shape[0]) if "bias" in wants else None
    grad_weight = torch.empty_like(weight)
    results = {"grad_x": grad_x, "grad_weight": grad_weight, "grad_bias": grad_bias}
    _run_dense("dense_backward", x, weight, activation, y=y, grad=grad, **results)
    return grad_x, grad_weight, grad_bias


def lstm_forward(
    gates: Tensor, weight: Tensor, keep: Tensor, start: tuple[Tensor, Tensor], outputs: Tensor, cells: Tensor
) -> None:
    """Run the steps of one LSTM layer; all arguments are contiguous.

    Args:
        gates: `[T, N, 4H]`, the input projection with both biases; becomes the gates after their activation.
        weight: `[4H, H]`, recurrent.
        keep: `[T, N]` bool, False where an episode starts.
        start: hidden and cell state `[N, H]` before t = 0.
        outputs: `[T, N, H]`; becomes the hidden state after every step.
        cells: `[T, N, H]`; becomes the cell state after every step.
    """
    state = {"h0": start[0], "c0": start[1], "h": outputs, "c": cells}
    _run_lstm("lstm_forward", outputs, gates=gates, weight=weight, keep=keep, **state)


def lstm_backward(
    gates: Tensor, weight: Tensor, keep: Tensor, cell: Tensor, cells: Tensor, grad_outputs: Tensor
) -> Tensor:
    """Gradient `[T, N, 4H]` with respect to the gates before their activation; all arguments are contiguous.

    Args:
        gates: as `lstm_forward` left them.
        weight: `[4H, H]`.
        keep: `[T, N]` bool.
        cell: `[N, H]` before t = 0.
        cells: as `lstm_forward` left them.
        grad_outputs: `[T, N, H]`.
    """
    grad = torch.empty_like(gates)
    given = {"gates": gates, "weight": weight, "keep": keep, "c0": cell, "c": cells}
    _run_lstm("lstm_backward", cells, **given, grad_h=grad_outputs, grad=grad)
    return grad


def _run_dense(name: str, x: Tensor, weight: Tensor, activation: int, **tensors: Tensor | None) -> None:
    kernels = library()
    assert kernels is not None
    sizes = x.shape[0], weight.shape[1], weight.shape[0]
    workspace = torch.empty(kernels.dense_workspace(*map(ctypes.c_ssize_t, sizes)))
    pointers = {key: tensor.data_ptr() for key, tensor in tensors.items() if tensor is not None}
    given = {"x": x.data_ptr(), "weight": weight.data_ptr(), "workspace": workspace.data_ptr()}
    layer = _Dense(*sizes, activation, **pointers, **given)
    getattr(kernels, name)(ctypes.byref(layer), ctypes.c_uint(torch.get_num_threads()), _parallel())


def _run_lstm(name: str, outputs: Tensor, **tensors: Tensor) -> None:
    kernels = library()
    assert kernels is not None
    workspace = torch.empty(kernels.lstm_workspace(*map(ctypes.c_ssize_t, outputs.shape[1:])))
    pointers = {key: tensor.data_ptr() for key, tensor in tensors.items()}
    layer = _Lstm(*outputs.shape, **pointers, workspace=workspace.data_ptr())
    getattr(kernels, name)(ctypes.byref(layer), ctypes.c_uint(torch.get_num_threads()), _parallel())


@functools.cache
def _parallel() -> ctypes.c_void_p:
    """Entry point of the OpenMP that PyTorch has loaded; null, for one thread, where it is not GNU's.

    Threads of our own would compete with those, which go on spinning for a while after every operation.
    """
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8").split()
    except OSError:
        maps = []
    for path in sorted({word for word in maps if "libgomp" in word}, key=lambda path: "torch" not in path):
        try:
            return ctypes.cast(ctypes.CDLL(path).GOMP_parallel, ctypes.c_void_p)
        except (OSError, AttributeError):
            continue
    return ctypes.c_void_p(None)
