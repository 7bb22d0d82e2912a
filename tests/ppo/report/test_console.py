import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ppo.report.console import (
    Console,
    Status,
    displayed_values,
    fall_share,
    format_duration,
)

REPOSITORY = Path(__file__).parents[3]

METRICS = {
    "rollout/ep_rew_mean": 12.345,
    "rollout/ep_len_mean": 310.4,
    "episode/fell": 0.25,
    "episode/low_height": 0.125,
    "episode/time_out": 0.625,
    "tracking/velocity_error": 0.21,
    "train/learning_rate": 3e-4,
    "train/approx_kl": 0.00812,
    "train/loss": 99.0,
}


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def status(num_timesteps: int, metrics: Mapping[str, float] = METRICS, checkpoint: Path | None = None) -> Status:
    return Status(
        num_timesteps,
        steps_per_second=10532.4,
        simulation_fraction=0.61,
        policy_fraction=0.12,
        update_fraction=0.26,
        metrics=metrics,
        checkpoint=checkpoint,
    )


def run_python(code: str, *, read: int) -> tuple[int, str, str]:
    """Run `code`, read `read` bytes of its standard output, close the pipe, and wait for its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    head = process.stdout.read(read)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    return process.wait(timeout=60), head, error


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_plain_line_holds_progress_time_split_and_metrics() -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(total_timesteps=1_000_000, stream=stream, clock=clock)
    console.start(0)
    clock.seconds += 60.0
    console.update(status(250_000))
    assert stream.getvalue() == (
        "250,000/1,000,000 steps (25.0%)  10,532 steps/s  left 0:01:11  simulation 61%  policy 12%  update 26%  "
        "reward 12.35  episode length 310  falls 38%  velocity error 0.210  learning rate 3.00e-04  approx. KL 0.0081\n"
    )


def test_plain_lines_come_at_most_every_interval_with_the_first_and_the_last() -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(total_timesteps=100, stream=stream, plain_interval=10.0, clock=clock)
    console.start(0)
    for num_timesteps in range(1, 26):
        clock.seconds += 1.0
        console.update(status(num_timesteps, {}))
    console.close()
    console.close()
    assert [line.split("/")[0] for line in stream.getvalue().splitlines()] == ["1", "11", "21", "25"]


def test_the_last_update_is_not_written_twice() -> None:
    stream = io.StringIO()
    console = Console(total_timesteps=100, stream=stream, plain_interval=0.0)
    console.start(0)
    console.update(status(50, {}))
    console.update(status(100, {}))
    console.close()
    assert [line.split("/")[0] for line in stream.getvalue().splitlines()] == ["50", "100"]


def test_closing_without_an_update_writes_nothing() -> None:
    stream = io.StringIO()
    console = Console(total_timesteps=100, stream=stream)
    console.start(0)
    console.close()
    assert stream.getvalue() == ""


def test_plain_output_has_no_control_characters() -> None:
    stream = io.StringIO()
    console = Console(total_timesteps=100, stream=stream, plain_interval=0.0)
    console.message("before the start")
    console.start(0)
    console.update(status(50))
    console.message("saved [bold]logs/biped_50_steps.zip[/bold]")
    console.close()
    console.message("after the end")
    assert all(character == "\n" or character.isprintable() for character in stream.getvalue())
    lines = stream.getvalue().splitlines()
    assert [lines[0], *lines[2:]] == [
        "before the start",
        "saved [bold]logs/biped_50_steps.zip[/bold]",
        "after the end",
    ]


def test_time_left_follows_the_recent_speed() -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(total_timesteps=10_000, stream=stream, plain_interval=0.0, clock=clock)
    console.start(1000)
    clock.seconds += 500.0
    console.update(status(1100, {}))
    for num_timesteps in range(1200, 2200, 100):
        clock.seconds += 2.0
        console.update(status(num_timesteps, {}))
    left = [line.split("left ")[1].split("  ")[0] for line in stream.getvalue().splitlines()]
    assert left[0] == format_duration(8900 / 10532.4), "the wait for the first iteration says nothing"
    assert left[-1] == format_duration(7900 * 0.02), "the first update is out of the window"


def test_time_left_is_unknown_without_progress_and_zero_beyond_the_end() -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(total_timesteps=100, stream=stream, plain_interval=0.0, clock=clock)
    console.start(50)
    console.update(status(50, {}))
    clock.seconds += 1.0
    console.update(status(120, {}))
    first, second = stream.getvalue().splitlines()
    assert "left ?" in first
    assert "(120.0%)" in second
    assert "left 0:00:00" in second


def test_fall_share_sums_all_causes_but_time_outs() -> None:
    assert fall_share(METRICS) == 0.375
    assert fall_share({"episode/time_out": 1.0}) == 0.0
    assert fall_share({"episode/fell": float("nan"), "episode/time_out": float("nan")}) is None
    assert fall_share({"rollout/ep_rew_mean": 1.0}) is None


def test_absent_and_nan_metrics_are_left_out() -> None:
    metrics = {"rollout/ep_rew_mean": float("nan"), "train/approx_kl": 0.01}
    assert displayed_values(metrics) == [("approx. KL", "0.0100")]
    assert displayed_values({}) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0.0, "0:00:00"), (59.6, "0:01:00"), (3723.0, "1:02:03"), (360_000.0, "100:00:00")],
)
def test_format_duration(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("width", [80, 60, 40])
def test_the_live_display_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    stream, clock = io.StringIO(), Clock()
    console = Console(total_timesteps=50_000_000, stream=stream, interactive=True, clock=clock)
    console.start(0)
    clock.seconds += 3600.0
    console.update(status(26_214_400, METRICS, Path("logs/biped/biped_26214400_steps.zip")))
    console.message("saved [biped_26214400_steps.zip]")
    console.close()
    text = without_escapes(stream.getvalue())
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text)]
    assert max(len(line) for line in lines) <= width
    assert "saved [biped_26214400_steps.zip]" in lines
    for shown in (
        "52.4%",
        r"speed +10,532 steps/s",
        r"elapsed +1:00:00",
        r"left +0:37:38",
        r"simulation +61%",
        r"policy +12%",
        r"update +26%",
        r"reward +12\.35",
        r"episode length +310",
        r"falls +38%",
        r"velocity error +0\.210",
        r"learning rate +3\.00e-04",
        r"approx\. KL +0\.0081",
        r"checkpoint +biped_26214400_steps\.zip",
    ):
        assert re.search(shown, text), shown


def test_the_live_display_shows_three_values_a_row_on_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    console = Console(total_timesteps=100, stream=stream, interactive=True)
    console.start(0)
    console.update(status(50))
    console.close()
    lines = without_escapes(stream.getvalue()).splitlines()
    assert "reward             12.35   episode length       310   falls                38%" in [
        x.rstrip() for x in lines
    ]


def test_the_live_display_gives_the_cursor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.StringIO()
    console = Console(total_timesteps=100, stream=stream, interactive=True)
    console.start(0)
    console.close()
    assert stream.getvalue().count("\x1b[?25l") == 1
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


@pytest.mark.parametrize(("terminal", "live"), [("xterm-256color", True), ("dumb", False)])
def test_a_terminal_gets_the_live_display_if_it_can_move_its_cursor(
    monkeypatch: pytest.MonkeyPatch, terminal: str, live: bool
) -> None:
    monkeypatch.setenv("TERM", terminal)
    controller, descriptor = pty.openpty()
    with os.fdopen(controller, "rb", buffering=0) as screen, os.fdopen(descriptor, "w") as stream:
        console = Console(total_timesteps=100, stream=stream)
        console.start(0)
        console.update(status(50, {}))
        console.close()
        assert (b"\x1b[" in screen.read(65536)) == live


@pytest.mark.parametrize("interactive", [False, True])
def test_a_reader_that_goes_away_does_not_end_the_program(interactive: bool) -> None:
    code = f"""
import sys
from ppo.report.console import Console, Status
console = Console(total_timesteps=300, interactive={interactive}, plain_interval=0.0)
console.start(0)
for step in range(300):
    console.update(Status(step, 1.0, 0.0, 0.0, 0.0, {{"rollout/ep_rew_mean": float(step)}}))
    console.message("message " * 20)
console.close()
print("more, through print")
print("reached the end", file=sys.stderr)
"""
    assert run_python(code, read=5)[::2] == (0, "reached the end\n")


def test_a_missing_standard_output_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    console = Console(total_timesteps=10)
    console.start(0)
    console.update(status(5))
    console.message("text")
    console.close()


def test_a_closed_stream_is_survived() -> None:
    stream = io.StringIO()
    console = Console(total_timesteps=10, stream=stream, plain_interval=0.0)
    console.start(0)
    stream.close()
    console.update(status(5))
    console.message("text")
    console.close()


def test_a_character_the_stream_cannot_encode_is_replaced() -> None:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding="ascii")
    console = Console(total_timesteps=10, stream=stream)
    console.message("saved to /home/zoé/model.zip")
    assert content.getvalue().decode() == f"saved to /home/zo?/model.zip{os.linesep}"


def test_an_ascii_terminal_gets_an_ascii_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding="ascii")
    console = Console(total_timesteps=100, stream=stream, interactive=True)
    console.start(0)
    console.update(status(50))
    console.close()
    text = without_escapes(content.getvalue().decode("ascii"))
    assert "50.0% 50 / 100 steps" in text
    assert "?" not in text
