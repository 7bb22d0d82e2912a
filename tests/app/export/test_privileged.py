"""What only the critic sees is not in an export: neither graph nor contract nor runner knows of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from app.experiment import to_plain
from app.export.exporting import main
from app.export.runner import Runner
from biped.robots.library import BIPED
from biped.task.observations import critic_only_columns, observation_fields
from configs.presets import HARDWARE
from ppo.agent import TrainedAgent
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.checkpoint.sb3_zip import write_zip
from ppo.layers import PYTORCH
from ppo.policy import PolicyConfig, RecurrentActorCritic
from tests.app.export.exports import export_of, make_env, quiet, readings_of

FIELDS = observation_fields(BIPED, HARDWARE.env.observations)
PRIVILEGED = critic_only_columns(FIELDS)
MEASURED = {"base_angular_velocity", "projected_gravity", "joint_position", "joint_velocity"}


def hardware_policy() -> RecurrentActorCritic:
    """With random weights, and small actions, under which the robot does not fall at once."""
    torch.manual_seed(0)
    network = PolicyConfig(lstm_hidden_size=8, n_lstm_layers=1, pi=(6,), vf=(6,))
    policy = RecurrentActorCritic(network, sum(field.width for field in FIELDS), BIPED.num_joints, PYTORCH)
    torch.nn.init.normal_(policy.action_net.weight, std=0.1)
    policy.hide_from_actor(PRIVILEGED)
    return policy


def hardware_model(policy: RecurrentActorCritic) -> Sb3Model:
    return Sb3Model(
        policy=policy.config,
        observation_dim=policy.lstm_actor.input_size,
        action_low=(-100.0,) * BIPED.num_joints,
        action_high=(100.0,) * BIPED.num_joints,
        parameters=policy.plain_state_dict(),
        optimizer=None,
        hyperparameters={},
        num_timesteps=1,
        n_updates=1,
        own_facts={"config": to_plain(HARDWARE)},
    )


def test_the_actor_sees_what_hardware_measures() -> None:
    seen = [(field.name, field.width) for field in FIELDS if not field.critic_only]
    assert seen == [
        ("angular_velocity_xy", 2),
        ("angular_velocity_z", 1),
        ("command", 3),
        *(
            (f"{group}_{what}", width)
            for group, width in (("hip", 4), ("knee", 2), ("ankle", 2))
            for what in ("position", "velocity")
        ),
        ("previous_action", 9),
        ("clock", 2),
        ("projected_gravity", 3),
        ("other_joints_position", 1),
        ("other_joints_velocity", 1),
    ]
    noisy = {field.name for field in FIELDS if field.noise}
    assert noisy == {name for name, _ in seen} - {"command", "previous_action", "clock"}


def test_the_runner_acts_like_the_policy_without_what_it_cannot_measure(tmp_path: Path) -> None:
    pytest.importorskip("mjbatch")
    policy = hardware_policy()
    folder = export_of(hardware_model(policy), tmp_path)
    layout = json.loads((folder / "contract.json").read_text(encoding="utf-8"))["observation"]
    assert {part["name"] for part in layout["parts"]} == {field.name for field in FIELDS if not field.critic_only}
    runner = Runner(folder)
    assert set(runner.measured) == MEASURED
    env = make_env(quiet(HARDWARE.env))
    agent = TrainedAgent(policy, 1)
    assert env.mirror is not None
    env.set_command(torch.tensor([0.5, -0.1, 0.0]))
    observation, began = env.reset(), torch.ones(1, dtype=torch.bool)
    mirrored = 0
    for _ in range(60):
        state = env.simulator.read()
        gravity = {"projected_gravity": state.projected_gravity[0].numpy()}
        readings = {**readings_of(state, env.contact_sensor.reading), **gravity}
        runner.step({name: readings[name] for name in MEASURED}, env.commands.value[0].tolist())
        expected = env.mirror.action(agent(observation, began), env.mirrored)[0].numpy()
        np.testing.assert_allclose(runner.action, expected, atol=1e-5)
        mirrored += int(env.mirrored)
        result = env.step(env.mirror.action(torch.from_numpy(runner.action)[None], env.mirrored))
        observation, began = result.observation, result.terminated | result.truncated
        assert not began
    assert 20 < mirrored < 40


def test_an_actor_that_sees_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = hardware_model(hardware_policy())
    model.parameters["lstm_actor.weight_ih_l0"][0, PRIVILEGED[0]] = 0.1
    write_zip(tmp_path / "model.zip", model)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "model.zip"), str(tmp_path / "export")])
    (line,) = capsys.readouterr().err.splitlines()
    assert "only the critic may see" in line
    assert not (tmp_path / "export").exists()
