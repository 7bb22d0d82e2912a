"""The modules that a network is made of, in PyTorch's own operations; `ppo.cpu` has faster ones of the same names."""

from typing import NamedTuple

from torch import Tensor, nn

from ppo.recurrence import EpisodicLSTM

ACTIVATIONS: dict[str, type[nn.Module]] = {"elu": nn.ELU, "relu": nn.ReLU, "tanh": nn.Tanh}


class Mlp(nn.Sequential):
    """Linear layers; the activation follows every one of them, the last one too. Without widths, the identity.

    Args:
        inputs: width of what comes in.
        widths: of the layers.
        activation: one of `ACTIVATIONS`.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], activation: str) -> None:
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Linear(inputs, width), ACTIVATIONS[activation]()]
            inputs = width
        super().__init__(*layers)

    def forward(self, features: Tensor, head: nn.Linear | None = None) -> Tensor:
        """Run `[..., inputs]` through the layers, and through a linear `head` behind them if there is one."""
        for layer in self:
            features = layer(features)
        return features if head is None else head(features)


class Layers(NamedTuple):
    """Which modules a network is built of."""

    lstm: type[EpisodicLSTM]
    mlp: type[Mlp]


PYTORCH = Layers(EpisodicLSTM, Mlp)
"""They run everywhere, in any precision."""
