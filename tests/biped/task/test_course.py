import math

import pytest
import torch

from biped.task.commands import CommandConfig
from biped.task.course import Course

AHEAD = torch.tensor([[0.5, 0.0, 0.0]])
NO, YES = torch.tensor([False]), torch.tensor([True])


def make_course(gain: float = 2.0, rate: float = 0.4) -> Course:
    """One robot, on the course 0."""
    course = Course(CommandConfig(course_gain=gain, course_rate=rate), 1, 0.02, torch.device("cpu"))
    course.reset(YES, torch.tensor([0.0]))
    return course


@pytest.mark.parametrize(("yaw", "correction"), [(0.0, 0.0), (0.1, -0.2), (-0.15, 0.3), (0.5, -0.4), (-3.0, 0.4)])
def test_a_robot_is_turned_back_to_its_course_at_no_more_than_the_largest_rate(yaw: float, correction: float) -> None:
    course = make_course()
    course.step(AHEAD, NO, torch.tensor([yaw]), NO)
    torch.testing.assert_close(course(AHEAD), torch.tensor([[0.5, 0.0, correction]]))


def test_the_course_turns_as_the_command_does() -> None:
    course, turning = make_course(), torch.tensor([[0.0, 0.0, 0.5]])
    for step in range(100):
        course.step(turning, NO, torch.tensor([0.5 * 0.02 * (step + 1)]), NO)
        assert course.correction.item() == pytest.approx(0.0, abs=1e-5)
    course.step(turning, NO, torch.tensor([0.9]), NO)
    assert course(turning)[0, 2].item() == pytest.approx(0.5 + 2.0 * (0.5 * 0.02 * 101 - 0.9))


def test_a_robot_that_cannot_turn_need_not_make_up_for_it() -> None:
    course, turning = make_course(), torch.tensor([[0.0, 0.0, 0.5]])
    for _ in range(1000):
        course.step(turning, NO, torch.tensor([0.0]), NO)
    assert course.heading.item() == pytest.approx(0.2)
    assert course(turning)[0, 2].item() == pytest.approx(0.9)


def test_the_shorter_way_is_taken() -> None:
    course = make_course()
    course.reset(YES, torch.tensor([math.pi - 0.05]))
    course.step(AHEAD, NO, torch.tensor([-math.pi + 0.05]), NO)
    assert course.correction.item() == pytest.approx(-0.2, abs=1e-5)


def test_whoever_stands_or_begins_is_on_course() -> None:
    course, standing = make_course(), torch.zeros(1, 3)
    course.step(standing, YES, torch.tensor([0.7]), NO)
    assert torch.equal(course(standing), standing)
    course.step(AHEAD, NO, torch.tensor([0.8]), NO)
    assert course.correction.item() == pytest.approx(-0.2, abs=1e-6)
    course.reset(YES, torch.tensor([-2.0]))
    # The state is still that of the episode before.
    course.step(AHEAD, NO, torch.tensor([0.8]), YES)
    assert (course.correction.item(), course.heading.item()) == (0.0, -2.0)
    course.reset(NO, torch.tensor([1.0]))
    assert course.heading.item() == -2.0


def test_a_given_heading_is_turned_to_however_far_it_is() -> None:
    course = make_course()
    course.hold(torch.tensor(1.5))
    for yaw in (0.0, 0.5, 1.0, 1.25):
        course.step(AHEAD, NO, torch.tensor([yaw]), NO)
        assert course.correction.item() == pytest.approx(0.4, abs=1e-6)
    course.step(AHEAD, NO, torch.tensor([1.6]), NO)
    assert course.correction.item() == pytest.approx(-0.2, abs=1e-6)
    course.hold(None)
    course.step(AHEAD, NO, torch.tensor([1.5]), NO)
    assert course.correction.item() == 0.0
