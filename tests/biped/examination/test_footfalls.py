"""What is a step, and which steps alternate."""

import pytest

from tests.biped.examination.walks import COUNTED, DT, PERIOD, WARMUP, everyone, moving, strides, watch


def test_tapping_with_one_foot_does_not_alternate() -> None:
    contact = strides(15, 15)
    contact[..., 1] = True
    summary = watch(contact)
    assert summary.alternation == 0.0
    assert summary.steps_per_second == pytest.approx(1 / 0.6)


def test_hopping_on_both_feet_does_not_alternate() -> None:
    contact = strides(15, 15)
    contact[..., 1] = contact[..., 0]
    summary = watch(contact)
    assert summary.alternation == 0.0
    assert summary.steps_per_second == pytest.approx(2 / 0.6)


def test_one_step_out_of_turn() -> None:
    contact = strides(15, 15)
    # The left foot stays down for one swing: of nine touchdowns the first has none before it, one is of the same foot.
    contact[WARMUP + 3 * PERIOD : WARMUP + 3 * PERIOD + 15, 0, 1] = True
    summary = watch(contact)
    assert summary.steps_per_second == pytest.approx(9 / (COUNTED * DT))
    assert summary.alternation == pytest.approx(7 / 8)


def test_chatter_is_no_touchdown() -> None:
    contact = everyone(True)
    contact[WARMUP + 10 :: 10, 0, 0] = False
    contact[WARMUP + 15 :: 10, 0, 1] = False
    summary = watch(contact)
    assert summary.steps_per_second == 0.0
    assert (summary.duty_right, summary.duty_left) == (1.0, 1.0)


def test_a_swing_with_chatter_is_one_swing() -> None:
    contact = strides(15, 15)
    flicker = contact.clone()
    flicker[20::PERIOD, 0, 0] = True
    flicker[5::PERIOD, 0, 1] = True
    assert watch(flicker, fields=moving(0.5)) == watch(contact, fields=moving(0.5))


def test_a_lift_of_two_control_steps_is_a_swing() -> None:
    contact = everyone(True)
    contact[WARMUP + 10 : WARMUP + 12, 0, 0] = False
    assert watch(contact).steps_per_second == pytest.approx(1 / (COUNTED * DT))
