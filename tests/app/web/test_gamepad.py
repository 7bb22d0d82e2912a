import pytest

pytest.importorskip("viser")

from app.steering.requests import Deflect, Request
from app.web.gamepad import DEAD_ZONE, Gamepads, deflection, read_report
from app.web.serving import start, stop


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (0.0, 0.0),
        (DEAD_ZONE, 0.0),
        (-DEAD_ZONE, 0.0),
        ((1.0 + DEAD_ZONE) / 2.0, 0.5),
        (-(1.0 + DEAD_ZONE) / 2.0, -0.5),
        (1.0, 1.0),
        (-1.0, -1.0),
        (1.02, 1.0),
        (-float("inf"), -1.0),
    ],
)
def test_a_stick_counts_from_the_edge_of_its_dead_zone(axis: float, expected: float) -> None:
    assert deflection(axis) == pytest.approx(expected)


def test_just_beyond_the_dead_zone_it_is_hardly_anything() -> None:
    assert 0.0 < deflection(DEAD_ZONE + 1e-3) < 2e-3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a 0 0 0 0 0",
        "a 0 0 0 0 0 0 0",
        "a 0 nan 0 0 0 0",
        "a 0 0 x 0 0 0",
        "a 0 0 0 1.5 0 0",
        "a 0 0 0 0 0 " + "9" * 9999,
    ],
)
def test_what_no_page_has_written_says_nothing(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_report(text)


def test_what_changes_is_asked_for_once_whichever_page_it_comes_from() -> None:
    asked: list[Request] = []
    pressed: list[str] = []
    server = start("127.0.0.1", 18090)
    try:
        buttons = tuple(lambda name=name: pressed.append(name) for name in ("push", "reset", "pause"))
        gamepads = Gamepads(server.gui, asked.append, buttons)
        # At rest, nothing is asked for, however the sticks tremble.
        for text in ("one 0 0 0 0 0 0", "one 0.05 -0.1 0 0 0 0", "", "nonsense"):
            gamepads.hear(text)
        assert asked == []
        gamepads.hear("one 1 0 -1 0 0 0")
        gamepads.hear("two 0 -1 0 0 0 0")
        gamepads.hear("one 1 0.1 -1 1 0 0")
        gamepads.hear("one 0 0 0 1 0 0")
        gamepads.hear("one 0 0 0 1 1 1")
        assert asked == [Deflect((1.0, 0.0, -1.0)), Deflect((0.0, -1.0, 0.0)), Deflect((0.0, 0.0, 0.0))]
        assert pressed == ["push", "reset", "pause"]
    finally:
        stop(server)
