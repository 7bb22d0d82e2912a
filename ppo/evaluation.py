"""How good a policy is: what the trainer asks of whoever judges it."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ppo.policy import RecurrentActorCritic


class Verdict(NamedTuple):
    """What an evaluation found. With several processes only that of rank 0 is looked at."""

    score: float
    """The higher the better; the policy with the highest one is kept."""
    metrics: Mapping[str, float]
    """Named values, logged as `eval/<name>`."""
    summary: str
    """One line for a person."""
    pictures: Mapping[str, bytes] = {}
    """PNGs by name, logged as `eval/<name>`."""


class Evaluator(Protocol):
    """Judges policies. Called by all processes at the same time, which may share the work."""

    def __call__(self, policy: RecurrentActorCritic) -> Verdict:
        """Judge `policy`, from the same start every time, so that results can be compared."""
        ...
