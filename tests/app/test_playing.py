import dataclasses
import json
import os
import subprocess
import sys
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
from app.load import SHIPPED_POLICY
from app.play_flags import PlayOptions
from app.playing import main as play
from biped.robots.robot import Robot
from biped.simulators.config import SimulationConfig
from biped.simulators.state import State
from configs.presets import CPU, PRESETS, SMOKE
from ppo.agent import TrainedAgent
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.checkpoint.sb3_zip import write_zip
from ppo.policy import PolicyConfig, RecurrentActorCritic
from ppo.recurrence import LstmState
from tests.biped.simulators.fake_simulator import DEFAULT_POSITION, FakeSimulator
from tests.end_to_end.command import ROOT

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
        super().__init__(num_envs)
        self.config, self.viewer, self.camera, self.verbose = config, viewer, camera, verbose
        self.asked_device = device
        FakeSimulation.made = self

    def step(self, joint_target: Tensor) -> None:
        super().step(joint_target)
        if self.trouble is not None and len(self.targets) == 5:
            raise self.trouble

    def render(self) -> NDArray[np.uint8]:
        assert self.camera
        return np.full((48, 64, 3), 4 * len(self.targets), dtype=np.uint8)


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


@pytest.fixture(autouse=True)
def simulation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeSimulation]:
    """An empty working folder, no display, and a simulation that takes no time."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    return FakeSimulation


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


def test_memory_is_lost_where_an_episode_starts() -> None:
    torch.manual_seed(0)
    policy = RecurrentActorCritic(SMALL, 3, 2)
    torch.nn.init.normal_(policy.action_net.weight)
    heard: list[tuple[LstmState, Tensor]] = []
    act = policy.act

    def listen(
        observation: Tensor, state: LstmState, episode_start: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, LstmState, Tensor]:
        heard.append((state, episode_start.clone()))
        return act(observation, state, episode_start, noise)

    policy.act = listen  # type: ignore[method-assign]
    agent = TrainedAgent(policy, 2, None)
    observation = torch.randn(6, 2, 3)
    episode_start = torch.zeros(6, 2, dtype=torch.bool)
    episode_start[0] = True
    episode_start[4, 1] = True
    actions = torch.stack([agent(observation[t], episode_start[t]) for t in range(6)])

    assert torch.equal(torch.stack([start for _, start in heard]), episode_start)
    assert all(state[0].abs().sum(dim=(0, 2)).gt(0.0).all() for state, _ in heard[1:])
    fresh = TrainedAgent(policy, 2, None)
    replayed = torch.stack([fresh(observation[t], episode_start[t - 4]) for t in (4, 5)])
    torch.testing.assert_close(actions[4:, 1], replayed[:, 1])
    assert not torch.isclose(actions[4:, 0], replayed[:, 0], atol=1e-3).any()


def test_noise_spreads_sampled_actions_about_the_mean() -> None:
    torch.manual_seed(0)
    policy = RecurrentActorCritic(dataclasses.replace(SMALL, log_std_init=-1.0), 3, 2)
    observation, start = torch.zeros(20_000, 3), torch.ones(20_000, dtype=torch.bool)
    mean = TrainedAgent(policy, 20_000, None)(observation, start)
    sample = TrainedAgent(policy, 20_000, torch.Generator().manual_seed(0))(observation, start)
    assert (sample - mean).std(dim=0).tolist() == pytest.approx([np.exp(-1.0)] * 2, rel=0.02)


def test_a_checkpoint_alone_brings_its_task_and_physics(capsys: pytest.CaptureFixture[str]) -> None:
    physics = dataclasses.replace(SMOKE.simulation, substeps=7)
    save_model(Path("model.zip"), experiment=dataclasses.replace(SMOKE, simulation=physics))
    assert targets("model.zip", "--seconds", "0.2").shape == (10, 1, 9)
    made = FakeSimulation.made
    assert (made.config.substeps, made.viewer, made.camera) == (7, False, False)
    assert made.closed
    output = capsys.readouterr().out.splitlines()
    assert output[0] == "model.zip, trained for 1,234 control steps"
    assert output[-2].startswith("episode   1    0.20 s  return")
    assert output[-2].endswith("ended by: time-out")
    assert output[-1].startswith("1 episode: 0 fell, mean length 0.20 s")


def test_episodes_of_several_robots(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    assert targets("model.zip", "--num_envs", "3", "--episodes", "2", "--seconds", "0.2").shape == (20, 3, 9)
    output = capsys.readouterr().out.splitlines()
    assert [line.split()[1:4] for line in output[2:8]] == [[str(i + 1), "robot", str(i % 3)] for i in range(6)]
    assert output[8].startswith("6 episodes: 0 fell")


def test_the_newest_checkpoint_of_the_newest_run_is_played(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("runs/walk/model_final.zip"), experiment=SMOKE, num_timesteps=900)
    save_model(Path("runs/walk_2/biped_model_100_steps.zip"), experiment=SMOKE, num_timesteps=100)
    save_model(Path("runs/walk_2/biped_model_200_steps.zip"), experiment=SMOKE, num_timesteps=200)
    assert main(["-e", "walk", "--log-dir", "runs", "--seconds", "0.1"]) == 0
    assert capsys.readouterr().out.startswith("runs/walk_2/biped_model_200_steps.zip, trained for 200 control steps")


def test_without_checkpoint_flags_the_place_where_training_saves_is_searched() -> None:
    assert (PlayOptions().exp_name, PlayOptions().log_dir) == (Experiment().exp_name, Experiment().log_dir)


def test_who_has_not_trained_sees_the_policy_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert targets("--seconds", "0.2").shape == (10, 1, 9)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "no run of yours in logs yet; this is the policy that comes with the project"
    assert second.startswith(str(SHIPPED_POLICY))
    save_model(Path("logs/biped-walking-sb3-recurrentppo/model_final.zip"), experiment=SMOKE)
    targets("--seconds", "0.2")
    assert "comes with the project" not in capsys.readouterr().out


def test_who_has_trained_under_other_names_is_told_how_to_see_them(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("logs/-x/model_final.zip"), experiment=SMOKE)
    save_model(Path("logs/walk/model_final.zip"), experiment=SMOKE)
    os.utime("logs/-x/model_final.zip", (0, 0))
    targets("--seconds", "0.2")
    first, second, third, *_ = capsys.readouterr().out.splitlines()
    assert first == "no run has the default name; this is the policy that comes with the project"
    assert second.startswith("to see one of yours: ")
    assert second.endswith("play.py --exp-name NAME, newest first: walk, -x")
    assert third.startswith(str(SHIPPED_POLICY))
    assert "there are, newest first: walk, -x" in fails(capsys, "--exp-name", "other")


def test_every_preset_can_be_named() -> None:
    for name in PRESETS:
        assert main(["--agent", "zero", "--preset", name, "--seconds", "0.1"]) == 0


def test_a_plain_zip_is_played_in_the_task_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("plain.zip"), observation_dim=PLAIN)
    save_model(Path("clocked.zip"), observation_dim=CLOCKED)
    assert main(["plain.zip", "--seconds", "0.1"]) == 0
    assert main(["clocked.zip", "--seconds", "0.1", "--preset", "cpu"]) == 0
    capsys.readouterr()
    line = fails(capsys, "clocked.zip", "--seconds", "0.1")
    assert line.startswith("error: clocked.zip is of another robot or task: it takes 40 observations and gives 9 ")
    assert "38 and 9" in line
    assert "--preset" in line
    save_model(Path("other.zip"), action_dim=3)
    assert "gives 3 actions" in fails(capsys, "other.zip", "--preset", "cpu")


def test_statistics_beside_a_plain_zip_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("plain.zip"), observation_dim=PLAIN)
    Path("vecnormalize.pkl").touch()
    assert main(["plain.zip", "--seconds", "0.1"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: plain.zip: beside it lies vecnormalize.pkl")


def test_a_preset_replaces_the_task_of_the_checkpoint() -> None:
    physics = dataclasses.replace(CPU.simulation, substeps=7)
    save_model(Path("model.zip"), experiment=dataclasses.replace(CPU, simulation=physics))
    assert main(["model.zip", "--preset", "cpu", "--seconds", "0.1"]) == 0
    assert FakeSimulation.made.config.substeps == CPU.simulation.substeps


def test_a_configuration_that_does_not_fit_names_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("old.zip"), own_facts={"config": {"exp_name": "x", "colour": "red"}})
    line = fails(capsys, "old.zip")
    assert "old.zip" in line
    assert "--preset" in line


def test_zero_actions_hold_the_default_pose() -> None:
    held = targets("--agent", "zero", "--seconds", "0.2")
    # Backlash, drawn from the task of the default preset, is all that moves the targets.
    assert (held - DEFAULT_POSITION).abs().amax().item() <= 0.07


def test_zero_actions_in_the_task_of_the_newest_run_or_of_a_checkpoint() -> None:
    physics = dataclasses.replace(SMOKE.simulation, substeps=7)
    save_model(
        Path("logs/biped-walking-sb3-recurrentppo/model_final.zip"),
        experiment=dataclasses.replace(SMOKE, simulation=physics),
    )
    physics = dataclasses.replace(SMOKE.simulation, substeps=3)
    save_model(Path("model.zip"), experiment=dataclasses.replace(SMOKE, simulation=physics))
    assert main(["--agent", "zero", "--seconds", "0.1"]) == 0
    assert FakeSimulation.made.config.substeps == 7
    assert main(["--agent", "zero", "--seconds", "0.1", "--checkpoint", "model.zip"]) == 0
    assert FakeSimulation.made.config.substeps == 3


def test_random_actions_depend_on_the_seed_alone() -> None:
    arguments = ("--agent", "random", "--preset", "cpu", "--seconds", "0.2")
    first, again, other = targets(*arguments), targets(*arguments), targets(*arguments, "--seed", "2")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first[1:] - DEFAULT_POSITION).abs().amax().item() > 0.3


def test_sampled_actions_differ_from_mean_actions() -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    mean = targets("model.zip", "--seconds", "0.2")
    assert torch.equal(targets("model.zip", "--seconds", "0.2"), mean)
    assert not torch.equal(targets("model.zip", "--seconds", "0.2", "--no-deterministic"), mean)


def test_a_fixed_command_is_followed(capsys: pytest.CaptureFixture[str]) -> None:
    # With zero actions the stand-in hardly moves, so the error is the length of the command.
    assert main(["--agent", "zero", "--seconds", "10", "--command", "-0.3", "0.4", "0"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("episode"))
    assert float(line.split("velocity error ")[1].split()[0]) == pytest.approx(0.5, abs=0.03)


def test_a_video_shows_every_control_step() -> None:
    av = pytest.importorskip("av")
    assert main(["--agent", "zero", "--seconds", "0.2", "--video", "walk.mp4"]) == 0
    with av.open("walk.mp4") as container:
        assert container.streams.video[0].average_rate == 50
        levels = [float(frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video=0)]
    assert levels == pytest.approx([4.0 * count for count in range(1, 11)], abs=4.0)


def test_every_name_that_a_shell_can_pass_names_a_file(tmp_path: Path) -> None:
    """A checkpoint, a film and a table, whose names a library might take for something else or that are not text."""
    pytest.importorskip("av")
    for folder, name in (("runs [a]*", "walk-12:30"), ("-x", "file:%d\n"), (os.fsdecode(b"latin-\xe4"), "ä")):
        model, film, table = (Path(folder) / f"{name}{suffix}" for suffix in (".zip", ".mp4", ".json"))
        save_model(model, experiment=SMOKE)
        assert main(["--checkpoint=" + str(model), "--seconds", "0.1", "--video=" + str(film)]) == 0
        arguments = ["--evaluate", "-B", "1", "--seconds", "2.1", "--command", "0", "0", "0"]
        assert main(["--checkpoint=" + str(model), *arguments, "--json=" + str(table)]) == 0
        assert {path.name for path in Path(folder).iterdir()} == {model.name, film.name, table.name}
        assert json.loads(table.read_text())["checkpoint"] == str(model)
        if folder.isprintable():
            save_model(Path(folder) / "model_final.zip", experiment=SMOKE)
            assert main(["--log-dir=.", f"--exp-name={folder}", "--agent", "zero", "--seconds", "0.1"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["runs [a]*", "-x", os.fsdecode(b"latin-\xe4")])


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_name_that_the_terminal_cannot_show_is_printed_somehow(encoding: str) -> None:
    names = [os.fsdecode(b"\xe4-latin.zip"), "ä-utf.zip"]
    for name in names:
        print_name = "import sys\nfrom ppo.standard_output import printing\nwith printing(): print(sys.argv[1])"
        result = subprocess.run(
            [sys.executable, "-c", print_name, name],
            cwd=ROOT,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        )
        assert result.stdout.endswith(b".zip\n")
        if encoding == "utf-8":
            assert result.stdout == os.fsencode(name) + b"\n"


def test_an_evaluation_prints_a_table_and_writes_json(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    arguments = ("model.zip", "--evaluate", "--num-envs", "2", "--seconds", "2.2", "--json", "result.json")
    assert targets(*arguments).shape == (110, 16, 9)
    output = capsys.readouterr().out
    assert "2 robots per command for 2.2 s" in output
    assert "left-right alternation" in output
    assert "\nstand: drift 0." in output
    assert output.splitlines()[-1] == "FAIL: 0 of 8 commands meet the criteria"
    document = json.loads(Path("result.json").read_text())
    assert (document["checkpoint"], document["num_timesteps"]) == ("model.zip", 1234)
    assert [one["robots"] for one in document["commands"]] == [2] * 8
    assert document["simulator"] == "genesis"
    assert {one["simulator"] for one in document["commands"]} == {"genesis"}
    assert "side by side" not in output
    assert targets(*arguments).shape == (110, 16, 9)
    assert json.loads(Path("result.json").read_text()) == document


def test_disturbed_robots_are_pushed_and_differ_and_are_asked_for_less(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pushes: list[Tensor] = []
    monkeypatch.setattr(FakeSimulation, "set_velocity", lambda self, linear, angular: pushes.append(linear))
    save_model(Path("model.zip"), experiment=SMOKE)
    arguments = ["model.zip", "--evaluate", "--num-envs", "2", "--seconds", "3.2"]
    assert main(arguments) == 0
    assert pushes == []
    plain = FakeSimulation.made
    assert "alternation 0" in capsys.readouterr().out
    assert main([*arguments, "--disturbed", "--json", "disturbed.json"]) == 0
    assert len(pushes) == 1
    robots = FakeSimulation.made
    assert float(plain.added_mass.abs().max()) == 0.0
    assert float(robots.added_mass.min()) < 0.0 < float(robots.added_mass.max())
    assert float(robots.motor_strength.min()) < 0.8 < float(plain.motor_strength.min())
    output = capsys.readouterr().out
    assert "2 disturbed robots per command" in output
    assert "alternation 0" not in output
    document = json.loads(Path("disturbed.json").read_text())
    assert document["disturbed"] is True
    assert document["criteria"]["survival"] == 0.97


def test_one_command_can_be_evaluated() -> None:
    arguments = ("--agent", "zero", "--evaluate", "--seconds", "2.1", "--command", "0.4", "0", "0")
    assert targets(*arguments, "--json", "a.json").shape == (105, 64, 9)
    (one,) = json.loads(Path("a.json").read_text())["commands"]
    assert one["command"] == [0.4, 0.0, 0.0]


def test_mujoco_takes_the_place_of_genesis(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    expected = targets("model.zip", "--seconds", "0.2")
    assert type(FakeSimulation.made) is FakeSimulation
    capsys.readouterr()
    played = targets("model.zip", "--seconds", "0.2", "--simulator", "mujoco", "--video", "walk.mp4", "--verbose")
    made = FakeSimulation.made
    assert type(made) is FakeMujocoSimulation
    assert (made.asked_device.type, made.viewer, made.camera, made.verbose) == ("cpu", False, True, True)
    assert played.shape == expected.shape
    assert torch.equal(played[0], expected[0])
    assert Path("walk.mp4").stat().st_size > 0
    assert "Compiling" not in capsys.readouterr().out


@pytest.mark.parametrize(("engine", "kind"), [("genesis", "cuda"), ("mujoco", "cpu")])
def test_mujoco_simulates_on_the_cpu_whatever_genesis_does(engine: str, kind: str) -> None:
    parts().simulator(engine, 1, SimulationConfig(), torch.device("cuda"))
    assert FakeSimulation.made.asked_device.type == kind


def test_an_evaluation_in_both_simulators_shows_the_same_robots_side_by_side(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FakeSimulation] = []
    monkeypatch.setattr(FakeSimulation, "close", lambda self: made.append(self))
    save_model(Path("model.zip"), experiment=SMOKE)
    arguments = ("model.zip", "--evaluate", "--num-envs", "2", "--seconds", "2.2", "--simulator", "both")
    assert main([*arguments, "--json", "both.json"]) == 0
    genesis, mujoco = made
    assert (type(genesis), type(mujoco)) == (FakeSimulation, FakeMujocoSimulation)
    assert torch.equal(genesis.friction, mujoco.friction)
    assert torch.equal(genesis.motor_strength, mujoco.motor_strength)
    output = capsys.readouterr().out
    assert "2 robots per command for 2.2 s in genesis" in output
    assert "2 robots per command for 2.2 s in mujoco" in output
    compared = output.split("side by side")[1].splitlines()
    assert [line.split()[1] for line in compared if line.startswith("stand")] == ["genesis"]
    assert sum(line.strip().startswith("mujoco ") for line in compared) == 8

    document = json.loads(Path("both.json").read_text())
    assert document["simulator"] == "both"
    assert [one["simulator"] for one in document["commands"]] == ["genesis"] * 8 + ["mujoco"] * 8
    walked, hung = document["commands"][1], document["commands"][9]
    assert walked["command"] == hung["command"]
    assert hung["duty_right"] == 0.0
    assert walked["duty_right"] > 0.0
    assert main([*arguments[:-1], "mujoco", "--json", "one.json"]) == 0
    assert json.loads(Path("one.json").read_text())["commands"] == document["commands"][8:]


def test_missing_mujoco_is_noticed_before_genesis_starts(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(**options: object) -> None:
        raise ValueError("MuJoCo is not installed")

    missing = parts(load_mujoco=refuse)
    line = fails(capsys, "--agent", "zero", "--evaluate", "--simulator", "both", made_of=missing)
    assert line == "error: MuJoCo is not installed"
    assert capsys.readouterr().out == ""
    assert play(["--agent", "zero", "--seconds", "0.1"], missing) == 0


def test_ctrl_c_ends_quietly_and_keeps_the_video(
    simulation: type[FakeSimulation], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    av = pytest.importorskip("av")
    monkeypatch.setattr(simulation, "trouble", KeyboardInterrupt())
    assert main(["--agent", "zero", "--video", "walk.mp4"]) == 130
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == "no episode was finished"
    assert captured.err == "interrupted\n"
    assert FakeSimulation.made.closed
    with av.open("walk.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_with_a_display_a_window_opens_and_closing_it_ends_the_program(
    simulation: type[FakeSimulation], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(simulation, "trouble", Exception("Viewer closed."))
    assert main(["--agent", "zero"]) == 0
    assert FakeSimulation.made.viewer
    assert FakeSimulation.made.closed
    assert capsys.readouterr().out.splitlines()[-1] == "no episode was finished"


def test_other_errors_are_not_hidden(simulation: type[FakeSimulation], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(simulation, "trouble", RuntimeError("solver"))
    with pytest.raises(RuntimeError, match="solver"):
        main(["--agent", "zero"])
    assert FakeSimulation.made.closed


@pytest.mark.parametrize("arguments", [["--video", "a.mp4"], ["--no-viewer"], ["--simulator", "mujoco"]])
def test_no_window_opens_where_none_is_wanted(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert main(["--agent", "zero", "--seconds", "0.1", *arguments]) == 0
    assert not FakeSimulation.made.viewer


def test_what_the_simulation_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*arguments: object, **options: object) -> FakeSimulation:
        raise ValueError("Genesis is not installed")

    assert fails(capsys, "--agent", "zero", made_of=parts(genesis=refuse)) == "error: Genesis is not installed"
