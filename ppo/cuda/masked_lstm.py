"""An LSTM over sequences whose episodes end inside them, of fixed shapes: nothing has to be known on the host.

Where an episode starts, the state is forgotten. That takes a step for every control step, where the pieces of
`ppo.recurrence` take one call for all; it pays where a graph launches all of them at once. All steps' products with
the inputs, and all gradients of the weights, are still one matrix product each.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Cell = tuple[Tensor, Tensor, Tensor]
"""Hidden state `[N, H]`, cell state `[N, H]`, and the gates behind their activations `[N, 4 H]`: i, f, g, o."""
_operators: Any = torch.ops.aten


def cell(from_input: Tensor, from_hidden: Tensor, state: Tensor, biases: tuple[Tensor, Tensor]) -> Cell:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Args:
        from_input: `[N, 4 H]`, the input's part of the gates, in PyTorch's order.
        from_hidden: `[N, 4 H]`, the hidden state's.
        state: `[N, H]`, the cell state before the step.
        biases: `[4 H]` each.
    """
    if torch.version.cuda and from_input.is_cuda:
        # One kernel, which builds without CUDA lack.
        return _operators._thnn_fused_lstm_cell(from_input, from_hidden, state, *biases)  # type: ignore[no-any-return]
    i, f, g, o = (from_input + from_hidden + biases[0] + biases[1]).chunk(4, dim=1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    state = f * state + i * g
    return o * state.tanh(), state, torch.cat((i, f, g, o), dim=1)


def cell_backward(
    hidden_gradient: Tensor, state_gradient: Tensor | None, before: Tensor, state: Tensor, gates: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of what goes into the gates, `[N, 4 H]`, and of the cell state before the step, `[N, H]`.

    Args:
        hidden_gradient: `[N, H]`, of the hidden state after the step.
        state_gradient: `[N, H]`, of the cell state after the step; None for zero.
        before: `[N, H]`, the cell state before the step.
        state: `[N, H]`, the cell state after it.
        gates: `[N, 4 H]`, as `cell` returned them.
    """
    if torch.version.cuda and gates.is_cuda:
        gradient, earlier, _ = _operators._thnn_fused_lstm_cell_backward_impl(
            hidden_gradient, state_gradient, before, state, gates, False
        )
        return gradient, earlier
    i, f, g, o = gates.chunk(4, dim=1)
    squashed = state.tanh()
    total = hidden_gradient * o * (1.0 - squashed**2)
    if state_gradient is not None:
        total = total + state_gradient
    parts = (
        total * g * i * (1.0 - i),
        total * before * f * (1.0 - f),
        total * i * (1.0 - g**2),
        hidden_gradient * squashed * o * (1.0 - o),
    )
    return torch.cat(parts, dim=1), total * f


class _Layer(torch.autograd.Function):
    """One layer from the input's part of its gates `[T, N, 4 H]` to its outputs `[T, N, H]`.

    Only the hidden state is masked, by `keep` `[T, N, 1]`; the gates see to the cell state.
    """

    @staticmethod
    def forward(
        context: Any,  # noqa: ANN401
        from_input: Tensor,
        hidden: Tensor,
        state: Tensor,
        keep: Tensor,
        weight: Tensor,
        *biases: Tensor,
    ) -> Tensor:
        transposed = weight.t()
        hiddens, states, outputs, activations = [], [state], [], []
        for gates, kept in zip(from_input, keep, strict=True):
            hiddens.append(hidden * kept)
            hidden, state, activation = cell(gates, hiddens[-1] @ transposed, state, biases)  # type: ignore[arg-type]
            outputs.append(hidden)
            states.append(state)
            activations.append(activation)
        context.hiddens, context.states, context.activations = hiddens, states, activations
        context.save_for_backward(keep, weight)
        return torch.stack(outputs)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        keep, weight = context.saved_tensors
        states = context.states
        whole, state_gradient, gates_gradients = gradient[-1], None, []
        for t in reversed(range(len(gradient))):
            gates_gradient, state_gradient = cell_backward(
                whole, state_gradient, states[t], states[t + 1], context.activations[t]
            )
            gates_gradients.append(gates_gradient)
            if t:
                whole = torch.addcmul(gradient[t - 1], gates_gradient @ weight, keep[t])
        gates_gradient = torch.stack(gates_gradients[::-1])
        flat = gates_gradient.flatten(0, 1)
        weight_gradient = flat.t() @ torch.cat(context.hiddens)
        bias_gradient = flat.sum(0)
        return gates_gradient, None, None, None, weight_gradient, bias_gradient, bias_gradient


def masked_layer(
    features: Tensor, state: tuple[Tensor, Tensor], episode_start: Tensor, weights: Sequence[Tensor]
) -> Tensor:
    """Outputs `[T, N, H]` of one layer of an LSTM whose state is zero wherever an episode starts.

    Nothing is backpropagated into `state`.

    Args:
        features: `[T, N, D]`.
        state: hidden and cell state `[N, H]` before t = 0.
        episode_start: `[T, N]` bool.
        weights: `weight_ih` `[4 H, D]`, `weight_hh` `[4 H, H]`, `bias_ih` and `bias_hh` `[4 H]`.
    """
    to_gates, from_hidden, *biases = weights
    from_input = F.linear(features, to_gates)
    # In the type that autocast, if it is on, has given the product.
    kind = from_input.dtype
    with torch.no_grad():
        # A forget gate of zero, which takes no gradient either, forgets the cell state.
        from_input.chunk(4, dim=2)[1].masked_fill_(episode_start.unsqueeze(-1), -torch.inf)
    hidden, cell_state, *others = (one.to(kind) for one in (*state, from_hidden, *biases))
    keep = (~episode_start).to(kind).unsqueeze(-1)
    return _Layer.apply(from_input, hidden, cell_state, keep, *others)  # type: ignore[no-any-return, no-untyped-call]
