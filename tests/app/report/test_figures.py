"""What the figures show, worked out by hand, and that they can be drawn of everything."""

import dataclasses
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from app.report.drawing import Drawing, moving_average, style
from app.report.foot_figures import foot_paths, stepping
from app.report.gait_figure import contact_intervals, gait_diagram, support_shares
from app.report.joint_figures import effort, phase_portraits, power, targets, torques
from app.report.learning import curves, learning_curves, thinned
from app.report.motion import joint_pairs, label, showcase, steady
from app.report.reward_figure import decomposition, mean_rates
from app.report.velocity_figures import change_times, sudden_changes, tracking
from biped.examination.trials import SUDDEN_CHANGES, WALKING, Trial
from biped.robots.library import BIPED
from configs.presets import PRESETS
from tests.app.report.recordings import fallen_at_once, jumping, oddly_named, walk


def test_the_gait_diagram_shows_when_a_foot_is_on_the_ground() -> None:
    contact = np.array([True, True, False, False, True, False, True])
    assert contact_intervals(contact, 0.5) == [(0.0, 1.0), (2.0, 0.5), (3.0, 0.5)]
    assert contact_intervals(np.zeros(3, dtype=bool), 0.5) == []
    assert contact_intervals(np.ones(3, dtype=bool), 0.5) == [(0.0, 1.5)]


def test_support_is_on_both_feet_one_or_none() -> None:
    contact = np.array([[True, True], [True, False], [False, True], [False, False]])
    assert support_shares(contact) == (0.25, 0.5, 0.25)
    assert all(map(math.isnan, support_shares(contact[:0])))


def test_a_moving_average_is_narrower_at_the_ends() -> None:
    assert moving_average(np.array([0.0, 3.0, 6.0, 0.0]), 3).tolist() == [1.5, 3.0, 3.0, 3.0]
    assert moving_average(np.array([2.0, 4.0]), 25).tolist() == [3.0, 3.0]


def test_commands_change_where_they_do() -> None:
    assert change_times(jumping().command, 0.02) == pytest.approx([2.0, 4.0, 6.0])
    assert change_times(walk().command, 0.02) == []


def test_what_is_steady_begins_after_the_robots_have_picked_up_speed() -> None:
    assert steady(walk(steps=300), 2.0) == slice(100, 200)
    assert steady(walk(steps=150), 2.0) == slice(50, 150)
    assert steady(walk(steps=10), 2.0) == slice(0, 10)


def test_joints_are_paired_with_their_mirror_images() -> None:
    pairs = joint_pairs(BIPED)
    assert [pair.name for pair in pairs] == ["hip1", "hip2", "knee", "ankle", "revolute torso"]
    names = BIPED.joint_names
    assert [(names[pair.right], pair.left and names[pair.left]) for pair in pairs][2:] == [
        ("right_knee", "left_knee"),
        ("right_ankle", "left_ankle"),
        ("revolute_torso", None),
    ]
    assert {pair.sign for pair in pairs[:4]} == {-1.0}


def test_a_left_joint_that_comes_first_is_still_the_left_one() -> None:
    order = [4, 5, 6, 7, 0, 1, 2, 3, 8]
    swapped = dataclasses.replace(
        BIPED,
        joint_names=tuple(BIPED.joint_names[joint] for joint in order),
        mirror_joints=tuple(order.index(BIPED.mirror_joints[joint]) for joint in order),
    )
    assert [pair.right for pair in joint_pairs(swapped)] == [4, 5, 6, 7, 8]


def test_effort_is_counted_by_hand() -> None:
    recording = walk(steps=300)
    name, rms, largest, limit, watts = effort(recording)[0]
    assert (name, limit) == ("right_hip1", 12.0)
    # Torque is 2 sin and velocity sin, over whole periods.
    assert (rms, largest, watts) == pytest.approx((math.sqrt(2.0), 2.0, 1.0), rel=1e-5)
    assert effort(fallen_at_once()) == []


def test_rewards_are_means_over_time_and_nothing_of_who_fell_at_once() -> None:
    rates = mean_rates([walk(), fallen_at_once()])
    assert rates[0].tolist() == [0.5, -0.25]
    assert np.isnan(rates[1]).all()


def test_the_closest_look_is_at_walking_straight_ahead() -> None:
    recordings = [walk(trial) for trial in WALKING]
    assert showcase(recordings) is recordings[2]
    assert showcase(recordings[:1]) is recordings[0]
    assert showcase(recordings[5:]) is recordings[5]


def test_the_feet_are_shown_in_trials_unlike_each_other() -> None:
    recordings = [walk(trial) for trial in (*WALKING, SUDDEN_CHANGES)]
    shown = [one.trial.commands[0] for one in stepping(recordings)]
    assert shown == [(0.8, 0.0, 0.0), (0.3, 0.2, 0.0), (-0.3, 0.0, 0.0), (0.0, 0.2, 0.0)]
    assert stepping(recordings[:1]) == []


def test_a_curve_of_many_points_becomes_one_of_few() -> None:
    points = [(step, float(step % 2)) for step in range(100)]
    few = thinned(points, most=10)
    assert few.steps == pytest.approx([4.5 + 10.0 * group for group in range(10)])
    assert (few.mean, few.low, few.high) == ([0.5] * 10, [0.0] * 10, [1.0] * 10)
    assert thinned([(1, math.nan), (2, 3.0)]).mean == [3.0]
    assert thinned([]).steps == []


def test_falls_are_the_episodes_that_did_not_time_out() -> None:
    shown = {curve.title: curve for curve in curves(PRESETS["quick"])}
    assert shown["falls"].convert(0.75) == 25.0
    assert shown["episode length"].convert(50.0) == 50.0 * PRESETS["quick"].simulation.control_dt


def drawings() -> list[Drawing]:
    """Every figure, of a walk, of robots that fell at once or late, and of odd names."""
    cases = ([walk(), walk(Trial(((0.0, 0.0, 0.0),)))], [fallen_at_once()], [walk(steps=1, fell=True)], [oddly_named()])
    made = []
    with style():
        for recordings in cases:
            made += [gait_diagram(recordings), foot_paths(recordings), tracking(recordings), decomposition(recordings)]
            made += [draw(recordings[0]) for draw in (phase_portraits, targets, torques, power, sudden_changes)]
        made += [sudden_changes(jumping()), learning_curves({}, PRESETS["quick"], 0)]
        log = {
            "rollout/ep_rew_mean": [(step, 1.0) for step in range(0, 10**7, 10**4)],
            "train/learning_rate": [(1, 0.0)],
            "eval/trials_passed": [(1, 3.0)],
        }
        made.append(learning_curves(log, PRESETS["quick"], 10**6))
    return made


def test_everything_can_be_drawn_and_is_told_to_who_cannot_see_it() -> None:
    for drawing in drawings():
        tree = ElementTree.fromstring(drawing.svg)
        assert tree.get("role") == "img"
        assert tree.get("aria-label") == drawing.title
        assert tree[0].text == drawing.title
        assert tree.get("width") is None
        # Nothing is there twice in one page, fetched, or run.
        ids = [element.get("id") for element in tree.iter() if element.get("id")]
        assert len(ids) == len(set(ids))
        assert "<script" not in drawing.svg
        assert not [href for e in tree.iter() for key, href in e.items() if key.endswith("href") and href[0] != "#"]


def test_who_fell_is_called_so() -> None:
    assert label(walk(fell=True)) == "x +0.50 (fell)"
