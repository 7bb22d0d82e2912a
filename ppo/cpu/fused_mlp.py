"""A chain of dense layers through the compiled kernels: one step of autograd for all of them."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ppo.cpu import kernels

ACTIVATIONS: dict[type[nn.Module], int] = {nn.ELU: kernels.ELU, nn.ReLU: kernels.RELU, nn.Tanh: kernels.TANH}


def fused_mlp(modules: Iterable[nn.Module], features: Tensor) -> Tensor:
    """Apply one or more linear layers and the activations that may follow them, `[..., in]` to `[..., out]`."""
    weights: list[Tensor] = []
    activations: list[int] = []
    for module in modules:
        if isinstance(module, nn.Linear):
            weights += [module.weight, module.bias]
            activations.append(kernels.IDENTITY)
        else:
            activations[-1] = ACTIVATIONS[type(module)]
    rows = features.reshape(-1, features.shape[-1]).contiguous()
    output: Tensor = _Mlp.apply(rows, tuple(activations), *weights)  # type: ignore[no-untyped-call]
    return output.view(*features.shape[:-1], -1)


class _Mlp(torch.autograd.Function):
    """Dense layers one after the other on `[M, in]`."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context takes any attribute
        rows: Tensor,
        activations: tuple[int, ...],
        *weights: Tensor,
    ) -> Tensor:
        """`[M, out]`; `weights` are weight and bias of each layer."""
        values = [rows]
        for layer, activation in enumerate(activations):
            weight, bias = weights[2 * layer : 2 * layer + 2]
            values.append(kernels.dense_forward(values[-1], weight, bias, activation))
        ctx.activations = activations
        ctx.save_for_backward(*values, *weights[::2])
        return values[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Gradients of the rows and of every weight and bias."""
        layers = len(ctx.activations)
        values, weights = ctx.saved_tensors[: layers + 1], ctx.saved_tensors[layers + 1 :]
        gradients: list[Tensor | None] = []
        # Autograd may have given the same tensor to others, and a kernel overwrites it where there is an activation.
        grad_rows: Tensor | None = grad.clone(memory_format=torch.contiguous_format)
        for layer in reversed(range(layers)):
            assert grad_rows is not None
            grad_rows, grad_weight, grad_bias = kernels.dense_backward(
                values[layer],
                weights[layer],
                values[layer + 1],
                ctx.activations[layer],
                grad_rows,
                wants=("x", "bias") if layer > 0 or ctx.needs_input_grad[0] else ("bias",),
            )
            gradients = [grad_weight, grad_bias, *gradients]
        return grad_rows, None, *gradients
