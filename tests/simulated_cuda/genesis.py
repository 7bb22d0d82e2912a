"""Genesis on the CPU, its tensors under the name of the simulated device, as a GPU hands them out without a copy."""

import sys
from typing import Any

import torch

from tests.simulated_cuda.counting import WAIT, note


def install() -> None:
    """Let simulations run on `cuda:0`. Call it before one is made."""
    import genesis as gs
    from genesis.engine.solvers import RigidSolver

    gs.init(backend=gs.cpu, logging_level="error")
    gs.device = torch.device("cuda", 0)
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("quadrants")]
    handing_out = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and "to_torch" in vars(value)
    }
    for kind in handing_out:
        kind.to_torch = _to_device(kind.__dict__["to_torch"])  # type: ignore[attr-defined]
    RigidSolver.check_errno = _waiting(RigidSolver.check_errno)
    # The package has a function of the module's name.
    kernel = sys.modules["quadrants.lang.kernel"].Kernel
    kernel.__call__ = _from_device(kernel.__call__)


def _waiting(check_errno: Any) -> Any:  # noqa: ANN401
    def wrapped(self: Any) -> None:  # noqa: ANN401
        # It copies by a way of its own, which is not seen here.
        note(WAIT, "check_errno")
        check_errno(self)

    return wrapped


def _to_device(to_torch: Any) -> Any:  # noqa: ANN401
    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        frame = sys._getframe(1)
        while frame.f_code.co_name in ("to_torch", "_fn", "wrapped", "wrapper", "__call__"):
            assert frame.f_back is not None
            frame = frame.f_back
        tensor = to_torch(self, *arguments, **{**named, "device": None})
        # What Genesis asks for to compute on the host with stays there.
        return torch.ops.simulated_cuda.as_cuda(tensor) if frame.f_code.co_name == "qd_to_torch" else tensor

    return wrapped


def _from_device(call: Any) -> Any:  # noqa: ANN401
    def plain(value: object) -> object:
        return torch.ops.simulated_cuda.as_cpu(value) if isinstance(value, torch.Tensor) else value

    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        return call(self, *map(plain, arguments), **{name: plain(value) for name, value in named.items()})

    return wrapped
