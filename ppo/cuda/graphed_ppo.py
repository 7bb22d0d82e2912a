"""PPO whose passes through the network are recorded once and launched as a whole."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ppo.env import Recorder, Remembered
from ppo.policy import RecurrentActorCritic, RecurrentState
from ppo.recurrence import LstmState
from ppo.rollout import Experience
from ppo.runtime import send
from ppo.update import PPO


def what_changes(policy: RecurrentActorCritic) -> list[Remembered]:
    """What a policy replaces by other tensors between two updates, for a `Recorder`."""
    return [] if policy.normalizer is None else [(policy.normalizer, ("mean", "scale"))]


class GraphedPPO(PPO):
    """`PPO` on a GPU, for which the host need not know where episodes end; call `record` before the first update."""

    fixed: Experience | None = None
    """Every rollout with its edges, which are copied to the same place."""
    _names: tuple[str, ...] = ()

    def record(self, recorder: Recorder) -> None:
        """Record what is done for each rollout and for each pass of a minibatch."""
        memory = what_changes(self.policy)
        self._value_again = recorder(self._value_fixed, memory)
        self._backpropagate_again = recorder(self._backpropagate_fixed, memory)

    def questions_while_preparing(self, n_steps: int) -> int:
        """None."""
        return 0

    def prepare(
        self, newest: Experience, interrupted: Callable[[], bool] = lambda: False
    ) -> tuple[Experience, LstmState]:
        """As `PPO.prepare`, which takes so little time that it is not interrupted."""
        if self.fixed is None:
            actor, critic = ((hidden.clone(), cell.clone()) for hidden, cell in newest.start_state)
            self.fixed = replace(
                newest,
                start_state=RecurrentState(actor, critic),
                next_observation=newest.next_observation.clone(),
                next_episode_start=newest.next_episode_start.clone(),
                known_to_host=False,
            )
        assert self.fixed.rollout is newest.rollout
        for into, tensor in zip(self.fixed.edges(), newest.edges(), strict=True):
            into.copy_(tensor)
        return self.fixed, self._value_again()

    def _value_fixed(self) -> LstmState:
        assert self.fixed is not None
        return self._fill_in(self.fixed, lambda: False)

    def _backpropagate(
        self, experience: Experience, environments: Tensor, advantage: Tensor, share: float
    ) -> dict[str, Tensor]:
        scalars = self._backpropagate_again(send(environments, advantage.device), advantage, share)
        return dict(zip(self._names, scalars.clone().unbind(), strict=True))

    def _backpropagate_fixed(self, environments: Tensor, advantage: Tensor, share: float) -> Tensor:
        """The scalars of `PPO._backpropagate` as one vector, in the order of `_names`."""
        assert self.fixed is not None
        scalars = super()._backpropagate(self.fixed, environments, advantage, share)
        self._names = tuple(scalars)
        return torch.stack([*scalars.values()])
