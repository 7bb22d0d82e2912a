"""What a range lets pass, and what is said of the rest."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from ppo.value_ranges import ConfigurationError, Range, check_order, check_ranges


@dataclass(frozen=True)
class Example:
    share: Annotated[float, Range(0.0, 1.0)] = 0.5
    span: Annotated[tuple[float, float] | None, Range(0.0, math.inf, open=True)] = None
    count: Annotated[int | Literal["auto"], Range(1, 2**63 - 1)] = "auto"
    free: float = 0.0
    switch: Annotated[bool, Range(5, 6)] = True

    def __post_init__(self) -> None:
        check_ranges(self)
        check_order(self, "span")


def test_ends_belong_to_a_range_unless_it_is_open() -> None:
    Example(share=0.0, span=(1e-300, math.inf), count=2**63 - 1, free=math.nan)
    Example(share=1.0, span=(2.0, 2.0), count=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.5}, "Example.share must be from 0 to 1, not 1.5"),
        ({"share": math.nan}, "Example.share must be from 0 to 1, not nan"),
        ({"span": (1.0, 0.0)}, "Example.span must be above 0 and at most inf, not 1.0 0.0"),
        ({"span": (math.nan, 1.0)}, "Example.span must be above 0 and at most inf, not nan 1.0"),
        ({"span": (2.0, 1.0)}, "Example.span needs the lower number first, not 2.0 1.0"),
        ({"count": 2**63}, f"Example.count must be from 1 to {2**63 - 1}, not {2**63}"),
    ],
)
def test_everything_else_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Example(**values)  # type: ignore[arg-type]
    assert str(caught.value) == message
