"""The page of a comparison in a browser: whole at every width, and nothing is fetched."""

from pathlib import Path
from typing import TYPE_CHECKING

from tests.app.browser import needs_chromium, requests_of
from tests.app.comparison.test_comparing import train_all
from tests.app.fake_engines import main

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium


def test_the_page_is_whole_at_every_width_and_on_paper(tmp_path: Path) -> None:
    def look(page: "Page") -> None:
        box = page.get_by_role("img", name="Learning curves").bounding_box()
        assert box is not None
        assert box["height"] > 200.0

    train_all()
    assert main(["--compare", "slow", "fast_seed1", "fast_seed2"]) == 0
    address = (tmp_path / "comparison.html").as_uri()
    requests = requests_of(address, 6, look)
    assert {url for url in requests if not url.startswith("data:")} == {address}
