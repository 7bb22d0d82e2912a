from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from biped.examination.overlay import (
    BAR_HALF,
    BAR_LEFT,
    INK,
    LEFT,
    MARK,
    PANEL,
    ROW,
    TOLD,
    TOP,
    WIDTH,
    Motion,
    draw,
)

STANDING = Motion((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (False, False))
GREY = np.full((480, 640, 3), 128, dtype=np.uint8)
FORWARD, LEFTWARD, TURN, SPEED, FEET = (TOP + 4 + ROW // 2 + ROW * number for number in (1, 2, 3, 4, 5))
"""Rows of pixels in the middle of each line."""
MIDDLE = BAR_LEFT + BAR_HALF


def ink(picture: NDArray[np.uint8], row: int) -> list[int]:
    """Columns within the bar of a line that are drawn in white, a little above its middle and below its top."""
    inside = picture[row + 2, BAR_LEFT + 2 : BAR_LEFT + 2 * BAR_HALF - 1]
    return [BAR_LEFT + 2 + int(column) for column in np.flatnonzero((inside == INK).all(axis=1))]


def marks(picture: NDArray[np.uint8], row: int) -> list[int]:
    """Columns of a line that the mark of the command covers above its bar."""
    above = picture[row - 8, BAR_LEFT : BAR_LEFT + 2 * BAR_HALF + 1]
    return [BAR_LEFT + int(column) for column in np.flatnonzero((above == MARK).all(axis=1))]


def moving(index: int) -> Callable[[float], Motion]:
    def motion(value: float) -> Motion:
        velocity = [0.0, 0.0, 0.0]
        velocity[index] = value
        return STANDING._replace(velocity=(velocity[0], velocity[1], velocity[2]), command=(0.9, 0.9, 0.9))

    return motion


@pytest.mark.parametrize(("index", "row"), [(0, FORWARD), (1, LEFTWARD), (2, TURN)])
def test_a_bar_grows_with_the_velocity_to_its_side(index: int, row: int) -> None:
    motion = moving(index)
    for value in (0.25, 0.5, 0.75):
        assert ink(draw(GREY, motion(value)), row)[-1] == MIDDLE + round(value * BAR_HALF)
        assert ink(draw(GREY, motion(-value)), row)[0] == MIDDLE - round(value * BAR_HALF)
    # Others stay where they are.
    other = LEFTWARD if row != LEFTWARD else FORWARD
    assert ink(draw(GREY, motion(0.5)), other) == [MIDDLE]


def test_a_bar_ends_where_its_frame_does() -> None:
    full, beyond = (draw(GREY, moving(0)(value)) for value in (1.0, 7.0))
    bar = slice(BAR_LEFT, BAR_LEFT + 2 * BAR_HALF + 1)
    assert np.array_equal(full[FORWARD - 9 : FORWARD + 10, bar], beyond[FORWARD - 9 : FORWARD + 10, bar])


def test_the_bar_of_the_speed_has_the_length_of_the_planar_velocity() -> None:
    lengths = [
        len(ink(draw(GREY, STANDING._replace(velocity=velocity, command=(1.0, 0.0, 0.0))), SPEED))
        for velocity in ((0.0, 0.0, 0.0), (0.15, 0.2, 0.0), (-0.3, -0.4, 2.0))
    ]
    assert lengths[0] == 0
    # A frame and a mark, which begin and end the bar, hide two pixels of it.
    assert lengths[1:] == [round(2 * BAR_HALF * speed) - 1 for speed in (0.25, 0.5)]


def test_a_mark_stands_across_the_bar_at_the_command() -> None:
    picture = draw(GREY, STANDING._replace(command=(0.5, -0.25, 0.0)))
    speed = round(2 * BAR_HALF * np.hypot(0.5, 0.25))
    for row, place in ((FORWARD, 17), (LEFTWARD, -8), (TURN, 0), (SPEED, speed - BAR_HALF)):
        assert marks(picture, row) == [MIDDLE + place]


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("left", [False, True])
def test_the_square_of_a_foot_is_full_on_the_ground_and_framed_in_the_air(right: bool, left: bool) -> None:
    picture = draw(GREY, STANDING._replace(contact=(right, left)))
    for contact, centre in ((left, TOLD + 24 + 25), (right, TOLD + 80 + 25)):
        assert tuple(picture[FEET, centre]) == (INK if contact else PANEL)
        for across, along in ((-7, 0), (7, 0), (0, -7), (0, 7)):
            assert tuple(picture[FEET + across, centre + along]) == INK
        assert tuple(picture[FEET, centre + 9]) != INK


def test_numbers_are_written_and_a_rounded_zero_has_no_minus() -> None:
    positive, negative = (
        draw(GREY, STANDING._replace(velocity=(sign * 0.3, 0.0, 0.0), command=(0.9, 0.0, 0.0))) for sign in (1, -1)
    )
    numbers = (slice(FORWARD - 9, FORWARD + 9), slice(TOLD + 2, BAR_LEFT - 2))
    assert not np.array_equal(positive[numbers], negative[numbers])
    assert np.array_equal(draw(GREY, moving(0)(-0.001)), draw(GREY, moving(0)(0.001)))


def test_the_picture_around_the_panel_stays_as_it_is() -> None:
    picture = draw(GREY, STANDING)
    bottom = TOP + 6 * ROW + 6
    assert (picture[bottom:] == 128).all()
    assert (picture[:, LEFT + WIDTH :] == 128).all()
    assert (picture[:TOP] == 128).all()
    assert picture[TOP:bottom, LEFT : LEFT + WIDTH].min() < 60
    assert (GREY == 128).all()


def test_a_title_moves_the_lines_down() -> None:
    with_title, without = draw(GREY, moving(0)(0.5), "robot 1"), draw(GREY, moving(0)(0.5))
    assert ink(with_title, FORWARD + ROW) == ink(without, FORWARD)


def test_a_picture_smaller_than_the_panel_keeps_its_size() -> None:
    assert draw(GREY[:48, :64], STANDING).shape == (48, 64, 3)
