"""One vector behind all parameters learns, saves and loads as `torch.optim.Adam` over the single ones does."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from ppo.optimizer import EPSILON, FlatAdam, lay_out

KEEP = torch.zeros(())


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(3, 4), nn.ELU(), nn.Linear(4, 2))


def loss(module: nn.Module, seed: int) -> Tensor:
    inputs = torch.randn(6, 3, generator=torch.Generator().manual_seed(seed))
    value: Tensor = module(inputs).square().sum()
    return value


def learn(module: nn.Module, optimizer: FlatAdam | torch.optim.Adam, seeds: range) -> None:
    for seed in seeds:
        optimizer.zero_grad()
        loss(module, seed).backward()
        if isinstance(optimizer, FlatAdam):
            optimizer.step(KEEP)
        else:
            optimizer.step()


def assert_alike(ours: nn.Module, theirs: nn.Module) -> None:
    for name, weight in ours.state_dict().items():
        torch.testing.assert_close(weight, theirs.state_dict()[name], rtol=1e-6, atol=1e-7)


def test_steps_and_saved_state_are_those_of_adam() -> None:
    ours, theirs = network(), network()
    optimizer, adam = FlatAdam(ours.parameters(), 1e-2), torch.optim.Adam(theirs.parameters(), 1e-2, eps=EPSILON)
    learn(ours, optimizer, range(5))
    learn(theirs, adam, range(5))
    assert_alike(ours, theirs)
    saved, expected = optimizer.state_dict(), adam.state_dict()
    assert saved["param_groups"][0]["params"] == expected["param_groups"][0]["params"]
    assert saved["state"].keys() == expected["state"].keys()
    for index, entry in expected["state"].items():
        assert float(saved["state"][index]["step"]) == 5.0
        for name in ("exp_avg", "exp_avg_sq"):
            assert saved["state"][index][name].shape == entry[name].shape
            torch.testing.assert_close(saved["state"][index][name], entry[name], rtol=1e-5, atol=1e-9)


def test_either_continues_from_the_state_of_the_other() -> None:
    whole, ours, theirs = network(), network(), network()
    reference = torch.optim.Adam(whole.parameters(), 1e-2, eps=EPSILON)
    learn(whole, reference, range(6))

    optimizer, adam = FlatAdam(ours.parameters(), 1e-2), torch.optim.Adam(theirs.parameters(), 1e-2, eps=EPSILON)
    learn(theirs, adam, range(3))
    ours.load_state_dict(theirs.state_dict())
    optimizer.load_state_dict(copy.deepcopy(adam.state_dict()))
    learn(ours, optimizer, range(3, 6))
    assert_alike(ours, whole)

    again = network()
    again.load_state_dict(ours.state_dict())
    last = torch.optim.Adam(again.parameters(), 1e-2, eps=EPSILON)
    last.load_state_dict({**copy.deepcopy(optimizer.state_dict())})
    learn(whole, reference, range(6, 8))
    learn(again, last, range(6, 8))
    assert_alike(again, whole)


def test_nothing_is_saved_before_the_first_step_and_nothing_can_be_loaded() -> None:
    module = network()
    optimizer = FlatAdam(module.parameters(), 1e-2)
    assert optimizer.state_dict()["state"] == {}
    learn(module, optimizer, range(2))
    optimizer.load_state_dict(FlatAdam(network().parameters(), 1e-3).state_dict())
    assert optimizer.state_dict()["state"] == {}
    assert optimizer.learning_rate == 1e-3


def test_a_parameter_without_a_state_starts_with_zero_moments() -> None:
    module = network()
    optimizer = FlatAdam(module.parameters(), 1e-2)
    learn(module, optimizer, range(2))
    saved = copy.deepcopy(optimizer.state_dict())
    del saved["state"][1]
    optimizer.load_state_dict(saved)
    state = optimizer.state_dict()["state"]
    assert not bool(state[1]["exp_avg"].any())
    assert bool(state[0]["exp_avg"].any())
    assert float(state[1]["step"]) == 2.0


def test_skipped_step_changes_nothing() -> None:
    module = network()
    optimizer = FlatAdam(module.parameters(), 1e-2)
    learn(module, optimizer, range(1))
    before = copy.deepcopy((module.state_dict(), optimizer.state_dict()["state"]))
    optimizer.gradient.fill_(1.0)
    optimizer.step(torch.ones(()))
    for name, weight in module.state_dict().items():
        assert torch.equal(weight, before[0][name])
    for index, entry in optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, before[1][index][name]) for name, value in entry.items())


@pytest.mark.parametrize("rate", [0.5, 0.0])
def test_learning_rate_can_be_changed(rate: float) -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = FlatAdam([parameter], 0.1)
    optimizer.learning_rate = rate
    optimizer.gradient.fill_(1.0)
    optimizer.step(KEEP)
    assert parameter.item() == pytest.approx(1.0 - rate, abs=1e-4)


def test_groups_begin_aligned_and_have_no_gaps() -> None:
    one, nine, six, two = (nn.Parameter(torch.zeros(size)) for size in (1, 9, 6, 2))
    places = lay_out([[one], [nine, six], [two]], 4)
    assert places == {one: slice(0, 1), nine: slice(4, 13), six: slice(13, 19), two: slice(20, 22)}


def test_on_a_cpu_parameters_follow_each_other_in_their_order() -> None:
    module = network()
    before = copy.deepcopy(module.state_dict())
    groups = [list(module.parameters())[::-1]]
    optimizer = FlatAdam(module.parameters(), 1e-2, packed=groups)
    places = [parameter.data_ptr() for parameter in module.parameters()]
    sizes = [parameter.numel() * parameter.element_size() for parameter in module.parameters()]
    assert [after - place for place, after in itertools.pairwise(places)] == sizes[:-1]
    assert optimizer.gradient.numel() * 4 == sum(sizes)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
