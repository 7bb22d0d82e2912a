"""Running an LSTM over sequences whose episodes end inside them.

Wherever an episode starts, the recurrent state is zero. One step at a time that is a multiplication. Over a whole
rollout `[T, N]` the sequences are cut at the episode starts and the pieces laid side by side as rows of one padded
batch, so that a single call of the library's fused LSTM (cuDNN, oneDNN) handles them all:

    time             0 1 2 3 4          rows      0 1 2 3 4
    environment 0    a b c|d e    ->    piece 0   a b c . .
    environment 1    f g h i j          piece 1   d e . . .
                                        piece 2   f g h i j

The first piece of an environment continues from the stored state, the others from zero. Nothing is computed twice, and
no gradient crosses an episode start.
"""

import functools
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from ppo.cuda.masked_lstm import masked_layer
from ppo.runtime import send

LstmState: TypeAlias = tuple[Tensor, Tensor]
"""Hidden and cell state, each `[L, N, H]`."""


class Segments(NamedTuple):
    """Where the pieces of `[T, N]` sequences lie in a padded batch of `S` pieces of at most `P` steps."""

    gather: Tensor
    """`[P, S]` int64; flat index `t * N + n` shown at each place. Padding repeats index 0 and is never read back."""
    scatter: Tensor
    """`[T, N]` int64; the flat index `p * S + s` at which each step lies in the padded batch."""
    environment: Tensor
    """`[S]` int64; the environment each piece belongs to."""
    continues: Tensor
    """`[S]` bool; the piece begins at t = 0 and so continues from the stored state."""


def mask_state(state: LstmState, episode_start: Tensor) -> LstmState:
    """Zero the state of the environments in which an episode starts; `episode_start` is `[N]` bool."""
    keep = (~episode_start).view(1, -1, 1)
    return state[0] * keep, state[1] * keep


def find_segments(episode_start: Tensor) -> Segments | None:
    """Cut sequences at their episode starts; None when no episode starts after t = 0 and nothing has to be cut.

    Args:
        episode_start: `[T, N]` bool on the CPU: the number of pieces decides the shapes, so the host must know it.
    """
    length, num_envs = episode_start.shape
    if not bool(episode_start[1:].any()):
        return None
    begins = episode_start.t().clone(memory_format=torch.contiguous_format)
    begins[:, 0] = True
    begins = begins.view(-1)
    begin = begins.nonzero().squeeze(1)
    piece = begins.cumsum(0) - 1
    place = torch.arange(num_envs * length) - begin[piece]
    pieces, longest = begin.numel(), int(place.max()) + 1
    time_major = torch.arange(length * num_envs).view(length, num_envs).t().reshape(-1)
    padded = place * pieces + piece
    gather = torch.zeros(longest * pieces, dtype=torch.int64)
    gather[padded] = time_major
    scatter = torch.empty_like(padded)
    scatter[time_major] = padded
    return Segments(
        gather=gather.view(longest, pieces),
        scatter=scatter.view(length, num_envs),
        environment=torch.div(begin, length, rounding_mode="floor"),
        continues=begin % length == 0,
    )


def to_device(segments: Segments | None, device: torch.device) -> Segments | None:
    """Copy the index tensors to `device` without waiting for it."""
    return None if segments is None else Segments(*(send(tensor, device) for tensor in segments))


def take_rows(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]`, `[..., W]` of `[R, W]`, whose backward pass on a GPU adds rows without sorting them first."""
    return table.index_select(0, index.flatten()).view(*index.shape, table.shape[1])


class EpisodeStarts:
    """Where episodes start in `[T, N]` sequences, and the pieces that the sequences fall into.

    Args:
        on_host: `[T, N]` bool on the CPU; None where the host shall not know, and nothing can be cut.
        on_device: the same on the device of the sequences; not needed if that is the CPU.
    """

    def __init__(self, on_host: Tensor | None, on_device: Tensor | None = None) -> None:
        known = on_host if on_device is None else on_device
        assert known is not None
        self.on_host, self.on_device = on_host, known

    def select(self, on_host: Tensor, on_device: Tensor) -> "EpisodeStarts":
        """Those of some environments, whose indices `[n]` are given in both places."""
        if self.on_host is None:
            return EpisodeStarts(None, self.on_device.index_select(1, on_device))
        chosen = self.on_host[:, on_host]
        if self.on_device.device.type == "cpu":
            return EpisodeStarts(chosen)
        return EpisodeStarts(chosen, self.on_device.index_select(1, on_device))

    def part(self, places: slice) -> "EpisodeStarts":
        """Those of neighbouring environments, in the same memory."""
        return EpisodeStarts(None if self.on_host is None else self.on_host[:, places], self.on_device[:, places])

    @functools.cached_property
    def segments(self) -> Segments | None:
        """`find_segments`, on the device, of what the host knows."""
        assert self.on_host is not None
        return to_device(find_segments(self.on_host), self.on_device.device)


class EpisodicLSTM(nn.LSTM):
    """An LSTM, unidirectional and with biases, whose state is zero wherever an episode starts."""

    def in_cudnn_order(self) -> list[nn.Parameter]:
        """The weights as cuDNN uses them without copying them at every call: all matrices, then all biases."""
        return sorted(self.parameters(), key=Tensor.dim, reverse=True)

    def initial_state(self, num_envs: int) -> LstmState:
        """Zero state for `num_envs` sequences, on the device and in the type of the weights."""
        weight = self.weight_hh_l0
        assert isinstance(weight, Tensor)
        zeros = weight.new_zeros(self.num_layers, num_envs, self.hidden_size)
        return zeros, zeros.clone()

    def step(self, features: Tensor, state: LstmState, episode_start: Tensor) -> tuple[Tensor, LstmState]:
        """Advance every environment by one step.

        Args:
            features: `[N, D]`.
            state: state before the step.
            episode_start: `[N]` bool; the state is zeroed here before the step.

        Returns:
            Output `[N, H]` and the state after the step.
        """
        output, state = self(features.unsqueeze(0), mask_state(state, episode_start))
        return output.squeeze(0), state

    def sequence(self, features: Tensor, state: LstmState, starts: EpisodeStarts) -> Tensor:
        """Run whole sequences.

        Args:
            features: `[T, N, D]`.
            state: state before t = 0.
            starts: of the `[T, N]` sequences.

        Returns:
            Output `[T, N, H]`, equal to calling `step` T times.
        """
        if starts.on_host is None:
            for layer, weights in enumerate(self.all_weights):
                features = masked_layer(features, (state[0][layer], state[1][layer]), starts.on_device, weights)
            return features
        hidden, cell = mask_state(state, starts.on_device[0])
        segments = starts.segments
        if segments is None:
            return self(features, (hidden, cell))[0]  # type: ignore[no-any-return]
        keep = segments.continues.to(hidden.dtype).view(1, -1, 1)
        padded = take_rows(features.flatten(0, 1), segments.gather)
        hidden, cell = (tensor.index_select(1, segments.environment) * keep for tensor in (hidden, cell))
        output = self(padded, (hidden, cell))[0]
        return take_rows(output.flatten(0, 1), segments.scatter)
