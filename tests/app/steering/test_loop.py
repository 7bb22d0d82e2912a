import dataclasses
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from app.experiment import Experiment
from app.steering.loop import Pace, command_limits
from app.steering.requests import (
    Advance,
    Deflect,
    Friction,
    Nudge,
    Pause,
    Play,
    Push,
    Reset,
    Speed,
    Steer,
    Stop,
)
from biped.task.commands import CommandConfig
from tests.app.fake_engines import FakeSimulation, save_model
from tests.app.steering.loops import QUIET, Viewer, make_loop, turns

OTHER = dataclasses.replace(QUIET, env=dataclasses.replace(QUIET.env, episode_length_s=5.0, mirror_left_stance=False))


def other_physics(substeps: int) -> Experiment:
    physics = dataclasses.replace(QUIET.simulation, substeps=substeps)
    return dataclasses.replace(QUIET, simulator="mujoco", simulation=physics)


def test_each_turn_is_one_control_step_in_real_time() -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 5)
    assert len(FakeSimulation.made.targets) == len(viewer.frames) == len(viewer.poses) == 5
    for frame, pose in zip(viewer.frames, viewer.poses, strict=True):
        assert np.allclose(frame.pose.joint_position, pose.joint_position)


def test_the_first_command_is_half_of_the_fastest_walk() -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 1)
    expected = round(0.5 * QUIET.env.commands.linear_velocity_x[1], 2)
    assert viewer.frames[0].command == (expected, 0.0, 0.0)
    assert loop.walker.env.commands.value.tolist() == [pytest.approx([expected, 0.0, 0.0])]


def test_commands_are_followed_from_the_next_step_on_and_survive_a_new_episode() -> None:
    loop, viewer = make_loop(), Viewer()
    loop.submit(Steer((0.3, -0.1, 0.2)))
    loop.submit(Reset())
    turns(loop, viewer, 2)
    assert [frame.command for frame in viewer.frames] == [(0.3, -0.1, 0.2)] * 2
    assert loop.walker.env.commands.value.tolist() == [pytest.approx([0.3, -0.1, 0.2])]
    assert viewer.statuses[-1].keyed == 0


def test_keys_change_the_command_within_limits_and_are_told() -> None:
    loop, viewer = make_loop(), Viewer()
    loop.submit(Stop())
    for _ in range(3):
        loop.submit(Nudge((0.1, 0.0, -0.1)))
    turns(loop, viewer, 1)
    assert viewer.statuses[-1].command == (0.3, 0.0, -0.3)
    assert viewer.statuses[-1].keyed == 4
    for _ in range(100):
        loop.submit(Nudge((0.1, 0.0, -0.1)))
    turns(loop, viewer, 1)
    (_, fastest), _, (least_turn, _) = command_limits(QUIET.env.commands)
    assert viewer.statuses[-1].command == (fastest, 0.0, least_turn)


def test_sticks_ask_for_their_part_of_the_limits_and_are_told_like_keys() -> None:
    loop, viewer = make_loop(), Viewer()
    (slowest, fastest), (_, leftmost), (least_turn, _) = command_limits(QUIET.env.commands)
    for deflection, expected in (
        ((1.0, 1.0, -1.0), (fastest, leftmost, least_turn)),
        ((-0.5, 0.0, 0.0), (0.5 * slowest, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ):
        loop.submit(Deflect(deflection))
        turns(loop, viewer, 1)
        assert viewer.statuses[-1].command == pytest.approx(expected)
        assert loop.walker.env.commands.value.tolist() == [pytest.approx(expected)]
    assert viewer.statuses[-1].keyed == 3


def test_limits_are_those_of_the_training_and_never_nothing() -> None:
    config = CommandConfig(linear_velocity_x=(-0.1, 2.0), linear_velocity_y=(0.0, 0.0), yaw_rate=(-1.5, 1.5))
    assert command_limits(config) == ((-0.5, 2.0), (-0.3, 0.3), (-1.5, 1.5))


def test_pause_one_step_and_going_on() -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 2)
    loop.submit(Pause())
    turns(loop, viewer, 3)
    assert len(viewer.frames) == 2
    assert viewer.statuses[-1].paused
    loop.submit(Advance())
    turns(loop, viewer, 3)
    assert len(viewer.frames) == 3
    loop.submit(Pause())
    loop.submit(Advance())
    turns(loop, viewer, 2)
    assert len(viewer.frames) == 5


def test_slow_motion_shows_poses_between_two_steps() -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 2)
    loop.submit(Speed(0.25))
    turns(loop, viewer, 8)
    assert len(viewer.frames) == 4
    before, after = viewer.frames[1].pose, viewer.frames[2].pose
    for pose, fraction in zip(viewer.poses[2:6], (0.25, 0.5, 0.75, 1.0), strict=True):
        expected = before.joint_position + fraction * (after.joint_position - before.joint_position)
        assert np.allclose(pose.joint_position, expected)


def test_a_new_episode_is_shown_even_while_paused() -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 3)
    loop.submit(Pause(True))
    loop.submit(Reset())
    turns(loop, viewer, 3)
    assert len(viewer.frames) == 4
    assert loop.walker.env.episode_steps.tolist() == [1]


def test_pushes_come_from_the_page_only_and_have_the_speed_asked_for() -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 500)
    assert FakeSimulation.made.velocity_settings == []
    before = viewer.frames[-1]
    loop.submit(Push(0.7))
    turns(loop, viewer, 1)
    ((linear, _),) = FakeSimulation.made.velocity_settings
    assert before.velocity == pytest.approx((0.0, 0.0, 0.0), abs=1e-3)
    assert float(linear[0].norm()) == pytest.approx(0.7, abs=1e-3)
    assert float(linear[0, 2]) == 0.0


def test_friction_stays_when_another_robot_comes(tmp_path: Path) -> None:
    loop, viewer = make_loop(), Viewer()
    loop.submit(Friction(0.2))
    turns(loop, viewer, 1)
    assert FakeSimulation.made.friction.tolist() == [pytest.approx(0.2)]
    loop.submit(Play(save_model(tmp_path / "model.zip", experiment=other_physics(7))))
    turns(loop, viewer, 1)
    assert viewer.messages == []
    assert FakeSimulation.made.config.substeps == 7
    assert FakeSimulation.made.friction.tolist() == [pytest.approx(0.2)]


def test_a_checkpoint_of_the_same_task_goes_on_with_the_same_robot(tmp_path: Path) -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 5)
    robot = FakeSimulation.made
    loop.submit(Play(save_model(tmp_path / "model.zip", experiment=QUIET)))
    turns(loop, viewer, 5)
    assert viewer.messages == []
    assert FakeSimulation.made is robot
    assert loop.walker.env.episode_steps.tolist() == [10]
    assert viewer.met[-1].session.options.agent == "trained"
    still, moving = viewer.frames[4].joint_target, viewer.frames[9].joint_target
    assert np.abs(moving - still).max() > 0.01


def test_a_checkpoint_of_another_task_brings_another_robot_and_ends_the_first(tmp_path: Path) -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 5)
    robot = FakeSimulation.made
    observed = dataclasses.replace(OTHER.env.observations, torso=not OTHER.env.observations.torso)
    task = dataclasses.replace(OTHER, env=dataclasses.replace(OTHER.env, observations=observed))
    width = loop.walker.env.observation_dim + (2 if observed.torso else -2)
    loop.submit(Play(save_model(tmp_path / "model.zip", experiment=task, observation_dim=width)))
    turns(loop, viewer, 2)
    assert viewer.messages == []
    assert robot.closed
    assert not FakeSimulation.made.closed
    assert loop.walker.env.observation_dim == width
    assert loop.walker.env.episode_steps.tolist() == [2]


def test_what_cannot_be_played_is_told_and_the_robot_walks_on(tmp_path: Path) -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 2)
    broken = tmp_path / "broken.zip"
    broken.write_text("no zip")
    for path in (broken, tmp_path / "gone.zip", save_model(tmp_path / "other.zip", experiment=QUIET, action_dim=3)):
        loop.submit(Play(path))
        turns(loop, viewer, 1)
        assert str(path) in viewer.messages[-1]
    assert len(viewer.frames) == 5
    assert not FakeSimulation.made.closed


def test_falls_are_counted_and_begin_a_new_episode() -> None:
    loop, viewer = make_loop(), Viewer()
    turns(loop, viewer, 3)
    fallen = FakeSimulation.made.state._replace()
    FakeSimulation.made.overrides = {"base_position": fallen.base_position * 0.1}
    turns(loop, viewer, 1)
    FakeSimulation.made.overrides = {}
    turns(loop, viewer, 3)
    assert [frame.fell for frame in viewer.frames] == [False] * 3 + [True] + [False] * 3
    assert viewer.statuses[-1].falls == 1
    assert loop.walker.env.episode_steps.tolist() == [3]


def test_it_keeps_real_time_and_stands_still_while_nobody_watches() -> None:
    loop, viewer = make_loop(), Viewer()
    ended = threading.Event()
    began = time.perf_counter()
    loop.run(viewer, until=lambda: len(viewer.frames) >= 25)
    # 25 control steps of 20 ms; the first begins at once.
    assert time.perf_counter() - began >= 0.45
    viewer.there = False
    thread = threading.Thread(target=lambda: loop.run(viewer, until=ended.is_set))
    thread.start()
    time.sleep(0.3)
    assert len(viewer.frames) == 25
    viewer.there = True
    while len(viewer.frames) < 30:
        time.sleep(0.01)
    ended.set()
    thread.join()
    loop.close()
    assert FakeSimulation.made.closed


def test_the_pace_is_the_time_that_was_due_over_the_time_that_passed() -> None:
    pace = Pace()
    assert pace.value == 1.0
    time.sleep(1.0)
    pace.turned(0.5)
    assert pace.value == pytest.approx(0.5, abs=0.1)
