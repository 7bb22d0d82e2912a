"""Chains of dense layers through the compiled kernels against the same modules in double precision."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from ppo.cpu.fused_mlp import fused_mlp
from ppo.cpu.kernels import library
from ppo.cpu.layers import KernelMlp

pytestmark = pytest.mark.skipif(library() is None, reason="no C compiler, or switched off")


def chain(widths: tuple[int, ...], activation: type[nn.Module], *, head: bool) -> list[nn.Module]:
    torch.manual_seed(sum(widths))
    modules: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        modules += [nn.Linear(inputs, outputs), activation()]
    return modules[:-1] if head else modules


def exact(modules: list[nn.Module], features: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Output of the modules in double precision, and their parameters."""
    double = copy.deepcopy(nn.Sequential(*modules)).double()
    output: Tensor = double(features)
    return output, list(double.parameters())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("activation", [nn.ELU, nn.ReLU, nn.Tanh])
@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize(
    ("widths", "rows"), [((5, 1), (1,)), ((3, 17, 9), (7,)), ((64, 128, 64, 9), (6, 131)), ((40, 33), (3, 400))]
)
def test_equals_pytorch(
    widths: tuple[int, ...], rows: tuple[int, ...], head: bool, activation: type[nn.Module], threads: int
) -> None:
    modules = chain(widths, activation, head=head)
    features = (3.0 * torch.randn(*rows, widths[0])).requires_grad_()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        output = fused_mlp(modules, features)
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        parameters = list(nn.Sequential(*modules).parameters())
        gradients = torch.autograd.grad((output * weights).sum(), [features, *parameters])
    finally:
        torch.set_num_threads(before)
    twin = features.detach().double().requires_grad_()
    expected, twins = exact(modules, twin)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), [twin, *twins])
    torch.testing.assert_close(output, expected.float(), rtol=1e-5, atol=2e-6)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_elu_keeps_the_digits_of_small_values() -> None:
    identity = nn.Linear(1, 1)
    with torch.no_grad():
        identity.weight.fill_(1.0)
        identity.bias.zero_()
    values = -torch.logspace(-8, 1, 200).unsqueeze(1)
    torch.testing.assert_close(fused_mlp([identity, nn.ELU()], values), torch.expm1(values), rtol=2e-6, atol=0.0)


def test_the_gradient_that_is_given_is_left_alone() -> None:
    modules = chain((4, 6), nn.ELU, head=False)
    features = torch.randn(5, 4, requires_grad=True)
    given = torch.randn(5, 6)
    before = given.clone()
    fused_mlp(modules, features).backward(given)
    assert torch.equal(given, before)


def test_what_is_not_finite_stays_in_its_row() -> None:
    modules = chain((4, 32, 3), nn.ELU, head=True)
    features = torch.randn(30, 4)
    features[7] = float("nan")
    finite = fused_mlp(modules, features).isfinite().all(dim=1)
    assert not bool(finite[7])
    assert int(finite.sum()) == 29


def test_the_module_is_the_chain_with_its_head() -> None:
    torch.manual_seed(0)
    layers, head, features = KernelMlp(3, (8, 5), "tanh"), nn.Linear(5, 2), torch.randn(4, 6, 3)
    assert torch.equal(layers(features, head), fused_mlp([*layers, head], features))
    assert torch.equal(layers(features), fused_mlp(layers, features))
    double = layers.double()(features.double(), head.double())
    assert torch.equal(double, head(nn.Sequential(*layers)(features.double())))


def test_without_layers_nothing_happens() -> None:
    features, head = torch.randn(2, 3), nn.Linear(3, 4)
    nothing = KernelMlp(3, (), "elu")
    assert nothing(features) is features
    assert torch.equal(nothing(features, head), fused_mlp([head], features))


def test_features_may_lie_in_any_order() -> None:
    modules = chain((5, 8, 3), nn.ELU, head=True)
    transposed = torch.randn(5, 7).t()
    assert torch.equal(fused_mlp(modules, transposed), fused_mlp(modules, transposed.contiguous()))
