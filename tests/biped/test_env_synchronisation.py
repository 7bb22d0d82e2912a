"""A control step never waits for the device."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.biped.environments import EVERYTHING, make_env, random_actions


class ForbidHostSynchronisation(TorchDispatchMode):
    """Raises at operations for which the host waits for the device, or copies to it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        forbidden = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2")
        name = func.overloadpacket.__name__
        indexed_by_mask = name in ("index", "index_put_", "index_put", "_index_put_impl_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        # `torch.tensor` of a list copies from the host; a single number assigned to a slice does not.
        copied_from_host = name == "lift_fresh" and args[0].dim() > 0
        if name in forbidden or indexed_by_mask or copied_from_host:
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


VIOLATIONS: list[Callable[[Tensor], object]] = [
    lambda tensor: tensor.sum().item(),
    lambda tensor: tensor[tensor > 0],
    lambda tensor: bool(tensor.any()),
    lambda tensor: tensor + torch.tensor([1.0, 2.0, 3.0]),
]


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_the_synchronisation_check_sees_violations(violation: Callable[[Tensor], object]) -> None:
    with ForbidHostSynchronisation(), pytest.raises(AssertionError, match="waits"):
        violation(torch.ones(3))


def test_a_step_never_waits_for_the_device() -> None:
    env, _ = make_env(EVERYTHING)
    with ForbidHostSynchronisation():
        for action in random_actions(25).unbind():
            env.step(action)
