"""The page in a browser, on a wide screen, on a phone and on paper."""

from pathlib import Path
from typing import TYPE_CHECKING

from tests.app.browser import needs_chromium, requests_of
from tests.app.fake_engines import main
from tests.app.report.test_report import SHORT, log_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium

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
    def look(page: "Page") -> None:
        for title in FIGURES:
            box = page.get_by_role("img", name=title).bounding_box()
            assert box is not None
            assert box["height"] > 100.0
            assert box["width"] > 350.0
        assert page.locator("figure").count() == len(FIGURES) + 1
        # The film can be played.
        assert page.locator(".film img").evaluate("picture => picture.naturalWidth") > 0

    log_run(Path("logs/walk"))
    assert main(["-e", "walk", *SHORT, "--report", "page.html"]) == 0
    requests = requests_of((tmp_path / "page.html").as_uri(), 10, look)
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
    assert len([url for url in requests if url.startswith("file:")]) == 2
