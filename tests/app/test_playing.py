import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from configs.presets import SMOKE
from tests.app.fake_engines import (
    FakeSimulation,
    fails,
    main,
    parts,
    save_model,
    targets,
)
from tests.biped.simulators.fake_simulator import DEFAULT_POSITION
from tests.end_to_end.command import ROOT


def test_zero_actions_hold_the_default_pose() -> None:
    held = targets("--agent", "zero", "--seconds", "0.2")
    # Backlash shows only once a target moves.
    assert (held - DEFAULT_POSITION).abs().amax().item() == 0.0


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
    assert main(["--agent", "zero", "--seconds", "0.2", "--video", "walk.mp4", "--no-overlay"]) == 0
    with av.open("walk.mp4") as container:
        assert container.streams.video[0].average_rate == 50
        levels = [float(frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video=0)]
    assert levels == pytest.approx([4.0 * count for count in range(1, 11)], abs=4.0)


def test_a_film_shows_what_the_robot_is_told_unless_that_is_left_out() -> None:
    av = pytest.importorskip("av")
    brightest = []
    for name, flags in (("with.mp4", []), ("without.mp4", ["--no-overlay"])):
        assert main(["--agent", "zero", "--seconds", "0.1", "--video", name, *flags]) == 0
        with av.open(name) as container:
            brightest.append(max(int(frame.to_ndarray(format="rgb24").max()) for frame in container.decode(video=0)))
    assert brightest[0] > 200
    assert brightest[1] < 30


def test_several_robots_are_filmed_side_by_side() -> None:
    av = pytest.importorskip("av")
    arguments = ["--agent", "zero", "--seconds", "0.1", "--simulator", "mujoco", "--no-overlay", "--video", "walk.mp4"]
    assert main([*arguments, "--video-robots", "3"]) == 0
    assert FakeSimulation.made.num_envs == 3
    with av.open("walk.mp4") as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert first.shape == (96, 128, 3)
    corners = [first[row, column].mean() for row in (24, 72) for column in (32, 96)]
    assert corners == pytest.approx([4.0, 64.0, 124.0, 0.0], abs=4.0)
    assert main([*arguments, "--video-robots", "3", "-B", "5"]) == 0
    assert FakeSimulation.made.num_envs == 5


def test_a_film_may_be_a_gif() -> None:
    assert main(["--agent", "zero", "--seconds", "0.2", "--video", "walk.gif", "--no-overlay"]) == 0
    with Image.open("walk.gif") as film:
        assert (film.format, film.size, film.info["duration"]) == ("GIF", (64, 48), 40)


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
        print_name = "import sys\nfrom ppo.program.standard_output import printing\nwith printing(): print(sys.argv[1])"
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

    arguments = ("--agent", "zero", "--simulator", "genesis")
    assert fails(capsys, *arguments, made_of=parts(genesis=refuse)) == "error: Genesis is not installed"
