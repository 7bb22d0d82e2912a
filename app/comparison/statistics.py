"""What several seeds say together."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DRAWS = 20_000
"""Resamples of a bootstrap."""
CONFIDENCE = 0.95
MOST_POINTS = 250
"""Of a curve."""


class Spread(NamedTuple):
    """A number over seeds; infinite where it was not reached."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and range of at least one value. A median between a finite and an infinite value is infinite."""
    return Spread(statistics.median(values), min(values), max(values))


def mean_interval(values: Sequence[float], generator: np.random.Generator) -> tuple[float, float] | None:
    """95 % percentile-bootstrap interval of the mean over seeds; None with one seed.

    As many seeds are drawn with replacement as there are, `DRAWS` times; the interval reaches from the 2.5th to the
    97.5th percentile of the means of what was drawn (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
    chapter 13).
    """
    if len(values) < 2:
        return None
    return _middle(_means(np.asarray(values), generator))


def difference_interval(
    a: Sequence[float] | Array, b: Sequence[float] | Array, generator: np.random.Generator
) -> tuple[float, float] | None:
    """95 % percentile-bootstrap interval of the difference in means `b - a`; None where one of them is a single value.

    Both are resampled as in `mean_interval`, each by itself.
    """
    if min(len(a), len(b)) < 2:
        return None
    means = [_means(np.asarray(group), generator) for group in (a, b)]
    return _middle(means[1] - means[0])


def _means(values: Array, generator: np.random.Generator) -> Array:
    """`[DRAWS]` means of resamples of values `[n]`."""
    means: Array = generator.choice(values, (DRAWS, len(values))).mean(axis=1)
    return means


def _middle(draws: Array) -> tuple[float, float]:
    low, high = np.quantile(draws, (0.5 - 0.5 * CONFIDENCE, 0.5 + 0.5 * CONFIDENCE))
    return float(low), float(high)


def first_reached(points: Sequence[tuple[float, float]], value: float) -> float:
    """The first x at which y is at least `value`; infinity where it never is.

    Args:
        points: x and y, by x.
        value: to reach.
    """
    return next((x for x, y in points if y >= value), math.inf)


class Band(NamedTuple):
    """Several curves as one, where all of them are known."""

    x: Array
    """`[P]`."""
    median: Array
    """`[P]` over the curves."""
    low: Array
    high: Array


def band(curves: Sequence[Sequence[tuple[float, float]]]) -> Band:
    """Median and range of curves at the x that any of them knows, between the last begin and the first end.

    Between their points curves are straight lines. Of more than `MOST_POINTS` x as many are taken at equal distances.

    Args:
        curves: x and y of each, by x, at least one point.
    """
    arrays = [np.asarray(curve, dtype=np.float64) for curve in curves]
    begin, end = max(one[0, 0] for one in arrays), min(one[-1, 0] for one in arrays)
    x = np.unique(np.concatenate([one[:, 0] for one in arrays]))
    x = x[(begin <= x) & (x <= end)]
    if len(x) > MOST_POINTS:
        x = np.linspace(begin, end, MOST_POINTS)
    values = np.stack([np.interp(x, one[:, 0], one[:, 1]) for one in arrays])
    return Band(x, np.median(values, axis=0), values.min(axis=0), values.max(axis=0))
