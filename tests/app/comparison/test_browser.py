"""The page of a comparison in a browser: whole at every width, and nothing is fetched."""

from pathlib import Path

from tests.app.comparison.test_comparing import train_all
from tests.app.fake_engines import main
from tests.app.report.test_browser import CHROMIUM, FLAGS, pytestmark, sync_api  # noqa: F401


def test_the_page_is_whole_at_every_width_and_on_paper(tmp_path: Path) -> None:
    train_all()
    assert main(["--compare", "slow", "fast_seed1", "fast_seed2"]) == 0
    address = (tmp_path / "comparison.html").as_uri()
    errors: list[str] = []
    requests: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for width in (1200, 400):
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.on("console", lambda message: errors.append(message.text))
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: requests.append(request.url))
            page.goto(address)
            box = page.get_by_role("img", name="Learning curves").bounding_box()
            assert box is not None
            assert box["height"] > 200.0
            assert page.evaluate("document.documentElement.scrollWidth") == width
            anchors = page.locator("nav a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
            assert len(anchors) == 6
            assert [page.locator(anchor).count() for anchor in anchors] == [1] * 6
            page.close()
        page = browser.new_page()
        page.goto(address)
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
        browser.close()
    assert errors == []
    assert {url for url in requests if not url.startswith("data:")} == {address}
