"""The exported runner acts as the policy does in PyTorch, in our environment and in a MuJoCo that is none of ours."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.experiment import to_plain
from app.export.runner import Runner
from biped.env import BipedEnv
from biped.examination.criteria import WalkingCriteria
from biped.examination.examination import examination_config, examine
from biped.examination.trials import constant
from biped.robots.library import BIPED
from biped.simulators.mujoco_model import build_model, contact_sensor
from tests.app.export.exports import (
    RecordingSimulator,
    export_of,
    make_agent,
    make_env,
    older,
    physics,
    quiet,
    readings_of,
)

COMMANDS = ((0.5, 0.0, 0.0), (0.0, 0.0, 0.0), (-0.3, 0.1, 0.0), (0.0, -0.2, 0.0), (0.8, 0.0, 0.0))
"""For a hundred control steps each."""


@pytest.mark.parametrize("stopping_time", [0.0, 0.6])
def test_it_agrees_with_pytorch_over_500_steps(stopping_time: float, tmp_path: Path) -> None:
    pytest.importorskip("mjbatch")
    model, experiment = older()
    gait = dataclasses.replace(experiment.env.gait, stopping_time=stopping_time)
    task = dataclasses.replace(experiment.env, gait=gait)
    facts = {**(model.own_facts or {}), "config": to_plain(dataclasses.replace(experiment, env=task))}
    env = make_env(quiet(task))
    agent, runner = make_agent(env), Runner(export_of(dataclasses.replace(model, own_facts=facts), tmp_path))
    assert env.mirror is not None
    assert isinstance(env.simulator, RecordingSimulator)
    env.set_command(torch.tensor(COMMANDS[0]))
    observation, began = env.reset(), torch.ones(1, dtype=torch.bool)
    differences = []
    mirrored, standing, fell = 0, 0, False
    for step in range(500):
        command = env.commands.value[0].tolist()
        readings = readings_of(env.simulator.read(), env.contact_sensor.reading)
        expected = env.mirror.observation(observation, env.mirrored)[0].numpy()
        observed = np.abs(runner.observe(readings, command) - expected).max()
        target = runner.step(readings, command)
        expected = env.mirror.action(agent(observation, began), env.mirrored)[0].numpy()
        acted = np.abs(runner.action - expected).max()
        mirrored += int(env.mirrored)
        standing += int(env.gait.stands(env.command))
        # Shows from the next observation on.
        env.set_command(torch.tensor(COMMANDS[(step + 1) // 100 % len(COMMANDS)]))
        result = env.step(env.mirror.action(torch.from_numpy(runner.action)[None], env.mirrored))
        aimed = np.abs(target - env.simulator.joint_target[0].numpy()).max()
        differences.append((acted, observed, aimed))
        observation, began = result.observation, result.terminated | result.truncated
        fell |= bool(began)
    assert not fell
    assert mirrored > 150
    assert standing == 100 - round(stopping_time / 0.02)
    np.testing.assert_array_less(np.max(differences, axis=0), (1e-5, 1e-6, 1e-6))


class BareMujoco:
    """The robot in MuJoCo, stepped and measured without anything of ours but its model."""

    def __init__(self) -> None:
        self._mujoco = mujoco = pytest.importorskip("mujoco")
        self._config = physics()
        self._model = build_model(mujoco, BIPED, self._config, visual=False)
        self._joints = [self._model.joint(name) for name in BIPED.joint_names]
        self.data = mujoco.MjData(self._model)
        self.data.qpos[:7] = 0.0, 0.0, BIPED.nominal_base_height + 0.01, 1.0, 0.0, 0.0, 0.0
        for joint, position in zip(self._joints, BIPED.default_joint_position, strict=True):
            self.data.qpos[joint.qposadr] = position

    def readings(self) -> dict[str, Any]:
        """What sensors would report."""
        w, x, y, z = quaternion = self.data.qpos[3:7]
        rotation = np.empty(9)
        self._mujoco.mju_quat2Mat(rotation, quaternion)
        roll = np.arctan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
        pitch = np.arcsin(2.0 * (w * y - z * x))
        forces = [np.linalg.norm(self.data.sensor(contact_sensor(foot)).data) for foot in BIPED.foot_links]
        return {
            "roll_pitch_yaw": [roll, pitch, np.nan],
            "base_angular_velocity": self.data.qvel[3:6],
            "base_linear_velocity": rotation.reshape(3, 3).T @ self.data.qvel[:3],
            "base_position": [np.nan, np.nan, self.data.qpos[2]],
            "joint_position": [self.data.qpos[joint.qposadr[0]] for joint in self._joints],
            "joint_velocity": [self.data.qvel[joint.dofadr[0]] for joint in self._joints],
            "foot_contact": [float(force > 1.0) for force in forces],
        }

    def step(self, target: NDArray[np.float32]) -> None:
        """Hold the target for one control step."""
        for name, value in zip(BIPED.joint_names, target, strict=True):
            self.data.actuator(name).ctrl = value
        for _ in range(self._config.substeps):
            self._mujoco.mj_step(self._model, self.data)


def test_it_walks_in_a_mujoco_of_its_own(walk: Path) -> None:
    robot, runner = BareMujoco(), Runner(walk)
    track = []
    for step in range(500):
        robot.step(runner.step(robot.readings(), COMMANDS[step // 100]))
        track.append(robot.data.qpos[:3].copy())
    path = np.array(track)
    assert path[:, 2].min() > 0.37
    for index, command in enumerate(COMMANDS):
        # The second half of each command, when it has picked up speed.
        covered = path[index * 100 + 99, :2] - path[index * 100 + 49, :2]
        np.testing.assert_allclose(covered, command[:2], atol=0.12)


class Runners:
    """Controls many robots in an environment that shows and takes everything as it is."""

    def __init__(self, folder: Path, env: BipedEnv) -> None:
        self._env = env
        self._runners = [Runner(folder) for _ in range(env.num_envs)]

    def __call__(self, observation: Tensor, episode_start: Tensor) -> Tensor:
        state = self._env.simulator.read()
        for robot, runner in enumerate(self._runners):
            if episode_start[robot]:
                runner.reset(float(self._env.gait.phase[robot]))
            readings = readings_of(state, self._env.contact_sensor.reading, robot)
            runner.step(readings, self._env.commands.value[robot].tolist())
        return torch.from_numpy(np.stack([runner.action for runner in self._runners]))


def test_its_walk_measures_as_the_original(walk: Path) -> None:
    pytest.importorskip("mjbatch")
    config = examination_config(quiet(older()[1].env), 4.0)
    original = make_env(config, num_envs=4)
    trials = constant((0.0, 0.0, 0.0), (0.5, 0.0, 0.0))
    expected = examine(make_agent(original), original, trials, seconds=4.0, warmup_s=1.0)
    # In an environment without a mirror, nobody can mirror but the graph.
    exported = make_env(dataclasses.replace(config, mirror_left_stance=False), num_envs=4)
    measured = examine(Runners(walk, exported), exported, trials, seconds=4.0, warmup_s=1.0)
    for ours, theirs in zip(measured, expected, strict=True):
        assert WalkingCriteria().shortfalls(ours) == ()
        assert ours.trial == theirs.trial
        pairs = zip(dataclasses.astuple(ours)[1:], dataclasses.astuple(theirs)[1:], strict=True)
        assert all(measured == pytest.approx(wanted, abs=1e-4, nan_ok=True) for measured, wanted in pairs)
