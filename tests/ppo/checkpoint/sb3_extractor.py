"""The MLP in front of the LSTMs, made by Stable-Baselines3's own means."""

from typing import Any

import gymnasium
from stable_baselines3.common.torch_layers import create_mlp
from torch import nn

from ppo.layers import ACTIVATIONS
from ppo.policy import PolicyConfig


class SharedMlp(nn.Sequential):
    """An MLP in the role of Stable-Baselines3's features extractor."""

    def __init__(self, space: gymnasium.spaces.Box, widths: list[int], activation: type[nn.Module]) -> None:
        """Map observations `[N, D]` to features `[N, widths[-1]]`."""
        super().__init__(*create_mlp(space.shape[0], -1, widths, activation))
        self.features_dim = widths[-1]


def extractor_arguments(config: PolicyConfig) -> dict[str, Any]:
    """Return what makes Stable-Baselines3's policy have the features of `config`."""
    if not config.features:
        return {}
    arguments = {"widths": list(config.features), "activation": ACTIVATIONS[config.activation]}
    return {"features_extractor_class": SharedMlp, "features_extractor_kwargs": arguments}
