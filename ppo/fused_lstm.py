"""LSTM layers on a CPU through `lstm.c`, which is compiled at first use; about twice as fast as PyTorch's own.

Episode starts are handled where they occur, so nothing is cut, padded or gathered. Without a C compiler, with the
environment variable `PPO_FUSED_LSTM=0`, and for what the kernel does not cover, `recurrence` uses `torch.nn.LSTM`
instead; the numbers agree to rounding.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SOURCE = Path(__file__).with_name("lstm.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
NATIVE_FLAGS = ("-march=native",)
HIDDEN_MULTIPLE = 16
"""Hidden sizes that are multiples of this fill the vectors of every machine."""
COMPILE_TIMEOUT = 120.0
"""s after which a compiler counts as broken."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they are switched off or cannot be compiled."""
    if os.environ.get("PPO_FUSED_LSTM", "1") == "0":
        return None
    for compiler in filter(None, map(shutil.which, COMPILERS)):
        for flags in ((*NATIVE_FLAGS, *FLAGS), FLAGS):
            try:
                loaded = ctypes.CDLL(str(_compile(compiler, flags)))
            except (OSError, subprocess.SubprocessError):
                continue
            loaded.lstm_workspace.restype = ctypes.c_ssize_t
            return loaded
    return None


def _compile(compiler: str, flags: tuple[str, ...]) -> Path:
    """Compile the kernels for this machine unless that has been done; returns the library's file."""
    source = SOURCE.read_bytes()
    key = hashlib.sha256(source + repr((compiler, flags, _processor())).encode()).hexdigest()[:20]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "biped-ppo"
    target = folder / f"lstm-{key}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / target.name
        command = [compiler, *flags, "-o", str(made), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_TIMEOUT)
        # Another process may be doing the same; whoever is last replaces like by like.
        made.replace(target)
    return target


def _processor() -> str:
    """What distinguishes the instructions of this machine from those of another one that shares the home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return platform.machine() + next((line for line in lines if line.lower().startswith(("flags", "features"))), "")


def usable(lstm: nn.LSTM, features: Tensor, state: tuple[Tensor, Tensor]) -> bool:
    """Whether the kernel computes what is asked for: float32 on a CPU, states without gradients."""
    return (
        features.device.type == "cpu"
        and features.dtype == state[0].dtype == torch.float32
        and lstm.hidden_size % HIDDEN_MULTIPLE == 0
        and not state[0].requires_grad
        and not torch.is_autocast_enabled("cpu")
        and library() is not None
    )


def fused_sequence(
    lstm: nn.LSTM, features: Tensor, state: tuple[Tensor, Tensor], episode_start: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run an LSTM over whole sequences, resetting the state wherever an episode starts.

    Args:
        lstm: unidirectional, with biases, without dropout or projection.
        features: `[T, N, D]`.
        state: hidden and cell state `[L, N, H]` before t = 0.
        episode_start: `[T, N]` bool.

    Returns:
        Output `[T, N, H]`, and hidden and cell state `[L, N, H]` after the last step, which carry no gradient.
    """
    keep = ~episode_start
    output, hidden, cell = features, [], []
    for layer in range(lstm.num_layers):
        input_weight, weight, input_bias, bias = lstm.all_weights[layer]
        gates = F.linear(output, input_weight, input_bias + bias)
        start = state[0][layer].contiguous(), state[1][layer].contiguous()
        output, cells = _Recurrence.apply(gates, weight.contiguous(), keep, *start)  # type: ignore[no-untyped-call]
        hidden.append(output[-1].detach())
        cell.append(cells[-1])
    return output, (torch.stack(hidden), torch.stack(cell))


class _Recurrence(torch.autograd.Function):
    """From the input projection to the outputs of one layer."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context takes any attribute
        gates: Tensor,
        weight: Tensor,
        keep: Tensor,
        hidden: Tensor,
        cell: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Outputs and cell states `[T, N, H]`.

        Args:
            ctx: keeps what the backward pass needs.
            gates: `[T, N, 4H]`; overwritten, which spares a copy. Nothing else reads a linear layer's output.
            weight: `[4H, H]`.
            keep: `[T, N]` bool, False where an episode starts.
            hidden: `[N, H]` before t = 0.
            cell: `[N, H]` before t = 0.
        """
        length, num_envs, _ = gates.shape
        size = weight.shape[1]
        outputs, cells = gates.new_empty(2, length, num_envs, size)
        tensors = {"gates": gates, "weight": weight, "keep": keep, "h0": hidden, "c0": cell, "h": outputs, "c": cells}
        _run("lstm_forward", length, num_envs, size, tensors)
        ctx.save_for_backward(gates, weight, keep, hidden, cell, outputs, cells)
        ctx.mark_non_differentiable(cells)
        ctx.set_materialize_grads(False)
        return outputs, cells

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        grad_outputs: Tensor | None,
        _: Tensor | None,
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """Gradients of `gates` and `weight`."""
        if grad_outputs is None:
            return None, None, None, None, None
        gates, weight, keep, hidden, cell, outputs, cells = ctx.saved_tensors
        length, num_envs, size = outputs.shape
        grad = torch.empty_like(gates)
        tensors = {"gates": gates, "weight": weight, "keep": keep, "c0": cell, "c": cells}
        tensors |= {"grad_h": grad_outputs.contiguous(), "grad": grad}
        _run("lstm_backward", length, num_envs, size, tensors)
        before = torch.cat((hidden.unsqueeze(0), outputs[:-1])) * keep.unsqueeze(-1)
        return grad, grad.flatten(0, 1).t() @ before.flatten(0, 1), None, None, None


def _run(name: str, length: int, num_envs: int, size: int, tensors: dict[str, Tensor]) -> None:
    """Call a kernel; all tensors are contiguous."""
    kernels = library()
    assert kernels is not None
    workspace = torch.empty(kernels.lstm_workspace(ctypes.c_ssize_t(num_envs), ctypes.c_ssize_t(size)))
    pointers = {name: tensor.data_ptr() for name, tensor in tensors.items()}
    layer = _Layer(length, num_envs, size, **pointers, workspace=workspace.data_ptr())
    getattr(kernels, name)(ctypes.byref(layer), ctypes.c_uint(torch.get_num_threads()), _parallel())


class _Layer(ctypes.Structure):
    """`layer` in `lstm.c`."""

    _fields_: ClassVar = [
        *((name, ctypes.c_ssize_t) for name in ("T", "N", "H")),
        *((name, ctypes.c_void_p) for name in ("gates", "weight", "keep", "h0", "c0", "h", "c", "grad_h", "grad")),
        ("workspace", ctypes.c_void_p),
    ]


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
