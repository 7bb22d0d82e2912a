"""Which numbers a configuration may hold: a range declared beside each field, and one function that checks them all.

It imports nothing of the project, because the configurations of robot, algorithm and programs all check themselves.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`; never NaN, and infinity only where it is an end of the range.

    As the metadata of `typing.Annotated` it holds for every number of a field, whether the field is a number, a tuple
    of numbers or something else instead.
    """

    low: float
    high: float
    open: bool = False
    """The numbers must be above `low`."""

    def __contains__(self, number: float) -> bool:
        return (self.low < number if self.open else self.low <= number) and number <= self.high

    def __str__(self) -> str:
        ends = [str(end) if isinstance(end, int) else f"{end:g}" for end in (self.low, self.high)]
        return "above {} and at most {}".format(*ends) if self.open else "from {} to {}".format(*ends)


class ConfigurationError(ValueError):
    """A field of a configuration holds what it must not.

    Args:
        owner: class of the configuration.
        field: name of the field.
        problem: the rest of a sentence that begins with the name of the field.
    """

    def __init__(self, owner: type, field: str, problem: str) -> None:
        super().__init__(f"{owner.__name__}.{field} {problem}")
        self.owner = owner
        self.field = field
        self.problem = problem


def check_ranges(config: Any) -> None:  # noqa: ANN401 - any dataclass
    """Check the numbers of a dataclass, not those of dataclasses in it; to be called by its `__post_init__`.

    Raises:
        ConfigurationError: a number lies outside of the range of its field.
    """
    for field in dataclasses.fields(config):
        allowed = range_of(field)
        value = getattr(config, field.name)
        if allowed is not None and any(number not in allowed for number in numbers(value)):
            shown = " ".join(map(str, value)) if isinstance(value, (tuple, list)) else value
            raise ConfigurationError(type(config), field.name, f"must be {allowed}, not {shown}")


def check_order(config: Any, *names: str) -> None:  # noqa: ANN401 - any dataclass
    """Check that fields which hold two numbers hold the lower one first.

    Raises:
        ConfigurationError: one does not.
    """
    for name in names:
        bounds = getattr(config, name)
        if bounds is not None and bounds[0] > bounds[1]:
            shown = " ".join(map(str, bounds))
            raise ConfigurationError(type(config), name, f"needs the lower number first, not {shown}")


def range_of(field: "dataclasses.Field[Any]") -> Range | None:
    """The range declared beside a field of a dataclass, if any."""
    return next((item for item in get_args(field.type) if isinstance(item, Range)), None)


def numbers(value: object) -> Iterator[float]:
    """The numbers that a field holds: none where it holds something else."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
