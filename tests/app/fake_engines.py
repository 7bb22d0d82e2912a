"""Engines that take no time, checkpoints to play in them, and `play.py` with both."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.build import Engine, MakeSimulator, Parts
from app.experiment import Experiment, to_plain
from app.playing import main as play
from biped.robots.robot import Robot
from biped.simulators.config import SimulationConfig
from biped.simulators.state import State
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.checkpoint.sb3_zip import write_zip
from ppo.policy import PolicyConfig, RecurrentActorCritic
from tests.biped.simulators.fake_simulator import FakeSimulator

SMALL = PolicyConfig(lstm_hidden_size=8, n_lstm_layers=2, pi=(8,), vf=(8,))
CLOCKED, PLAIN = 40, 38
"""Observations of the presets with and without a clock."""


class FakeSimulation(FakeSimulator):
    """Takes the place of `biped.simulators.genesis.GenesisSimulator`."""

    made: "FakeSimulation"
    """The one that was made last."""
    trouble: BaseException | None = None
    """Raised in the fifth control step."""

    def __init__(
        self,
        robot: Robot,
        num_envs: int,
        config: SimulationConfig,
        device: torch.device,
        *,
        viewer: bool = False,
        camera: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(num_envs, device)
        self.config, self.viewer, self.camera, self.verbose = config, viewer, camera, verbose
        self.asked_device = device
        FakeSimulation.made = self

    def step(self, joint_target: Tensor) -> None:
        super().step(joint_target)
        if self.trouble is not None and len(self.targets) == 5:
            raise self.trouble

    def render(self, robot: int = 0) -> NDArray[np.uint8]:
        assert self.camera
        return np.full((48, 64, 3), (4 * len(self.targets) + 60 * robot) % 256, dtype=np.uint8)


class FakeMujocoSimulation(FakeSimulation):
    """Takes the place of `biped.simulators.mujoco.MujocoSimulator`; its feet are always in the air."""

    def read(self) -> State:
        state = super().read()
        return state._replace(foot_contact_force=torch.zeros_like(state.foot_contact_force))


def parts(
    genesis: MakeSimulator = FakeSimulation,
    mujoco: MakeSimulator = FakeMujocoSimulation,
    load_mujoco: Callable[..., object] = lambda **_: None,
) -> Parts:
    """Engines that take no time."""
    engines = {
        "genesis": Engine(genesis, lambda **_: None, on_cpu_only=False, compiles=True),
        "mujoco": Engine(mujoco, load_mujoco, on_cpu_only=True, compiles=False),
    }
    return Parts(engines=engines)


def main(arguments: Sequence[str]) -> int:
    """The program with these engines."""
    return play(arguments, parts())


def save_model(
    path: Path,
    *,
    experiment: Experiment | None = None,
    observation_dim: int = CLOCKED,
    action_dim: int = 9,
    num_timesteps: int = 1234,
    seed: int = 0,
    own_facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a checkpoint, with the configuration of `experiment` if there is one."""
    torch.manual_seed(seed)
    policy = RecurrentActorCritic(SMALL, observation_dim, action_dim)
    torch.nn.init.normal_(policy.action_net.weight)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = Sb3Model(
        policy=SMALL,
        observation_dim=observation_dim,
        action_low=(-100.0,) * action_dim,
        action_high=(100.0,) * action_dim,
        parameters=dict(policy.state_dict()),
        optimizer=None,
        hyperparameters={},
        num_timesteps=num_timesteps,
        n_updates=1,
        own_facts=own_facts if experiment is None else {"config": to_plain(experiment)},
    )
    write_zip(path, model)
    return path


def fails(capsys: pytest.CaptureFixture[str], *arguments: str, made_of: Parts | None = None) -> str:
    """The one line with which the program refuses the arguments."""
    with pytest.raises(SystemExit) as error:
        play(arguments, made_of or parts())
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def targets(*arguments: str) -> Tensor:
    """Joint targets `[T, N, 9]` that a run of the program gave."""
    assert main(arguments) == 0
    return torch.stack(FakeSimulation.made.targets)
