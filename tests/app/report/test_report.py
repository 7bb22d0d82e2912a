"""`play.py --report`: from the command line to the page, with engines that take no time."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from app.playing import main as play
from app.report import report
from configs.presets import SMOKE
from ppo.report.logging import MetricsLogger, WandbConfig
from tests.app.fake_engines import FakeSimulation, fails, main, parts, save_model

SHORT = ("-B", "1", "--seconds", "2.2")


def page_of(*arguments: str) -> str:
    """The page that the program writes."""
    assert main([*arguments, *SHORT, "--report", "page.html"]) == 0
    return Path("page.html").read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """What can be read in it."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<style.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)))


def log_run(folder: Path) -> None:
    """A checkpoint in the folder of a run that has logged a little."""
    save_model(folder / "model_final.zip", experiment=SMOKE)
    logger = MetricsLogger(folder / "RecurrentPPO_1", wandb=None, config={}, warn=print)
    for step in (500, 1000, 1500):
        logger.log({"rollout/ep_rew_mean": step / 100.0, "train/learning_rate": 1e-3}, step)
    logger.close()


def test_the_page_tells_everything(capsys: pytest.CaptureFixture[str]) -> None:
    log_run(Path("logs/walk"))
    page = page_of("-e", "walk")
    # On a slow machine some lines tell how far it has come.
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.endswith((" left", " so far"))]
    output = [line for line in lines if not line.startswith("Compiling")]
    assert [line.split()[0] for line in output[-4:]] == ["recording", "filming", "drawing", "wrote"]
    assert re.fullmatch(r"wrote page\.html \(\d+\.\d MB\)", output[-1])
    text = text_of(page)
    for words in (
        "FAIL genesis : 0 of 11 trials meet the criteria",
        "logs/walk/model_final.zip",
        "1,234 control steps",
        "With --simulator both",
        "--checkpoint logs/walk/model_final.zip --simulator genesis --num-envs 1 --seconds 2.2 --report page.html",
        "The dotted line is where this checkpoint was saved.",
        "what differs from the preset smoke",
    ):
        assert words in text, words
    assert page.count("<svg") == page.count("<figcaption>") - 1 == 10
    assert 'src="data:video/mp4;base64,' in page
    # Nothing leads anywhere else.
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_a_checkpoint_of_no_run_has_no_learning_curves() -> None:
    save_model(Path("alone/model.zip"), experiment=SMOKE)
    text = text_of(page_of("alone/model.zip"))
    assert "There are no learning curves: alone/model.zip does not lie in the folder of a run" in text


def test_both_engines_stand_side_by_side() -> None:
    save_model(Path("model.zip"), experiment=SMOKE)
    text = text_of(page_of("model.zip", "--simulator", "both"))
    assert "genesis : 0 of 11 trials" in text
    assert "mujoco : 0 of 11 trials" in text
    assert "the same robots in both engines" in text
    assert "drawn and filmed in genesis" in text


def test_an_agent_without_a_policy_and_one_command() -> None:
    text = text_of(page_of("--agent", "zero", "--command", "-0.3", "0", "0", "--disturbed"))
    assert "zero actions, no policy" in text
    assert "of 1 trials meet the criteria for disturbed robots" in text
    assert "--disturbed --command -0.3 0 0" in text


def test_names_cannot_smuggle_anything_in() -> None:
    name = "<script>alert(1)<_script>&.zip"
    save_model(Path(name), experiment=SMOKE)
    page = page_of(f"--checkpoint={name}")
    assert "<script" not in page
    assert name in text_of(page)


def test_without_a_camera_there_is_everything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: FakeSimulation, robot: int) -> None:
        raise RuntimeError("no OpenGL\nhere")

    monkeypatch.setattr(FakeSimulation, "render", refuse)
    page = page_of("--agent", "zero")
    assert "There is no film: no OpenGL here" in text_of(page)
    assert "<video" not in page
    assert page.count("<svg") == 9
    assert "no film: no OpenGL here" in capsys.readouterr().out


def test_an_engine_that_cannot_be_imported_with_a_camera_is_imported_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    asked: list[object] = []

    def load(*, camera: bool, **_: object) -> None:
        asked.append(camera)
        if camera:
            raise ValueError("no OpenGL")

    arguments = ["--agent", "zero", "--simulator", "mujoco", *SHORT, "--report", "page.html"]
    assert play(arguments, parts(load_mujoco=load)) == 0
    assert asked == [True, False]
    assert Path("page.html").exists()


def test_an_interrupted_report_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: FakeSimulation, robot: int) -> None:
        raise KeyboardInterrupt

    Path("page.html").write_text("older")
    monkeypatch.setattr(FakeSimulation, "render", interrupt)
    assert main(["--agent", "zero", *SHORT, "--report", "page.html"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert [path.name for path in Path().iterdir()] == ["page.html"]
    assert Path("page.html").read_text() == "older"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--report", "page.htm"], ["--report page.htm", ".html"]),
        (["--report", "nowhere/page.html"], ["--report nowhere/page.html", "folder that exists"]),
        (["--report", "a.html", "--no-evaluate"], ["--report", "--no-evaluate"]),
        (["--report", "a.html", "--json", "a.html"], ["--report", "--json", "same file"]),
        (["--report", "a.html", "--video", "a.mp4"], ["--video", "--report"]),
        (["--report", "a.html", "--episodes", "2"], ["--episodes", "--report"]),
        (["--report", "a.html", "--web"], ["--report", "--web"]),
        (["--report", "a.html", "--seconds", "2"], ["--seconds", "2"]),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = fails(capsys, "--agent", "zero", *arguments)
    assert [word for word in words if word not in line] == []
    assert not Path("a.html").exists()


def test_the_page_goes_where_the_run_is_logged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[Path, str, Path]] = []

    def keep(folder: Path, wandb: WandbConfig, path: Path) -> str | None:
        kept.append((folder, wandb.project, path))
        return None if len(kept) == 1 else "no network"

    monkeypatch.setattr(report, "keep_report", keep)
    save_model(Path("logs/walk/model_final.zip"), experiment=replace(SMOKE, wandb=True, wandb_project="legs"))
    page_of("-e", "walk")
    assert kept == [(Path("logs/walk/RecurrentPPO_1"), "legs", Path("page.html"))]
    assert capsys.readouterr().out.endswith("Weights & Biases: page.html is kept with the run\n")
    page_of("-e", "walk")
    assert capsys.readouterr().out.endswith("Weights & Biases: page.html is not kept: no network\n")
