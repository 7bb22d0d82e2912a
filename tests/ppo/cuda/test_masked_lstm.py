"""An LSTM that is masked at every step equals one whose sequences are cut, in outputs and in gradients."""

import pytest
import torch
from torch import Tensor

from ppo.recurrence import EpisodeStarts
from tests.ppo.test_recurrence import RESETS, flags, make_inputs, make_lstm


@pytest.mark.parametrize("resets", RESETS)
@pytest.mark.parametrize("layers", [1, 2])
def test_it_equals_cut_sequences(resets: str, layers: int) -> None:
    lstm, episode_start = make_lstm(layers), flags(RESETS[resets])
    features, (hidden, cell) = make_inputs(layers)

    def run(starts: EpisodeStarts) -> tuple[Tensor, ...]:
        output = lstm.sequence(features, (hidden.detach(), cell.detach()), starts)
        weights = torch.linspace(-1.0, 1.0, output.numel(), dtype=output.dtype).view_as(output)
        return output, *torch.autograd.grad((output * weights).sum(), [features, *lstm.parameters()])

    for masked, cut in zip(run(EpisodeStarts(None, episode_start)), run(EpisodeStarts(episode_start)), strict=True):
        torch.testing.assert_close(masked, cut, rtol=1e-12, atol=1e-12)


def test_products_are_as_narrow_as_autocast_asks_and_gradients_are_not() -> None:
    lstm, episode_start = make_lstm(2).float(), flags(RESETS["mixed"])
    features, (hidden, cell) = (make_inputs(2)[0].detach().float(), (one.detach().float() for one in make_inputs(2)[1]))
    state = hidden, cell
    exact = lstm.sequence(features, state, EpisodeStarts(None, episode_start))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = lstm.sequence(features, state, EpisodeStarts(None, episode_start))
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), exact, rtol=0.0, atol=0.02)
    output.float().sum().backward()
    assert all(one.grad is not None and one.grad.dtype == torch.float32 for one in lstm.parameters())
