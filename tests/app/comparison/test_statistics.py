"""Medians, intervals, milestones and bands, computed by hand."""

import math

import numpy as np
import pytest

from app.comparison.statistics import (
    MOST_POINTS,
    band,
    difference_interval,
    first_reached,
    mean_interval,
    spread,
)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_median_of_what_half_of_the_seeds_did_not_reach_is_not_reached() -> None:
    assert spread([3.0, 1.0, math.inf]) == (3.0, 1.0, math.inf)
    assert spread([3.0, 1.0, math.inf, math.inf]) == (math.inf, 1.0, math.inf)
    assert spread([1.0, 2.0, 3.0, math.inf]) == (2.5, 1.0, math.inf)


def test_the_interval_of_a_mean_by_hand() -> None:
    # Two of {0, 1}: the mean is 0, 1/2 or 1 with probability 1/4, 1/2, 1/4, so both tails of 2.5 % lie at the ends.
    assert mean_interval([0.0, 1.0], generator()) == (0.0, 1.0)
    assert mean_interval([2.0, 2.0, 2.0], generator()) == (2.0, 2.0)
    # Six of {0, 0, 0, 0, 0, 6}: the mean is how often 6 was drawn, binomial with n = 6 and p = 1/6. At least 3 has
    # the probability 0.062, at least 4 that of 0.009, none that of 0.33.
    assert mean_interval([0.0] * 5 + [6.0], generator()) == (0.0, 3.0)
    assert mean_interval([1.0], generator()) is None


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    interval = mean_interval(values.tolist(), generator())
    assert interval is not None
    # 1.96 standard errors of the mean to each side.
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [1.0, 4.0, 2.0, 8.0]
    assert mean_interval(values, generator()) == mean_interval(values, generator())


def test_interval_of_the_difference() -> None:
    assert difference_interval([0.0] * 4, [3.0] * 4, generator()) == (3.0, 3.0)
    assert difference_interval([0.0], [3.0, 4.0], generator()) is None
    draw = np.random.default_rng(2)
    interval = difference_interval(draw.normal(0.0, 1.0, 400), draw.normal(1.0, 1.0, 400), generator())
    assert interval is not None
    # The difference of two means of 400 has a standard deviation of sqrt(2 / 400) = 0.07.
    assert 0.2 < interval[1] - interval[0] < 0.35
    assert interval[0] < 1.0 < interval[1]


def test_what_is_reached_is_reached_the_first_time() -> None:
    points = [(100.0, 2.0), (200.0, 5.0), (300.0, 4.0)]
    assert [first_reached(points, value) for value in (1, 2, 3, 5, 6)] == [100.0, 100.0, 200.0, 200.0, math.inf]


def test_a_band_reaches_as_far_as_all_curves() -> None:
    result = band([[(0, 0.0), (10, 10.0), (20, 0.0)], [(5, 1.0), (15, 1.0)], [(0, 4.0), (30, 4.0)]])
    assert result.x.tolist() == [5, 10, 15]
    assert result.median.tolist() == [4.0, 4.0, 4.0]
    assert result.low.tolist() == [1.0, 1.0, 1.0]
    assert result.high.tolist() == [5.0, 10.0, 5.0]


def test_a_band_of_one_curve_is_the_curve_and_has_few_points() -> None:
    assert band([[(1, 2.0), (3, 4.0)]]).median.tolist() == [2.0, 4.0]
    long = band([[(float(x), 2.0 * x) for x in range(1000)]])
    assert len(long.x) == MOST_POINTS
    np.testing.assert_allclose(long.median, 2.0 * long.x)
