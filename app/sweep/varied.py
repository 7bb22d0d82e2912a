"""One flag of `train.py` that a sweep varies: which values it may take, and how a command line says one of them."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from app.experiment import Experiment, flat, to_plain

Value = str | float | int | bool | None
"""Drawn for a flag: a number of a range, or a choice as it was typed."""
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(:log)?")
SYNTAX = "write FLAG=LOW..HIGH, FLAG=LOW..HIGH:log or FLAG=A,B,C"
SET_BY_SWEEP = ("exp_name", "log_dir", "continue_training", "config", "load_model", "seeds")
"""Flags that do not belong to the search."""
SWITCH = ("true", "false")


@dataclass(frozen=True)
class Varied:
    """A flag and what it may be."""

    flag: str
    """Without its dashes: `ppo.learning-rate`."""
    distribution: BaseDistribution

    def words(self, value: Value) -> list[str]:
        """What says on a command line that the flag has this value."""
        return _words(self.flag, value)


def read_varied(text: str, read: Callable[[list[str]], Experiment]) -> Varied:
    """The flag and the range or the choices in what was typed behind `--vary`.

    Args:
        text: such as `ppo.learning-rate=5e-4..4e-3:log` or `ppo.n-epochs=3,5,8`.
        read: the experiment of a command line that these words are added to; refuses values out of the flag's range.

    Raises:
        ValueError: it is none of these, or the flag does not exist or cannot be varied so.
    """
    name, equals, values = text.partition("=")
    flag = name.removeprefix("--").replace("_", "-")
    present = value_of(read([]), flag)
    match = RANGE.fullmatch(values)
    choices = tuple(values.split(","))
    if not equals or (match is None and len(choices) < 2):
        raise ValueError(SYNTAX)
    if match is not None:
        if isinstance(present, bool):
            raise ValueError(f"--{flag} is on or off; write {flag}=true,false")
        low, high = (value_of(read(_words(flag, end)), flag) for end in match.group(1, 2))
        return Varied(flag, _between(low, high, log=match[3] is not None))
    if len(set(choices)) < len(choices):
        raise ValueError("a value is given twice")
    if isinstance(present, bool) and not set(choices) <= set(SWITCH):
        raise ValueError(f"--{flag} is on or off; write {flag}=true,false")
    for choice in choices:
        read(_words(flag, choice, switch=isinstance(present, bool)))
    drawn = [choice == "true" for choice in choices] if isinstance(present, bool) else choices
    return Varied(flag, CategoricalDistribution(drawn))


def value_of(experiment: Experiment, flag: str) -> object:
    """The value that a flag has.

    Raises:
        ValueError: there is no such flag, or it is none of the search.
    """
    if flag.replace("-", "_") in SET_BY_SWEEP:
        raise ValueError(f"--{flag} cannot be varied")
    values = dict(flat(to_plain(experiment)))
    if f"--{flag}" not in values:
        raise ValueError(f"train.py has no flag --{flag}")
    return values[f"--{flag}"]


def _between(low: object, high: object, *, log: bool) -> BaseDistribution:
    if not (isinstance(low, (int, float)) and isinstance(high, (int, float))):
        raise ValueError("only numbers have ranges; list the values as A,B,C")
    if not low < high:
        raise ValueError(f"the range must rise, not go from {low} to {high}")
    if log and not low > 0:
        raise ValueError("a logarithmic range must begin above 0")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _words(flag: str, value: Value, *, switch: bool = False) -> list[str]:
    if switch or isinstance(value, bool):
        section, dot, name = flag.rpartition(".")
        return [f"--{section}{dot}{'' if value in (True, 'true') else 'no-'}{name}"]
    return [f"--{flag}", *(shlex.split(value) if isinstance(value, str) else [repr(value)])]
