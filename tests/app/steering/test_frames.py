import numpy as np
import pytest

from app.steering.frames import Frame, History, Pose


def pose(angle: float = 0.0, position: float = 0.0) -> Pose:
    quaternion = np.array([np.cos(0.5 * angle), 0.0, 0.0, np.sin(0.5 * angle)])
    return Pose(np.full(3, position), quaternion, np.full(2, position), np.full((2, 3), position))


def frame(number: float) -> Frame:
    return Frame(
        pose(position=number),
        np.full(2, -number),
        (number % 2 == 0, True),
        (number, 0.0, 0.1),
        (number + 0.5, 0.0, 0.0),
        {"alive": number, "track": 1.0},
        fell=False,
    )


def test_a_pose_between_two_others_turns_by_a_part_of_the_way() -> None:
    between = pose(0.0, 1.0).between(pose(0.2, 3.0), 0.5)
    assert between.base_position == pytest.approx(np.full(3, 2.0))
    assert between.base_quaternion == pytest.approx(pose(0.1).base_quaternion)
    assert between.foot_position.shape == (2, 3)


def test_the_way_between_two_poses_is_the_short_one() -> None:
    after = pose(0.2)
    between = pose(0.0).between(after._replace(base_quaternion=-after.base_quaternion), 0.5)
    assert between.base_quaternion == pytest.approx(pose(0.1).base_quaternion)


def test_the_history_keeps_the_last_seconds() -> None:
    history = History(("hip", "knee"), ("alive", "track", "unpaid"), 0.02, 0.1)
    assert history.times.shape == (0,)
    for number in range(7):
        history.add(frame(number))
    assert history.times == pytest.approx([-0.08, -0.06, -0.04, -0.02, 0.0])
    assert history.commands()[:, 0] == pytest.approx([2, 3, 4, 5, 6])
    assert history.velocities()[:, 0] == pytest.approx([2.5, 3.5, 4.5, 5.5, 6.5])
    assert history.contacts().tolist() == [[1, 1], [0, 1], [1, 1], [0, 1], [1, 1]]
    assert history.joint_targets()[-1] == pytest.approx([-6, -6])
    assert history.joint_positions()[-1] == pytest.approx([6, 6])


def test_rewards_are_means_over_the_time_before() -> None:
    history = History(("hip", "knee"), ("alive", "track", "unpaid"), 0.02, 0.1)
    for number in range(3):
        history.add(frame(number))
    assert history.reward_rates(0.04).tolist() == [[0.0, 1.0, 0.0], [0.5, 1.0, 0.0], [1.5, 1.0, 0.0]]
