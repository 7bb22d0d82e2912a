"""The network's modules with the compiled kernels behind them; where those do not apply, PyTorch's operations run."""

from torch import Tensor, nn

from ppo.cpu import fused_lstm, kernels
from ppo.cpu.fused_mlp import fused_mlp
from ppo.layers import Layers, Mlp
from ppo.recurrence import EpisodeStarts, EpisodicLSTM, LstmState


class KernelLSTM(EpisodicLSTM):
    """As the base class; episode starts are handled where they occur, so nothing is cut, padded or gathered."""

    def step(self, features: Tensor, state: LstmState, episode_start: Tensor) -> tuple[Tensor, LstmState]:
        """As the base class."""
        if not fused_lstm.usable(self, features, state):
            return super().step(features, state, episode_start)
        output, state = fused_lstm.fused_sequence(self, features.unsqueeze(0), state, episode_start.unsqueeze(0))
        return output.squeeze(0), state

    def sequence(self, features: Tensor, state: LstmState, starts: EpisodeStarts) -> Tensor:
        """As the base class."""
        if not fused_lstm.usable(self, features, state):
            return super().sequence(features, state, starts)
        return fused_lstm.fused_sequence(self, features, state, starts.on_device)[0]


class KernelMlp(Mlp):
    """As the base class; all layers, and the head, are one step of autograd."""

    def forward(self, features: Tensor, head: nn.Linear | None = None) -> Tensor:
        """As the base class."""
        layers = [*self, head] if head is not None else [*self]
        if not layers or not kernels.usable(features):
            return super().forward(features, head)
        return fused_mlp(layers, features)


KERNELS = Layers(KernelLSTM, KernelMlp)
"""What takes the place of `ppo.layers.PYTORCH`."""
