"""LSTM layers through the compiled kernels.

Episode starts are handled where they occur, so nothing is cut, padded or gathered.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ppo.cpu import kernels

HIDDEN_MULTIPLE = 16
"""Hidden sizes that are multiples of this fill the vectors of every machine."""


def usable(lstm: nn.LSTM, features: Tensor, state: tuple[Tensor, Tensor]) -> bool:
    """Whether the kernels compute what is asked for; gradients with respect to the state they do not."""
    return lstm.hidden_size % HIDDEN_MULTIPLE == 0 and not state[0].requires_grad and kernels.usable(features, state[0])


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
    output, hidden, cell = features.contiguous(), [], []
    for layer, weights in enumerate(lstm.all_weights):
        start = state[0][layer].contiguous(), state[1][layer].contiguous()
        output, cells = _Layer.apply(output, keep, start, *weights)  # type: ignore[no-untyped-call]
        hidden.append(output[-1].detach())
        cell.append(cells[-1])
    return output, (torch.stack(hidden), torch.stack(cell))


class _Layer(torch.autograd.Function):
    """One layer over `[T, N, D]`, all arguments contiguous."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context takes any attribute
        features: Tensor,
        keep: Tensor,
        start: tuple[Tensor, Tensor],
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Outputs and cell states `[T, N, H]`; `weights` are those of inputs and of the state, and their biases."""
        input_weight, weight, input_bias, bias = weights
        length, num_envs, _ = features.shape
        projection = kernels.dense_forward(features.flatten(0, 1), input_weight, input_bias + bias, kernels.IDENTITY)
        gates = projection.view(length, num_envs, -1)
        outputs, cells = gates.new_empty(2, length, num_envs, weight.shape[1])
        kernels.lstm_forward(gates, weight, keep, start, outputs, cells)
        ctx.save_for_backward(features, input_weight, gates, weight, keep, *start, outputs, cells)
        ctx.mark_non_differentiable(cells)
        ctx.set_materialize_grads(False)
        return outputs, cells

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        grad_outputs: Tensor | None,
        _: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        """Gradients of the features, the two weights and the two biases."""
        if grad_outputs is None:
            return (None,) * 7
        features, input_weight, gates, weight, keep, hidden, cell, outputs, cells = ctx.saved_tensors
        grad = kernels.lstm_backward(gates, weight, keep, cell, cells, grad_outputs.contiguous()).flatten(0, 1)
        before = (torch.cat((hidden.unsqueeze(0), outputs[:-1])) * keep.unsqueeze(-1)).flatten(0, 1)
        _, grad_weight, _ = kernels.dense_backward(before, weight, None, kernels.IDENTITY, grad, wants=())
        wants = ("x", "bias") if ctx.needs_input_grad[0] else ("bias",)
        grad_features, grad_input_weight, grad_bias = kernels.dense_backward(
            features.flatten(0, 1), input_weight, None, kernels.IDENTITY, grad, wants
        )
        if grad_features is not None:
            grad_features = grad_features.view_as(features)
        return grad_features, None, None, grad_input_weight, grad_weight, grad_bias, grad_bias
