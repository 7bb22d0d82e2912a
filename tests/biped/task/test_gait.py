import math

import pytest
import torch

from biped.task.gait import FootAlternation, Gait, GaitConfig, clock_signal, is_standing, scheduled_contact

DT = 0.02
BOTH, RIGHT, LEFT, NONE = (True, True), (True, False), (False, True), (False, False)


def make_gait(config: GaitConfig | None = None, num_envs: int = 1) -> Gait:
    return Gait(config or GaitConfig(), num_envs, DT, torch.Generator().manual_seed(0))


def alternation_events(*phases: tuple[tuple[bool, bool], int]) -> list[tuple[int, float]]:
    """Feed phases (contact, control steps) to one robot; returns (control step, value) of what was paid."""
    alternation = FootAlternation(GaitConfig(), 1, DT, torch.device("cpu"))
    contacts = [contact for contact, count in phases for _ in range(count)]
    values = [alternation.step(torch.tensor([contact])).item() for contact in contacts]
    return [(index, value) for index, value in enumerate(values) if value != 0.0]


def test_contact_needs_more_than_one_newton() -> None:
    gait = make_gait()
    gait.step(torch.tensor([[1.0, 1.01]]))
    assert gait.contact.tolist() == [[False, True]]


def test_air_time_is_counted_and_reported_at_touchdown() -> None:
    gait = make_gait()
    for force in ([9.0, 9.0], [0.0, 9.0], [0.0, 9.0], [0.0, 9.0]):
        gait.step(torch.tensor([force]))
    assert gait.air_time is not None
    torch.testing.assert_close(gait.air_time, torch.tensor([[0.06, 0.0]]))
    assert gait.touchdown.tolist() == [[False, False]]
    gait.step(torch.tensor([[9.0, 9.0]]))
    assert gait.touchdown.tolist() == [[True, False]]
    torch.testing.assert_close(gait.landed_air_time, torch.tensor([[0.06, 0.0]]))
    assert gait.air_time.tolist() == [[0.0, 0.0]]
    gait.step(torch.tensor([[9.0, 9.0]]))
    assert gait.landed_air_time.tolist() == [[0.0, 0.0]]


def test_air_time_is_not_followed_where_nobody_needs_it() -> None:
    gait = Gait(GaitConfig(), 1, DT, torch.Generator(), needs_air_time=False)
    for force in ([9.0, 9.0], [0.0, 9.0], [9.0, 9.0]):
        gait.step(torch.tensor([force]))
    assert gait.touchdown.tolist() == [[True, False]]
    assert gait.landed_air_time.isnan().all()
    assert "air_time" not in gait.state_dict()


def test_the_clock_turns_once_in_a_period() -> None:
    gait = make_gait()
    phases = []
    for _ in range(30):
        gait.step(torch.zeros(1, 2))
        phases.append(gait.phase.item())
    assert phases[14] == pytest.approx(0.5, abs=1e-5)
    assert min(phases[29], 1.0 - phases[29]) == pytest.approx(0.0, abs=1e-5)


def test_the_clock_wants_right_then_left_with_both_between() -> None:
    phase = torch.tensor([0.02, 0.06, 0.49, 0.51, 0.54, 0.56, 0.99])
    wanted = scheduled_contact(phase, torch.zeros(7, dtype=torch.bool), GaitConfig())
    assert wanted[:, 0].tolist() == [True, True, True, True, True, False, False]
    assert wanted[:, 1].tolist() == [True, False, False, True, True, True, True]


def test_a_standing_robot_has_no_clock_and_both_feet_wanted_down() -> None:
    command = torch.tensor([[0.05, -0.09, 0.0], [0.05, -0.11, 0.0], [0.0, 0.0, -0.2]])
    standing = is_standing(command, GaitConfig())
    assert standing.tolist() == [True, False, False]
    phase = torch.full((3,), 0.75)
    assert scheduled_contact(phase, standing, GaitConfig()).tolist() == [[True, True], [False, True], [False, True]]
    expected = torch.tensor([[0.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(clock_signal(phase, standing), expected, atol=1e-6, rtol=0)


def test_clock_signal_is_sine_and_cosine() -> None:
    signal = clock_signal(torch.tensor([0.125]), torch.tensor([False]))
    torch.testing.assert_close(signal, torch.full((1, 2), math.sqrt(0.5)))


def test_reset_begins_anew_for_masked_robots_only() -> None:
    gait = make_gait(num_envs=2)
    for _ in range(3):
        gait.step(torch.tensor([[9.0, 0.0], [9.0, 0.0]]))
    gait.reset(torch.tensor([True, False]))
    assert gait.contact.tolist() == [[False, False], [True, False]]
    torch.testing.assert_close(gait.air_time, torch.tensor([[0.0, 0.0], [0.0, 0.06]]))
    torch.testing.assert_close(gait.phase, torch.tensor([0.0, 0.1]))


def test_random_phases_fill_the_clock() -> None:
    gait = make_gait(GaitConfig(random_phase=True), 4096)
    gait.reset(torch.ones(4096, dtype=torch.bool))
    assert gait.phase.amin().item() < 0.01
    assert gait.phase.amax().item() > 0.99
    assert gait.phase.mean().item() == pytest.approx(0.5, abs=0.02)


def test_a_step_pays_half_when_the_swing_has_lasted_and_one_at_touchdown() -> None:
    assert alternation_events((BOTH, 5), (RIGHT, 12), (BOTH, 2)) == [(7, 0.5), (17, 1.0)]


def test_steps_with_alternating_feet_all_pay() -> None:
    walk = ((BOTH, 3), (RIGHT, 12), (BOTH, 3), (LEFT, 12), (BOTH, 3), (RIGHT, 12), (BOTH, 3))
    assert [value for _, value in alternation_events(*walk)] == [0.5, 1.0] * 3


def test_the_same_foot_twice_in_a_row_pays_once() -> None:
    assert (
        len(alternation_events((BOTH, 3), (RIGHT, 12), (BOTH, 3), (RIGHT, 12), (BOTH, 3), (RIGHT, 12), (BOTH, 3))) == 2
    )


def test_a_swing_shorter_than_the_minimum_pays_nothing() -> None:
    chatter = ((BOTH, 1), (RIGHT, 2), (BOTH, 1), (LEFT, 2)) * 20
    assert alternation_events(*chatter) == []


def test_trembling_pays_no_more_than_a_quick_walk() -> None:
    trembling = ((BOTH, 1), (RIGHT, 3), (BOTH, 1), (LEFT, 3)) * 25
    paid = sum(value for _, value in alternation_events(*trembling))
    assert 0.0 < paid <= 1.5 * (200 * DT) / 0.2


def test_a_touchdown_that_flickers_pays_once() -> None:
    flicker = ((RIGHT, 1), (BOTH, 1)) * 5
    assert len(alternation_events((BOTH, 3), (RIGHT, 12), (BOTH, 1), *flicker)) == 2


@pytest.mark.parametrize(
    "phases",
    [
        pytest.param(((NONE, 3), (RIGHT, 12), (BOTH, 3)), id="landing on one foot"),
        pytest.param(((BOTH, 3), (NONE, 12), (BOTH, 3)), id="hopping on both feet"),
        pytest.param(((RIGHT, 12), (LEFT, 12)) * 3, id="never both feet"),
        pytest.param(((BOTH, 50),), id="standing"),
    ],
)
def test_what_is_not_a_step_pays_nothing(phases: tuple[tuple[tuple[bool, bool], int], ...]) -> None:
    assert alternation_events(*phases) == []


def test_a_jump_after_the_swing_pays_no_touchdown() -> None:
    assert alternation_events((BOTH, 3), (RIGHT, 12), (NONE, 2), (BOTH, 3)) == [(5, 0.5)]


def test_alternation_reset_forgets_which_foot_was_last() -> None:
    alternation = FootAlternation(GaitConfig(), 2, DT, torch.device("cpu"))

    def walk(contact: tuple[bool, bool], count: int) -> list[float]:
        total = sum(alternation.step(torch.tensor([contact, contact])) for _ in range(count))
        assert isinstance(total, torch.Tensor)
        values: list[float] = total.tolist()
        return values

    walk(BOTH, 3)
    assert walk(RIGHT, 12) == [0.5, 0.5]
    alternation.reset(torch.tensor([True, False]))
    assert walk(BOTH, 12) == [0.0, 1.0]
    assert walk(RIGHT, 12) == [0.5, 0.0]


def test_the_clock_goes_on_for_a_while_when_a_robot_is_told_to_stand() -> None:
    gait = Gait(GaitConfig(stopping_time=0.06), 3, 0.02, torch.Generator())
    walk, stand = torch.tensor([[0.5, 0.0, 0.0]]).repeat(3, 1), torch.zeros(3, 3)
    # Whoever begins with that command stands at once.
    assert gait.stands(stand).all()
    gait.follow(walk)
    assert not gait.stands(walk).any()
    command = torch.stack((stand[0], stand[0], walk[0]))
    seen = []
    for _ in range(4):
        gait.follow(command)
        seen.append(gait.stands(command).tolist())
    assert seen == [[False] * 3] * 3 + [[True, True, False]]
    gait.follow(walk)
    gait.reset(torch.tensor([True, False, False]))
    assert gait.stands(stand).tolist() == [True, False, False]


def test_without_a_steps_to_stop_robots_are_to_stand_at_once() -> None:
    gait = Gait(GaitConfig(), 2, 0.02, torch.Generator())
    gait.follow(torch.tensor([[0.5, 0.0, 0.0]]).repeat(2, 1))
    assert gait.stands(torch.tensor([[0.0, 0.05, 0.0], [0.0, 0.0, 0.1]])).tolist() == [True, False]
    assert "_steps_to_stop" not in gait.state_dict()
