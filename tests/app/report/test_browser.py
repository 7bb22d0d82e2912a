"""The page in a browser, on a wide screen, on a phone and on paper."""

import shutil
from pathlib import Path

import pytest

from tests.app.fake_engines import main
from tests.app.report.test_report import SHORT, log_run

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright (pip install playwright)")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")

FLAGS = ("--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update")
FIGURES = (
    "Feet on the ground",
    "Ways of the feet",
    "Velocity under each command",
    "Sudden changes",
    "Phase portraits of the joints",
    "Joint targets and positions",
    "Joint torques",
    "Mechanical power",
    "What the reward is made of",
    "Learning curves",
)


def test_the_page_is_whole_at_every_width_and_on_paper(tmp_path: Path) -> None:
    log_run(Path("logs/walk"))
    assert main(["-e", "walk", *SHORT, "--report", "page.html"]) == 0
    errors: list[str] = []
    requests: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for width in (1200, 400):
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.on("console", lambda message: errors.append(message.text))
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: requests.append(request.url))
            page.goto((tmp_path / "page.html").as_uri())
            for title in FIGURES:
                box = page.get_by_role("img", name=title).bounding_box()
                assert box is not None
                assert box["height"] > 100.0
                assert box["width"] > 350.0
            assert page.locator("figure").count() == len(FIGURES) + 1
            assert page.evaluate("document.documentElement.scrollWidth") == width
            # Every entry of the contents leads somewhere, and the film can be played.
            anchors = page.locator("nav a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
            assert len(anchors) == 10
            assert [page.locator(anchor).count() for anchor in anchors] == [1] * 10
            assert page.locator(".film img").evaluate("picture => picture.naturalWidth") > 0
            page.close()
        page = browser.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
        browser.close()
    assert errors == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
    assert len([url for url in requests if url.startswith("file:")]) == 2
