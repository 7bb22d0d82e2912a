"""All contenders train the biped, and ours is taken apart along one and the same motion."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch

from benchmarks.adapters import CONTENDERS, OURS, RSL
from benchmarks.end_to_end import STAGES, fractions, main
from benchmarks.training_stages import TRAININGS, WARMUPS, Job, RecordingEnv, flatness, replay
from biped.simulators.interface import Simulator
from configs.presets import SMOKE
from ppo.runtime import Precision
from tests.biped.simulators.fake_simulator import FakeSimulator

CPU = torch.device("cpu")


def job(contender: str) -> Job:
    return Job(
        contender=contender,
        experiment=replace(SMOKE, num_envs=8, ppo=replace(SMOKE.ppo, n_steps=4, n_epochs=1)),
        device=CPU,
        precision=Precision("fp32", "cpu"),
        threads=1,
        iterations=2,
        model=None,
    )


def recording_env(num_envs: int) -> RecordingEnv:
    return RecordingEnv(cast("Simulator", FakeSimulator(num_envs)), SMOKE.env, seed=1)


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_trains(name: str, tmp_path: Path) -> None:
    if name == RSL:
        pytest.importorskip("rsl_rl")
    env = recording_env(8)
    training = TRAININGS[name](env, job(name), tmp_path)
    received = cast("FakeSimulator", env.recorder.simulator).targets
    before = len(received)
    assert set(training.measure(0)) == {"training"}
    # 2 iterations of 4 steps.
    assert len(received) - before == 8
    for turn in range(1, WARMUPS):
        assert set(training.measure(turn)) == {"training"}
    for turn in (WARMUPS, WARMUPS + 1):
        measured = training.measure(turn)
        assert measured["training"] > 0.0
        if name == OURS:
            assert set(measured) == {*STAGES, "replay error", "base height"}
            assert measured["replay error"] == 0.0
            assert all(measured[stage] > 0.0 for stage in STAGES)


def test_a_replay_gives_the_simulator_the_same_commands() -> None:
    env = recording_env(4)
    env.reset()
    simulator = env.recorder.simulator
    before = simulator.state_dict()
    calls: list[tuple[str, tuple[torch.Tensor, ...]]] = []
    env.recorder.calls = calls
    for action in torch.randn(5, 4, env.action_dim, generator=torch.Generator().manual_seed(0)):
        env.step(action)
    env.recorder.calls = None
    after = simulator.state_dict()
    names = [name for name, _ in calls]
    assert names.count("step") == names.count("read") == names.count("reset") == 5
    simulator.load_state_dict(before)
    spent = replay(simulator, calls, CPU)
    assert {"step", "read", "reset"} <= set(spent)
    assert all(torch.equal(after[name], value) for name, value in simulator.state_dict().items())
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_flatness_looks_at_the_range_only() -> None:
    assert flatness({64: 1.0, 512: 10.0, 1024: 8.0, 4096: 12.0, 8192: 99.0}, 512, 4096) == 1.5
    assert flatness({512: 10.0, 8192: 5.0}, 512, 4096) is None


def test_fractions_by_hand() -> None:
    rates = dict(zip(STAGES, ([100.0], [80.0], [64.0], [50.0], [25.0]), strict=True))
    assert fractions({"steps_per_second": rates}) == pytest.approx(
        {"environment_arithmetic": 0.25, "read_and_reset": 0.25, "training_of_simulator": 0.25}
    )
    assert fractions({"steps_per_second": {"training": [1.0]}}) == {}


@pytest.mark.genesis
def test_quick_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("genesis")
    pytest.importorskip("rsl_rl")
    path = tmp_path / "result.json"
    assert main(["--quick", "--threads", str(torch.get_num_threads()), "--json", str(path)]) == 0
    out = capsys.readouterr().out
    contenders = json.loads(path.read_text())["robots"]["16"]
    assert set(contenders) == set(CONTENDERS)
    for name, measured in contenders.items():
        assert f"16 robots, {name}: training" in out
        assert measured["build_seconds"] > 0.0
        assert all(min(rates) > 0.0 for rates in measured["steps_per_second"].values())
    ours = contenders[OURS]
    assert set(ours["steps_per_second"]) == set(STAGES)
    assert ours["replay_error"] == [0.0]
    # The robots stand 0.43 m high; lying ones are reset.
    assert 0.3 < ours["base_height"][0] < 0.5


@pytest.mark.parametrize("words", [["--num-envs", "0"], ["--iterations", "0"], ["--model", "nowhere.zip"]])
def test_bad_input(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*words, "--contenders", OURS])
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words[0] in lines[0]
