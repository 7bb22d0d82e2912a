from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from biped.env import BipedEnv
from biped.examination.overlay import INK, PANEL, ROW, TOLD, TOP, Motion, draw
from biped.examination.pictures import Pictures, base_velocity, side_by_side
from tests.biped.environments import PLAIN
from tests.biped.simulators.fake_simulator import FakeSimulator


class Filmed(FakeSimulator):
    """Its pictures are as grey as the number of the robot says."""

    def render(self, robot: int = 0) -> NDArray[np.uint8]:
        return np.full((480, 640, 3), 60 + 10 * robot, dtype=np.uint8)


def environment(num_envs: int, seconds: float = 20.0) -> BipedEnv:
    env = BipedEnv(Filmed(num_envs), replace(PLAIN, episode_length_s=seconds), seed=1)
    env.reset()
    return env


def action(env: BipedEnv, size: float) -> Tensor:
    """One that moves the robots, each of them faster than the one before."""
    return torch.full((env.num_envs, env.action_dim), size) * torch.arange(1.0, env.num_envs + 1.0)[:, None]


def test_tiles_are_in_rows_as_long_as_there_are() -> None:
    frames = [np.full((4, 6, 3), number, dtype=np.uint8) for number in range(1, 6)]
    five = side_by_side(frames)
    assert five.shape == (8, 18, 3)
    assert five[::4, ::6, 0].tolist() == [[1, 2, 3], [4, 5, 0]]
    assert np.array_equal(side_by_side(frames[:1]), frames[0])
    assert side_by_side(frames[:2])[0, ::6, 0].tolist() == [1, 2]


def test_without_an_overlay_the_pictures_are_those_of_the_simulator() -> None:
    env = environment(3)
    env.step(action(env, 0.1))
    picture = Pictures(env, 2, overlay=False).take()
    assert picture.shape == (480, 1280, 3)
    assert (picture[:, :640] == 60).all()
    assert (picture[:, 640:] == 70).all()


def test_each_robot_has_its_own_figures_in_its_own_picture() -> None:
    env = environment(3)
    env.set_command(torch.tensor([[0.1, 0.0, 0.0], [0.7, 0.2, -0.3], [0.0, 0.0, 0.0]]))
    film = Pictures(env, 2)
    env.step(action(env, 0.1))
    picture = film.take()
    for robot in range(2):
        motion = Motion(
            tuple(env.command[robot].tolist()),
            tuple(base_velocity(env)[robot].tolist()),
            tuple(env.gait.contact[robot].tolist()),
        )
        frame = draw(env.simulator.render(robot), motion, f"robot {robot}")
        assert np.array_equal(picture[:, 640 * robot : 640 * (robot + 1)], frame)


def test_feet_are_those_of_the_environment() -> None:
    env = environment(1)
    film = Pictures(env)
    feet = TOP + 4 + ROW // 2 + 5 * ROW
    seen = set()
    for size in (0.3, 0.3, -0.3, -0.3):
        env.step(action(env, size))
        picture = film.take()
        for foot, column in ((1, TOLD + 49), (0, TOLD + 105)):
            touches = bool(env.gait.contact[0, foot])
            seen.add(touches)
            assert tuple(picture[feet, column]) == (INK if touches else PANEL)
    assert seen == {False, True}


def velocities(env: BipedEnv, steps: int) -> tuple[list[float], list[float]]:
    """Forward velocity of the first robot after each control step, as shown and as it was, in m/s."""
    film, shown, were = Pictures(env), [], []
    for step in range(steps):
        env.step(action(env, 0.05 * (step % 7)))
        were.append(float(base_velocity(env)[0, 0]))
        shown.append(film.motions()[0].velocity[0])
    return shown, were


def test_the_velocity_is_the_mean_of_half_a_second() -> None:
    shown, were = velocities(environment(1), 60)
    assert shown[0] == pytest.approx(were[0])
    assert shown[9] == pytest.approx(np.mean(were[:10]), abs=1e-6)
    assert shown[59] == pytest.approx(np.mean(were[35:60]), abs=1e-6)
    assert np.std(were) > 0.01


def test_a_new_episode_does_not_show_the_velocity_of_the_one_before() -> None:
    shown, were = velocities(environment(1, seconds=0.4), 24)
    # The twentieth step ends the first episode; the picture after it still belongs to it.
    assert shown[19] == pytest.approx(were[19])
    assert shown[22] == pytest.approx(np.mean(were[20:23]), abs=1e-6)
