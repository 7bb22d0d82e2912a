"""An LSTM on the simulated device that asks of its arguments what cuDNN asks, and tells what it would cost there."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.simulated_cuda.counting import LAUNCH, PACKING, RESERVE, as_one, note

State = tuple[Tensor, Tensor]
_operators: Any = torch._VF
_cpu_lstm = _operators.lstm


def install() -> None:
    """Let `nn.LSTM` come here with tensors on the device."""
    _operators.lstm = lstm


def lstm(x: Tensor, state: State, weights: Sequence[Tensor], *options: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401
    """As `torch._VF.lstm`.

    Args:
        x: `[T, N, D]`.
        state: hidden and cell `[L, N, H]`.
        weights: of every layer: two matrices, two biases.
        options: biases, layers, dropout, training, bidirectional, batch first.
    """
    if not x.is_cuda:
        return _cpu_lstm(x, state, weights, *options)  # type: ignore[no-any-return]
    training = options[3]
    autocast = torch.is_autocast_enabled("cuda")
    kind = torch.get_autocast_dtype("cuda") if autocast else x.dtype
    assert all(tensor.is_contiguous() for tensor in state), "rnn: hx is not contiguous"
    assert autocast or {tensor.dtype for tensor in state} == {kind}, "Input and hidden tensors are not the same dtype"
    if autocast or not packed(weights):
        note(PACKING, "cudnn lstm")
    if torch.is_grad_enabled():
        assert training, "cudnn RNN backward can only be called in training mode"
    elif training:
        note(RESERVE, "cudnn lstm")
    note(LAUNCH, "cudnn lstm")
    return _Lstm.apply(kind, x, *state, *weights)  # type: ignore[no-any-return, no-untyped-call]


def packed(weights: Sequence[Tensor]) -> bool:
    """Whether weights lie as cuDNN wants them: from the beginning of their storage, all matrices, then all biases."""
    matrices = [weight for weight in weights if weight.dim() == 2]
    order = [*matrices, *(weight for weight in weights if weight.dim() == 1)]
    address = order[0].untyped_storage().data_ptr()
    for weight in order:
        if weight.data_ptr() != address:
            return False
        address += weight.numel() * weight.element_size()
    return True


class _Lstm(torch.autograd.Function):
    """One operator forwards and one backwards, as cuDNN's."""

    @staticmethod
    def forward(context: Any, kind: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401
        with as_one(), torch.enable_grad(), torch.autocast("cuda", enabled=False):
            inputs = [tensor.detach().requires_grad_() for tensor in tensors]
            outputs = _layers(*(tensor.to(kind) for tensor in inputs))
        context.inputs, context.outputs = inputs, outputs
        return tuple(output.detach() for output in outputs)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        note(LAUNCH, "cudnn lstm backward")
        with as_one():
            return None, *torch.autograd.grad(context.outputs, context.inputs, gradients)


def _layers(x: Tensor, hidden: Tensor, cell: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    last_hidden, last_cell = [], []
    for layer, (h, c) in enumerate(zip(hidden, cell, strict=True)):
        to_gates, from_hidden, bias, hidden_bias = weights[4 * layer : 4 * layer + 4]
        outputs = []
        for step in x:
            gates = F.linear(step, to_gates, bias) + F.linear(h, from_hidden, hidden_bias)
            i, f, g, o = gates.chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        x = torch.stack(outputs)
        last_hidden.append(h)
        last_cell.append(c)
    return x, torch.stack(last_hidden), torch.stack(last_cell)
