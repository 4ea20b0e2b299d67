"""A browser before a really started server: Debian's chromium, driven by Playwright.

Screenshots go to tests/out/screenshots. Every page is watched: a request that leaves loopback, or an error
in its console, fails the test that caused it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.harness import PATIENCE_S, Server

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path(__file__).parents[1] / "out" / "screenshots"
WIDTHS_PX = {"wide": (1280, 900), "phone": (390, 844)}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = PATIENCE_S * 1000

Shoot = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One chromium for all browser tests."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Open an address of the server in a browser of its own, as another device would."""
    pages: list[Page] = []
    strayed: list[str] = []
    complaints: list[str] = []

    def on_request(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            strayed.append(request.url)

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def open_address(path: str = "/", dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": 1280, "height": 900}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("request", on_request)
        page.on("console", on_console)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{server.url}{path}")
        pages.append(page)
        return page

    yield open_address
    for page in pages:
        page.context.close()
    assert not strayed, f"the page asked for something outside of this machine: {strayed}"
    assert not complaints, f"the page's console holds errors: {complaints}"


@pytest.fixture
def shoot() -> Shoot:
    """Save what the page looks like now, on a desk and on a phone: what one sees first, and the whole."""

    def save(page: Page, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        for kind, (width, height) in reversed(WIDTHS_PX.items()):
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(300)  # the layout's own transitions
            page.screenshot(path=SCREENSHOTS / f"{name}-{kind}-fold.png")
            whole = page.evaluate("document.documentElement.scrollHeight")  # bars stay at their edges
            page.set_viewport_size({"width": width, "height": max(height, whole)})
            page.wait_for_timeout(100)
            page.screenshot(path=SCREENSHOTS / f"{name}-{kind}.png")
        page.set_viewport_size({"width": 1280, "height": 900})

    return save
