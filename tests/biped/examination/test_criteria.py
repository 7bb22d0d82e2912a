"""What a walk must show to pass."""

import math
from dataclasses import replace

import pytest

from biped.examination.criteria import Requirement
from biped.examination.gait_meter import GaitSummary
from biped.examination.trials import Trial
from tests.biped.examination.walks import (
    CRITERIA,
    everyone,
    lifting,
    moving,
    strides,
    watch,
)

GOOD = watch(strides(17, 17), fields=moving(0.5) | lifting(strides(17, 17), 0.08))


GOOD_STAND = watch(everyone(True), command=(0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("summary", "missed"),
    [
        (replace(GOOD, survival=0.98), "survival"),
        (replace(GOOD, velocity_error_x=0.06), "forward velocity error"),
        (replace(GOOD, velocity_error_y=0.06), "sideways velocity error"),
        (replace(GOOD, alternation=0.97), "alternation"),
        (replace(GOOD, foot_clearance=0.02), "foot clearance"),
        (replace(GOOD, duty_asymmetry=0.06), "duty asymmetry"),
        (replace(GOOD_STAND, survival=0.98), "survival"),
        (replace(GOOD_STAND, duty_right=0.94), "time on each foot"),
        (replace(GOOD_STAND, duty_left=0.94), "time on each foot"),
        (replace(GOOD_STAND, drift_speed=0.04), "drift"),
        (replace(GOOD_STAND, drift_speed=math.nan), "no drift was seen"),
    ],
)
def test_each_criterion(summary: GaitSummary, missed: str) -> None:
    assert CRITERIA.passes(GOOD)
    assert CRITERIA.passes(GOOD_STAND)
    (shortfall,) = CRITERIA.shortfalls(summary)
    assert shortfall.startswith(missed)


@pytest.mark.parametrize(
    ("value", "bound", "at_least", "met", "closeness"),
    [
        (0.98, 0.98, True, True, 1.0),
        (0.49, 0.98, True, False, 0.5),
        (1.00, 0.98, True, True, 1.0),
        (0.05, 0.05, False, True, 0.5),
        (0.00, 0.05, False, True, 1.0),
        (0.15, 0.05, False, False, 0.25),
        (math.nan, 0.98, True, False, 0.0),
        (math.nan, 0.05, False, False, 0.0),
    ],
)
def test_how_close_a_requirement_is(value: float, bound: float, at_least: bool, met: bool, closeness: float) -> None:
    one = Requirement("stride", value, bound, at_least=at_least)
    assert one.met is met
    assert one.closeness == pytest.approx(closeness)


def test_fast_commands_need_no_exact_speed() -> None:
    slow = replace(GOOD, velocity_error_x=0.2)
    assert not CRITERIA.passes(slow)
    assert CRITERIA.passes(replace(slow, trial=Trial(((0.8, 0.0, 0.0),))))
