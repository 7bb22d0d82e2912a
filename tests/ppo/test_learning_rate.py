"""The learning-rate schedules, followed by hand."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ppo.learning_rate import LearningRate, LearningRateConfig

ADAPTIVE = LearningRateConfig(
    schedule="adaptive",
    target_kl=0.01,
    window=2,
    high=1.0,
    low=0.5,
    patience_high=2,
    patience_low=3,
    factor=0.5,
    minimum=1e-5,
    maximum=1e-3,
    cooldown_steps=0,
)


def follow(rate: LearningRate, divergences: list[float], start: int = 0, steps: int = 100) -> list[float]:
    """Rate after each update, one update every `steps` control steps."""
    values = []
    for index, kl in enumerate(divergences, 1):
        rate.after_update(kl, start + index * steps)
        values.append(rate.value)
    return values


def adaptive(**changes: float) -> LearningRate:
    values = {**ADAPTIVE.__dict__, **changes}
    return LearningRate(1e-4, LearningRateConfig(**values), 1_000_000)


def test_constant() -> None:
    rate = LearningRate(1e-4, LearningRateConfig(), 1000)
    for step in (100, 900, 2000):
        assert rate.before_update(step) == 1e-4
        rate.after_update(10.0, step)
    assert rate.value == 1e-4


def test_linear_falls_to_zero_and_stays_there() -> None:
    rate = LearningRate(1e-4, LearningRateConfig(schedule="linear"), 1000)
    assert [rate.before_update(step) for step in (0, 250, 500, 1000, 1300)] == pytest.approx(
        [1e-4, 0.75e-4, 0.5e-4, 0.0, 0.0]
    )
    rate.after_update(10.0, 250)
    assert rate.before_update(250) == pytest.approx(0.75e-4)


def test_falls_after_the_mean_was_high_for_the_patience() -> None:
    # Means of two: -, 0.02, 0.02 -> falls at the third; the counter begins anew, so the next fall is two later.
    assert follow(adaptive(), [0.02] * 5) == [1e-4, 1e-4, 0.5e-4, 0.5e-4, 0.25e-4]


def test_rises_after_the_mean_was_low_for_the_patience() -> None:
    # Means are known from the second update on; low in updates 2, 3, 4.
    assert follow(adaptive(), [0.001] * 7) == [1e-4, 1e-4, 1e-4, 2e-4, 2e-4, 2e-4, 4e-4]


def test_holds_inside_the_band_and_on_its_edges() -> None:
    for kl in (0.0075, 0.01, 0.005):
        assert follow(adaptive(), [kl] * 20) == [1e-4] * 20


def test_one_mean_inside_the_band_starts_the_count_again() -> None:
    # Means: -, 0.02, 0.01 (not above), 0.01, 0.02, 0.02 -> falls at the sixth.
    assert follow(adaptive(), [0.02, 0.02, 0.0, 0.02, 0.02, 0.02]) == [1e-4] * 5 + [0.5e-4]


def test_single_outlier_moves_nothing() -> None:
    # Means: -, 0.006, 0.008, 0.008, 0.006 with the outlier at the third update and window 2: never above 0.01.
    assert follow(adaptive(), [0.006, 0.006, 0.0139, 0.006, 0.006]) == [1e-4] * 5


def test_no_change_before_the_cooldown_has_passed() -> None:
    # Updates at 100, 200, ...; the count is full at 300 but the rate may move at 500 first, and next at 1000.
    values = follow(adaptive(cooldown_steps=500), [0.02] * 12)
    assert values == [1e-4] * 4 + [0.5e-4] * 5 + [0.25e-4] * 3


def test_bounds() -> None:
    assert follow(adaptive(), [1.0] * 30)[-1] == 1e-5
    assert follow(adaptive(), [0.0] * 30)[-1] == 1e-3


def test_divergence_that_is_not_a_number_is_left_out() -> None:
    assert follow(adaptive(), [0.02, float("nan"), 0.02, float("nan"), 0.02]) == [1e-4] * 4 + [0.5e-4]


def test_default_rule_falls_at_the_ninth_update_and_rises_at_the_fourteenth() -> None:
    config = LearningRateConfig(schedule="adaptive")
    high, low = LearningRate(1e-4, config, 10**9), LearningRate(1e-4, config, 10**9)
    assert follow(high, [0.016] * 9, steps=131_072) == [1e-4] * 8 + [pytest.approx(0.8e-4)]
    assert follow(low, [0.0119] * 14, steps=131_072) == [1e-4] * 13 + [pytest.approx(1.25e-4)]
    assert follow(LearningRate(1e-4, config, 10**9), [0.0121] * 40, steps=131_072) == [1e-4] * 40


def test_continues_from_its_state_as_if_never_stopped() -> None:
    divergences = [0.02, 0.03, 0.001, 0.02, 0.02, 0.02, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001]
    whole = follow(adaptive(cooldown_steps=300), divergences)
    assert len(set(whole)) >= 3
    for cut in range(1, len(divergences)):
        first, second = adaptive(cooldown_steps=300), adaptive(cooldown_steps=300)
        values = follow(first, divergences[:cut])
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert second.before_update(cut * 100) == first.value
        assert values + follow(second, divergences[cut:], start=cut * 100) == whole


def finished_linear_state() -> dict[str, Any]:
    rate = LearningRate(1e-4, LearningRateConfig(schedule="linear"), 1000)
    rate.before_update(1000)
    return rate.state_dict()


def test_an_adaptive_schedule_does_not_go_on_from_what_a_linear_one_fell_to() -> None:
    state = finished_linear_state()
    assert state["value"] == 0.0
    older = {name: value for name, value in state.items() if name not in ("schedule", "initial", "begin")}
    for saved in (state, older, {**state, "value": 5e-5}):
        rate = adaptive()
        rate.load_state_dict(saved)
        assert rate.before_update(1100) == 1e-4


def test_an_adaptive_rate_stays_within_changed_bounds_and_follows_a_changed_start() -> None:
    state = adaptive().state_dict()
    assert state["value"] == 1e-4
    narrower = adaptive(maximum=5e-5)
    narrower.load_state_dict(state)
    assert narrower.value == 5e-5
    elsewhere = LearningRate(3e-4, ADAPTIVE, 1_000_000)
    elsewhere.load_state_dict(state)
    assert elsewhere.value == 3e-4


def test_a_linear_schedule_that_begins_at_a_model_falls_over_what_is_left() -> None:
    rate = LearningRate(1e-4, LearningRateConfig(schedule="linear"), 2000)
    rate.begin = 1000
    again = LearningRate(1e-4, LearningRateConfig(schedule="linear"), 2000)
    again.load_state_dict(rate.state_dict())
    for schedule in (rate, again):
        assert [schedule.before_update(step) for step in (1000, 1500, 2000)] == pytest.approx([1e-4, 0.5e-4, 0.0])


def test_whoever_goes_on_gets_a_rate_to_learn_with() -> None:
    rate = LearningRate(1e-4, LearningRateConfig(schedule="linear"), 1000)
    assert (rate.before_update(1000), rate.to_go_on_with) == (0.0, 1e-4)
    changed = adaptive()
    follow(changed, [0.02] * 3)
    assert changed.to_go_on_with == changed.value == 0.5e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearningRateConfig(factor=1.0), "factor"),
        (lambda: LearningRateConfig(factor=0.0), "factor"),
        (lambda: LearningRateConfig(window=0), "window"),
        (lambda: LearningRateConfig(patience_high=0), "patience"),
        (lambda: LearningRateConfig(patience_low=0), "patience"),
        (lambda: LearningRateConfig(target_kl=0.0), "target_kl"),
        (lambda: LearningRateConfig(minimum=0.0), "minimum"),
        (lambda: LearningRateConfig(minimum=1e-2), "minimum"),
    ],
)
def test_impossible_rules_are_refused(make: Callable[[], LearningRateConfig], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
