"""What is seen of an iteration that takes long."""

import io
import time

from rich.console import Console as RichConsole

from ppo.report.console import Console
from tests.ppo.report.test_console import Clock, status


def test_what_is_waited_for_is_said_where_an_update_takes_long() -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(total_timesteps=100, stream=stream, plain_interval=10.0, clock=clock)
    console.start(0)
    lines = []
    for minibatch in range(1, 6):
        console.progress(f"learning: step {minibatch} of 40")
        clock.seconds += 4.0
        console._print_progress()
        lines.append(stream.getvalue())
        stream.truncate(0)
        stream.seek(0)
    # Once in ten seconds, and not again before the next ten have passed.
    assert lines == ["", "", "learning: step 3 of 40, 0:00:12 so far\n", "", ""]
    console.update(status(50))
    clock.seconds += 60.0
    stream.truncate(0)
    stream.seek(0)
    console._print_progress()
    assert stream.getvalue() == ""
    console.close()


def test_a_long_minibatch_leaves_a_sign_of_life_by_itself() -> None:
    stream = io.StringIO()
    console = Console(total_timesteps=100, stream=stream, plain_interval=0.2)
    console.start(0)
    console.progress("learning: step 1 of 40")
    deadline = time.monotonic() + 20.0
    while "step 1 of 40" not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.05)
    console.close()
    assert "learning: step 1 of 40" in stream.getvalue()


def test_the_live_display_tells_how_far_a_long_iteration_is() -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(total_timesteps=100, stream=stream, interactive=True, clock=clock)
    console.start(0)
    console.progress("collecting: control step 3 of 24")
    rendered = []
    for _ in range(2):
        screen = RichConsole(file=io.StringIO(), width=80, record=True)
        screen.print(console._render())
        rendered.append(screen.export_text())
        clock.seconds += 5.0
    console.close()
    assert "control step 3 of 24" not in rendered[0]
    assert "collecting: control step 3 of 24" in rendered[1]
