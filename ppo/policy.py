"""The recurrent actor-critic: an LSTM for each of actor and critic, an MLP behind it, a Gaussian over actions.

An MLP that actor and critic share can stand in front of the LSTMs, beside or instead of those behind.

A pure function of its arguments: the recurrent state is passed in and out, never kept in the module. Parameter names,
their order and their initialisation are those of `MlpLstmPolicy` in sb3-contrib, so that a state dict is exchanged as
it is.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ppo.cuda.side_by_side import side_by_side
from ppo.layers import PYTORCH, Layers
from ppo.normalization import ObservationNormalizer
from ppo.recurrence import EpisodeStarts, EpisodicLSTM, LstmState
from ppo.value_ranges import ConfigurationError, Range, check_ranges

try:
    from ppo.cpu.layers import KERNELS

    FASTEST = KERNELS
except ModuleNotFoundError:
    # Without the compiled kernels the network is the same, and slower.
    FASTEST = PYTORCH
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

UNITS = Range(1, 1_000_000)
"""Of a layer."""


@dataclass(frozen=True)
class PolicyConfig:
    """Shape and start of the network."""

    lstm_hidden_size: Annotated[int, UNITS] = 512
    """Units per LSTM layer."""
    n_lstm_layers: Annotated[int, Range(1, 1000)] = 2
    """Stacked LSTM layers."""
    pi: Annotated[tuple[int, ...], UNITS] = (512, 256, 128)
    """Widths of the actor's MLP, behind its LSTM."""
    vf: Annotated[tuple[int, ...], UNITS] = (512, 256, 128)
    """Widths of the critic's MLP."""
    features: Annotated[tuple[int, ...], UNITS] = ()
    """Widths of an MLP in front of the LSTMs, shared by actor and critic; 512 256 128 with pi and vf empty gives the
    order MLP, LSTM, heads."""
    activation: Literal["elu", "relu", "tanh"] = "elu"
    """Activation after every MLP layer."""
    critic: Literal["lstm", "shared", "linear"] = "lstm"
    """What feeds the critic's MLP: an LSTM of its own, the actor's LSTM (without gradient), or one linear layer."""
    log_std_init: Annotated[float, Range(-40.0, 40.0)] = 0.0
    """Start value of the logarithm of the action's standard deviation."""

    def __post_init__(self) -> None:
        check_ranges(self)


def check_privileged(config: PolicyConfig) -> None:
    """Check that the critic of such a network can see more than its actor.

    Raises:
        ConfigurationError: both see through the same layer.
    """
    if config.critic == "shared":
        problem = "must be lstm or linear where only the critic sees a part of the observation, not shared"
        raise ConfigurationError(PolicyConfig, "critic", problem)
    if config.features:
        problem = "must be empty where only the critic sees a part of the observation"
        raise ConfigurationError(PolicyConfig, "features", problem)


class RecurrentState(NamedTuple):
    """State of both LSTMs. Where the critic has no LSTM of its own, its state has no layers: `[0, N, H]`."""

    actor: LstmState
    critic: LstmState


class EvaluatedActions(NamedTuple):
    """What the loss needs of the current policy about stored actions, each `[T, N]`."""

    log_prob: Tensor
    entropy: Tensor
    value: Tensor


class MlpExtractor(nn.Module):
    """The two MLPs behind the LSTMs."""

    def __init__(self, config: PolicyConfig, layers: Layers) -> None:
        super().__init__()
        self.policy_net = layers.mlp(config.lstm_hidden_size, config.pi, config.activation)
        self.value_net = layers.mlp(config.lstm_hidden_size, config.vf, config.activation)


class RecurrentActorCritic(nn.Module):
    """Gaussian policy and value function over sequences of observations.

    Args:
        config: shape of the network.
        observation_dim: `D`.
        action_dim: `A`.
        layers: modules to build it of, by default the fastest ones; the parameters are the same.
    """

    critic: nn.Linear | None
    lstm_critic: EpisodicLSTM | None
    normalizer: ObservationNormalizer | None
    """Of the observations that the network is given; None where it takes them as they are."""
    action_low: Tensor
    """`[A]` lower bounds of the actions that it was made for; minus infinity unless set."""
    action_high: Tensor
    """`[A]` upper bounds."""
    privileged_columns: Sequence[int] = ()
    """Of the observation; only the critic sees them."""

    def __init__(self, config: PolicyConfig, observation_dim: int, action_dim: int, layers: Layers = FASTEST) -> None:
        super().__init__()
        self.config = config
        self.normalizer = None
        self.log_std = nn.Parameter(torch.full((action_dim,), config.log_std_init))
        self.features_extractor = layers.mlp(observation_dim, config.features, config.activation)
        self.mlp_extractor = MlpExtractor(config, layers)
        self.action_net = nn.Linear((config.lstm_hidden_size, *config.pi)[-1], action_dim)
        self.value_net = nn.Linear((config.lstm_hidden_size, *config.vf)[-1], 1)
        # SB3 makes all of these, then overwrites them, then makes the LSTMs: the same seed gives the same weights.
        for module, gain in (
            (self.features_extractor, math.sqrt(2.0)),
            (self.mlp_extractor.policy_net, math.sqrt(2.0)),
            (self.mlp_extractor.value_net, math.sqrt(2.0)),
            (self.action_net, 0.01),
            (self.value_net, 1.0),
        ):
            for layer in module.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.orthogonal_(layer.weight, gain)
                    nn.init.zeros_(layer.bias)
        inputs = (observation_dim, *config.features)[-1]
        shape = (inputs, config.lstm_hidden_size, config.n_lstm_layers)
        self.lstm_actor = layers.lstm(*shape)
        self.lstm_critic = layers.lstm(*shape) if config.critic == "lstm" else None
        self.critic = nn.Linear(inputs, config.lstm_hidden_size) if config.critic == "linear" else None
        self.register_buffer("action_low", torch.full((action_dim,), -math.inf), persistent=False)
        self.register_buffer("action_high", torch.full((action_dim,), math.inf), persistent=False)

    def bound_actions(self, low: Sequence[float], high: Sequence[float]) -> None:
        """Clip actions to bounds, `A` each, as well as to those that are set already.

        Raises:
            ValueError: no action would be left.
        """
        self.action_low = torch.maximum(self.action_low, self.action_low.new_tensor(low))
        self.action_high = torch.minimum(self.action_high, self.action_high.new_tensor(high))
        if bool((self.action_low >= self.action_high).any()):
            raise ValueError("the action bounds of the model and those of the environment have nothing in common")

    def hide_from_actor(self, columns: Sequence[int]) -> None:
        """Let only the critic see these columns of the observation: the actor's weights for them are zero and stay so.

        The weights have no gradient, so that neither its norm nor Adam knows of them. What uses a saved policy needs
        not know either. Call it once, on the device to train on.

        Raises:
            ConfigurationError: the critic of such a network sees what the actor sees.
        """
        check_privileged(self.config)
        self.privileged_columns = tuple(columns)
        seen = torch.ones_like(self.actor_input[0]).index_fill_(0, self._privileged, 0.0)
        with torch.no_grad():
            self.actor_input.mul_(seen)
        self.actor_input.register_hook(lambda gradient: gradient * seen)

    def sees_privileged(self, *moments: Tensor) -> bool:
        """Whether the actor sees what is hidden from it, as after loading another's weights, or soon would.

        Args:
            moments: of the optimiser for `actor_input`.
        """
        return any(bool(one.index_select(1, self._privileged).any()) for one in (self.actor_input, *moments))

    @property
    def actor_input(self) -> nn.Parameter:
        """`[4 H, D]` weights through which the actor sees the observation, where there is no MLP in front."""
        weight = self.lstm_actor.weight_ih_l0
        assert isinstance(weight, nn.Parameter)
        return weight

    @property
    def _privileged(self) -> Tensor:
        return torch.tensor(self.privileged_columns, dtype=torch.int64, device=self.actor_input.device)

    def clip(self, action: Tensor) -> Tensor:
        """Actions `[N, A]` as the environment is given them, within the bounds."""
        return action.clamp(self.action_low, self.action_high)

    def initial_state(self, num_envs: int) -> RecurrentState:
        """State of `num_envs` environments before their first observation."""
        actor = self.lstm_actor.initial_state(num_envs)
        if self.lstm_critic is not None:
            return RecurrentState(actor, self.lstm_critic.initial_state(num_envs))
        empty = actor[0].new_zeros(0, num_envs, self.config.lstm_hidden_size)
        return RecurrentState(actor, (empty, empty))

    def act(
        self, observation: Tensor, state: LstmState, episode_start: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, LstmState, Tensor]:
        """Choose one action per environment.

        Args:
            observation: `[N, D]`.
            state: the actor's state before this step.
            episode_start: `[N]` bool; an episode starts with this observation.
            noise: `[N, A]` standard normal; None for the mean action.

        Returns:
            Action `[N, A]` (not clipped), its log-probability `[N]`, the state after the step, and the actor LSTM's
            output `[N, H]`, which a critic that shares it needs.
        """
        latent, state = self.lstm_actor.step(self._features(observation), state, episode_start)
        mean = self._mean(latent)
        action = mean if noise is None else mean + self.log_std.exp() * noise
        return action, self._log_prob(mean, action), state, latent

    def critic_step(
        self, observation: Tensor, state: LstmState, episode_start: Tensor, actor_latent: Tensor
    ) -> tuple[Tensor, LstmState]:
        """Advance the critic by one step; returns its latent `[N, H]` for `value` and the state after the step."""
        if self.lstm_critic is not None:
            return self.lstm_critic.step(self._features(observation), state, episode_start)
        return (actor_latent if self.critic is None else self.critic(self._features(observation))), state

    def value(self, latent: Tensor) -> Tensor:
        """Value `[...]` of a critic's latent `[..., H]`."""
        return self.mlp_extractor.value_net(latent, head=self.value_net).squeeze(-1)  # type: ignore[no-any-return]

    def evaluate_actions(
        self, observation: Tensor, state: RecurrentState, starts: EpisodeStarts, action: Tensor
    ) -> EvaluatedActions:
        """What the current weights say about stored sequences.

        Args:
            observation: `[T, N, D]`.
            state: state before t = 0.
            starts: where episodes start in the sequences.
            action: `[T, N, A]`.
        """
        features = self._features(observation)

        def act() -> tuple[Tensor, Tensor]:
            latent = self.lstm_actor.sequence(features, state.actor, starts)
            return latent, self._log_prob(self._mean(latent), action)

        def judge() -> Tensor:
            if self.lstm_critic is not None:
                return self.value(self.lstm_critic.sequence(features, state.critic, starts))
            assert self.critic is not None
            return self.value(self.critic(features))

        if self.config.critic == "shared":
            latent, log_prob = act()
            value = self.value(latent.detach())
        elif starts.on_host is None:
            (_, log_prob), value = side_by_side(act, judge, features)
        else:
            # Both read where the sequences are cut, which is sent to the device when it is needed first.
            (_, log_prob), value = act(), judge()
        entropy = (0.5 + HALF_LOG_TWO_PI + self.log_std).sum().expand_as(log_prob)
        return EvaluatedActions(log_prob, entropy, value)

    def log_prob(self, observation: Tensor, state: LstmState, starts: EpisodeStarts, action: Tensor) -> Tensor:
        """Log-probability `[T, N]` as in `evaluate_actions`, without the critic; `state` is the actor's."""
        latent = self.lstm_actor.sequence(self._features(observation), state, starts)
        return self._log_prob(self._mean(latent), action)

    def plain_state_dict(self) -> dict[str, Tensor]:
        """Parameters by name of the same network without a normalizer."""
        parameters = self.state_dict()
        return dict(parameters) if self.normalizer is None else self.normalizer.fold(parameters, self.first_layers)

    def normalizer_state_dict(self) -> dict[str, Any]:
        """The normalizer, and the layers that `plain_state_dict` folds it into as they are; empty without one."""
        if self.normalizer is None:
            return {}
        parameters = self.state_dict()
        names = itertools.chain.from_iterable(self.first_layers)
        return {"normalizer": self.normalizer.state_dict(), "first_layers": {name: parameters[name] for name in names}}

    def restore_normalizer(self, state: Mapping[str, Any]) -> None:
        """After loading a plain state dict, go on normalising as `normalizer_state_dict` says.

        Where `state` says nothing, the policy goes on without: to begin later would change what the network does.
        """
        if self.normalizer is None:
            return
        if not {"normalizer", "first_layers"} <= state.keys():
            self.normalizer = None
            return
        self.normalizer.load_state_dict(state["normalizer"])
        self.load_state_dict({**self.state_dict(), **state["first_layers"]})

    @property
    def lstms(self) -> list[EpisodicLSTM]:
        """The actor's, and the critic's if it has one."""
        return [self.lstm_actor, *([self.lstm_critic] if self.lstm_critic is not None else [])]

    @property
    def first_layers(self) -> list[tuple[str, str]]:
        """Names of weight and bias of every layer that observations enter."""
        if self.config.features:
            return [("features_extractor.0.weight", "features_extractor.0.bias")]
        lstms = ["lstm_actor", *(["lstm_critic"] if self.lstm_critic is not None else [])]
        linear = [("critic.weight", "critic.bias")] if self.critic is not None else []
        return [(f"{name}.weight_ih_l0", f"{name}.bias_ih_l0") for name in lstms] + linear

    def _features(self, observation: Tensor) -> Tensor:
        if self.normalizer is not None:
            observation = self.normalizer(observation)
        return self.features_extractor(observation)  # type: ignore[no-any-return]

    def _mean(self, latent: Tensor) -> Tensor:
        return self.mlp_extractor.policy_net(latent, head=self.action_net)  # type: ignore[no-any-return]

    def _log_prob(self, mean: Tensor, action: Tensor) -> Tensor:
        """Log-density `[...]` of a diagonal Gaussian; the order of terms is torch.distributions.Normal's."""
        scale = self.log_std.exp()
        terms = (action - mean) ** 2 / (-2.0 * scale**2) - scale.log() - HALF_LOG_TWO_PI
        return terms.sum(-1)
