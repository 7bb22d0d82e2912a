"""Pages in headless Chromium."""

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright (pip install playwright)")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
FLAGS = ("--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update")


def requests_of(address: str, sections: int, look: Callable[["Page"], None]) -> list[str]:
    """Open a page of the project on a wide screen, on a phone and on paper, and check what all of them must be.

    Args:
        address: of the page.
        sections: its number, which its contents list.
        look: checks what else there is to see, at both widths.

    Returns:
        Every address that was asked for.
    """
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
            look(page)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            # Every entry of the contents leads somewhere.
            anchors = page.locator("nav a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
            assert len(anchors) == sections
            assert [page.locator(anchor).count() for anchor in anchors] == [1] * sections
            page.close()
        page = browser.new_page()
        page.goto(address)
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
        browser.close()
    assert errors == []
    return requests
