"""Whole sequences with episode ends inside equal single steps, in outputs and in gradients."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from ppo.recurrence import (
    EpisodeStarts,
    EpisodicLSTM,
    LstmState,
    find_segments,
    mask_state,
    to_device,
)

T, N, D, H = 6, 4, 3, 5

RESETS: dict[str, list[tuple[int, int]]] = {
    "none": [],
    "only the first step": [(0, 1), (0, 3)],
    "last step": [(5, 0)],
    "consecutive": [(2, 1), (3, 1), (4, 1)],
    "everywhere": [(t, n) for t in range(T) for n in range(N)],
    "mixed": [(0, 0), (5, 0), (1, 1), (2, 1), (3, 2), (5, 3)],
}


def make_lstm(layers: int) -> EpisodicLSTM:
    torch.manual_seed(3)
    return EpisodicLSTM(D, H, layers).double()


def make_inputs(layers: int, num_envs: int = N) -> tuple[Tensor, LstmState]:
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(T, num_envs, D, generator=generator, dtype=torch.float64, requires_grad=True)
    hidden, cell = torch.randn(2, layers, num_envs, H, generator=generator, dtype=torch.float64)
    return features, (hidden.requires_grad_(), cell.requires_grad_())


def flags(resets: list[tuple[int, int]], num_envs: int = N) -> Tensor:
    episode_start = torch.zeros(T, num_envs, dtype=torch.bool)
    for t, n in resets:
        episode_start[t, n] = True
    return episode_start


def split_by_hand(lstm: nn.LSTM, features: Tensor, state: LstmState, episode_start: Tensor) -> Tensor:
    """Run every piece of every environment alone through the LSTM."""
    columns = []
    for n in range(features.shape[1]):
        cuts = sorted({0, T, *(t for t in range(T) if episode_start[t, n])})
        outputs = []
        for begin, end in itertools.pairwise(cuts):
            piece = features[begin:end, n : n + 1]
            if begin == 0 and not episode_start[0, n]:
                outputs.append(lstm(piece, (state[0][:, n : n + 1], state[1][:, n : n + 1]))[0])
            else:
                outputs.append(lstm(piece)[0])
        columns.append(torch.cat(outputs))
    return torch.cat(columns, dim=1)


def gradients(lstm: nn.LSTM, output: Tensor, features: Tensor, state: LstmState) -> list[Tensor]:
    weights = torch.linspace(-1.0, 1.0, output.numel(), dtype=output.dtype).view_as(output)
    wanted = [features, *state, *lstm.parameters()]
    return list(torch.autograd.grad((output * weights).sum(), wanted, materialize_grads=True))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", RESETS)
def test_sequence_equals_steps_and_pieces_split_by_hand(name: str, layers: int) -> None:
    lstm = make_lstm(layers)
    features, state = make_inputs(layers)
    episode_start = flags(RESETS[name])

    by_hand = split_by_hand(lstm, features, state, episode_start)
    sequence = lstm.sequence(features, state, EpisodeStarts(episode_start))
    stepped, running = [], state
    for t in range(T):
        output, running = lstm.step(features[t], running, episode_start[t])
        stepped.append(output)

    expected_gradients = gradients(lstm, by_hand, features, state)
    for output in (sequence, torch.stack(stepped)):
        torch.testing.assert_close(output, by_hand, rtol=1e-12, atol=1e-14)
        for got, expected in zip(gradients(lstm, output, features, state), expected_gradients, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-13)


def test_gradient_does_not_cross_an_episode_start() -> None:
    lstm = make_lstm(2)
    features, state = make_inputs(2)
    episode_start = flags([(3, 1), (0, 2)])
    output = lstm.sequence(features, state, EpisodeStarts(episode_start))
    to_features, to_hidden, to_cell = torch.autograd.grad(output[5].sum(), [features, *state])
    earlier = to_features[:3].abs().sum(dim=(0, 2)) > 0.0
    assert earlier.tolist() == [True, False, True, True]
    for gradient in (to_hidden, to_cell):
        assert (gradient.abs().sum(dim=(0, 2)) > 0.0).tolist() == [True, False, False, True]


def test_segments_of_the_docstring_example() -> None:
    episode_start = torch.zeros(5, 2, dtype=torch.bool)
    episode_start[3, 0] = True
    segments = find_segments(episode_start)
    assert segments is not None
    a, b, c, d, e = 0, 2, 4, 6, 8
    f, g, h, i, j = 1, 3, 5, 7, 9
    assert segments.gather.t().tolist() == [[a, b, c, 0, 0], [d, e, 0, 0, 0], [f, g, h, i, j]]
    assert segments.scatter.t().tolist() == [[0, 3, 6, 1, 4], [2, 5, 8, 11, 14]]
    assert segments.environment.tolist() == [0, 0, 1]
    assert segments.continues.tolist() == [True, False, True]


def test_padding_is_as_long_as_the_longest_piece() -> None:
    segments = find_segments(flags([(2, n) for n in range(N)] + [(4, 0)]))
    assert segments is not None
    assert segments.gather.shape == (4, 9)


@pytest.mark.parametrize("name", ["none", "only the first step"])
def test_nothing_to_cut(name: str) -> None:
    assert find_segments(flags(RESETS[name])) is None
    assert to_device(None, torch.device("cuda")) is None


@pytest.mark.parametrize("num_envs", [1, 3])
def test_finding_segments_leaves_the_flags_alone(num_envs: int) -> None:
    episode_start = flags([(3, 0)], num_envs)
    before = episode_start.clone()
    find_segments(episode_start)
    assert torch.equal(episode_start, before)


def test_single_environment_continues_from_its_state() -> None:
    lstm = make_lstm(1)
    features, state = make_inputs(1, num_envs=1)
    episode_start = flags([(3, 0)], num_envs=1)
    output = lstm.sequence(features, state, EpisodeStarts(episode_start))
    torch.testing.assert_close(output, split_by_hand(lstm, features, state, episode_start), rtol=1e-12, atol=1e-14)


def test_initial_state_and_mask() -> None:
    hidden, cell = EpisodicLSTM(D, H, 2).double().initial_state(N)
    assert hidden.shape == cell.shape == (2, N, H)
    assert hidden.dtype == cell.dtype == torch.float64
    assert not bool(hidden.any() or cell.any())
    assert hidden.data_ptr() != cell.data_ptr()
    masked = mask_state((hidden + 1.0, cell + 2.0), torch.tensor([True, False, False, True]))
    assert masked[0][0, :, 0].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert masked[1][1, :, 4].tolist() == [0.0, 2.0, 2.0, 0.0]
