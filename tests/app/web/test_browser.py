"""The page in a browser, from the command that serves it to the signal that ends it."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from app.load import SHIPPED_POLICY
from app.steering.loop import command_limits
from configs.presets import PRESETS
from ppo.checkpoint.sb3_zip import read_zip
from tests.app.browser import CHROMIUM, FLAGS, needs_chromium, sync_api
from tests.app.fake_engines import save_model
from tests.end_to_end.command import ROOT, USER_ENVIRONMENT, command_line

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("viser", reason="needs viser (pip install viser)")
pytest.importorskip("mjbatch", reason="needs MuJoCo")
from app.web.gamepad import DEAD_ZONE

pytestmark = needs_chromium

SHIPPED = read_zip(SHIPPED_POLICY)
# The last three for 3D without a graphics card.
IN_3D = (*FLAGS, "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PATIENCE_S = 90.0
"""s for what takes a moment on a free machine: the browser draws without a graphics card."""
CURVE = """
title => {
  for (const {chart} of Object.values(window.__viserTestpoints?.uplots ?? {}))
    if (chart.root.querySelector('.u-title')?.textContent === title) return chart.data.map(column => [...column]);
  return null;
}
"""
"""The numbers that a plot shows."""
GAMEPAD = """
window.pad = {
  connected: true, mapping: 'standard', axes: [0, 0, 0, 0], buttons: [...Array(17)].map(() => ({pressed: false})),
};
navigator.getGamepads = () => [null, window.pad];
"""
"""Takes the place of what is plugged in."""
HEEDING_SIGNALS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Whatever lets the tests ignore Ctrl-C, the program is not to inherit it."""


class Opened(NamedTuple):
    page: "Page"
    errors: list[str]
    """What the browser's console says is wrong."""
    requests: list[str]
    """All that the page asks for."""
    program: "subprocess.Popen[str]"
    address: str
    run: Path
    """Folder of the run."""


def save_other(run: Path, num_timesteps: int) -> None:
    """Save another policy of the same task in the folder of a run."""
    path = run / f"biped_model_{num_timesteps}_steps.zip"
    observation_dim = SHIPPED.observation_dim
    save_model(path, experiment=PRESETS["robust"], observation_dim=observation_dim, num_timesteps=num_timesteps)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A browser on the page of a run with two checkpoints, the newer one the policy that comes with the project."""
    run = tmp_path / "logs" / "walk"
    save_other(run, 1000)
    shutil.copy(SHIPPED_POLICY, run / "model_final.zip")
    words = command_line("play.py", "--web", "--exp-name", "walk", "--port", "18080")
    program = subprocess.Popen(
        [sys.executable, "-c", HEEDING_SIGNALS, *words],
        cwd=tmp_path,
        env={**USER_ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        address = ""
        for line in program.stdout:
            if line.startswith("steer the robot at "):
                address = line.split()[4]
                break
        assert address, program.communicate()[1]
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(IN_3D))
            page = browser.new_page(viewport={"width": 1000, "height": 500})
            page.set_default_timeout(1000.0 * PATIENCE_S)
            errors: list[str] = []
            requests: list[str] = []
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: requests.append(request.url))
            page.on("websocket", lambda socket: requests.append(socket.url))
            page.goto(address)
            yield Opened(page, errors, requests, program, address, run)
            browser.close()
    finally:
        program.kill()
        program.communicate()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def forward(page: "Page") -> tuple[float, float]:
    """Forward velocity in m/s, mean of the last second and what is asked for; not a number before there is any."""
    columns = page.evaluate(CURVE, "velocity, m/s")
    if columns is None or len(columns[0]) < 50:
        return float("nan"), float("nan")
    return sum(columns[1][-50:]) / 50, columns[2][-1]


def turning(page: "Page") -> float:
    """rad/s that are asked for, positive to the left."""
    return float(page.evaluate(CURVE, "yaw rate, rad/s")[2][-1])


def test_a_robot_is_steered_in_the_browser(opened: Opened) -> None:
    page = opened.page

    # It walks as fast as it is asked to.
    wait_until(lambda: abs(forward(page)[0] - 0.4) < 0.1)
    assert forward(page)[1] == pytest.approx(0.4)

    # A key asks for more; the slider follows, and so does the robot.
    for _ in range(3):
        page.keyboard.press("w")
    wait_until(lambda: forward(page)[1] > 0.65)
    wait_until(lambda: abs(forward(page)[0] - 0.7) < 0.1)
    assert page.get_by_role("slider").nth(0).get_attribute("aria-valuenow") == "0.7"

    # One step changes the picture, and without one it stands still.
    page.get_by_role("button", name="pause (P)").click()
    page.get_by_role("button", name="go on (P)").wait_for()
    picture = page.locator("canvas").first
    wait_until(lambda: picture.screenshot() == picture.screenshot())
    before = picture.screenshot()
    page.get_by_role("button", name="one step").click()
    wait_until(lambda: picture.screenshot() != before)

    # Another browser sees the same.
    assert page.context.browser is not None
    other = page.context.browser.new_page(viewport={"width": 1000, "height": 500})
    other.set_default_timeout(1000.0 * PATIENCE_S)
    other.goto(opened.address)
    other.get_by_role("button", name="go on (P)").wait_for()
    other.close()
    page.keyboard.press("p")
    page.get_by_role("button", name="pause (P)").wait_for()

    # Another checkpoint walks.
    page.get_by_text(f"trained for {SHIPPED.num_timesteps:,} control steps").wait_for()
    page.get_by_label("checkpoint").click()
    page.get_by_role("option", name="biped_model_1000_steps").click()
    page.get_by_text("trained for 1,000 control steps").wait_for()

    # So does what a training saves meanwhile.
    page.get_by_label("always the newest").check()
    save_other(opened.run, 2000)
    page.get_by_text("trained for 2,000 control steps").wait_for()

    # All of it came from here, and nothing went wrong.
    assert opened.errors == []
    assert {url.split("/")[2] for url in opened.requests if not url.startswith(("blob:", "data:"))} == {
        opened.address.split("/")[2]
    }

    opened.program.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = opened.program.communicate(timeout=30.0)
    assert time.monotonic() - began < 2.0
    assert opened.program.returncode == 130
    assert said == "interrupted\n"


def test_a_gamepad_at_the_browser_steers(opened: Opened) -> None:
    page = opened.page
    page.evaluate(GAMEPAD)
    wait_until(lambda: abs(forward(page)[0] - 0.4) < 0.1)

    # A gamepad that nobody touches leaves the command alone, and sticks do not come to rest exactly at zero.
    page.evaluate("pad.axes = [0.05, -0.04, 0.1, 0]")
    time.sleep(1.0)
    assert forward(page)[1] == pytest.approx(0.4)

    # Half of its way beyond the dead zone is half of the fastest walk; the slider follows, and so does the robot.
    _, fastest = command_limits(PRESETS["robust"].env.commands)[0]
    page.evaluate(f"pad.axes = [0, {-(1.0 + DEAD_ZONE) / 2.0}, 0, 0]")
    wait_until(lambda: abs(forward(page)[1] - 0.5 * fastest) < 0.01)
    page.evaluate("pad.axes = [0, -0.9, 0, 0]")
    asked = (0.9 - DEAD_ZONE) / (1.0 - DEAD_ZONE) * fastest
    wait_until(lambda: abs(forward(page)[0] - asked) < 0.1)
    assert page.get_by_role("slider").nth(0).get_attribute("aria-valuenow") == f"{asked:.2g}"

    # Released it stands, and keys have their say again.
    page.evaluate("pad.axes = [0, 0, 0, 0]")
    wait_until(lambda: abs(forward(page)[0]) < 0.1)
    assert forward(page)[1] == 0.0
    page.keyboard.press("w")
    wait_until(lambda: forward(page)[1] == pytest.approx(0.1))

    # A gamepad that is unplugged with its stick held is released.
    page.evaluate("pad.axes = [0, 0, 1, 0]")
    wait_until(lambda: turning(page) < -0.4)
    page.evaluate("pad.connected = false")
    wait_until(lambda: turning(page) == 0.0)

    page.evaluate("pad.connected = true; pad.buttons[9].pressed = true")
    page.get_by_role("button", name="go on (P)").wait_for()

    # Nobody sees where it is written down.
    assert not page.get_by_text("gamepad", exact=True).is_visible()
    assert opened.errors == []
