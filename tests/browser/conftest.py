"""A real Chromium, and a place for pictures of what it shows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from automa.web.server import Access, WebServer

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _chromium():
    given = os.environ.get("AUTOMA_CHROMIUM")
    names = [given] if given else ["chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium():
    """A browser without a window."""
    path = _chromium()
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or name one in AUTOMA_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def serve():
    """Serve as long as the test lasts."""
    opened = []

    def serve(place, *workflows, **access):
        server = WebServer(place, Access(**access), workflows)
        block = server.in_background()
        block.__enter__()
        opened.append(block)
        return server

    yield serve
    for block in opened:
        block.__exit__(None, None, None)


class Pages:
    """Opens pages, and keeps what went wrong in them."""

    def __init__(self, chromium):
        self._chromium = chromium
        self._contexts = []
        self.problems = []

    def open(self, url, *, scheme="light", width=1280, **options):
        """Open an address, in a context of its own."""
        context = self._chromium.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 800}, **options
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("dialog", self._on_dialog)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._on_console)
        page.on("request", lambda request: self._on_request(request, url))
        page.goto(url)
        return page

    def _on_dialog(self, dialog):
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_console(self, message):
        if message.type in {"error", "warning"}:
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request, url):
        if not request.url.startswith((url.partition("?")[0], "data:")):
            self.problems.append(f"request: {request.url}")

    def close(self):
        for context in self._contexts:
            context.close()


@pytest.fixture
def pages(chromium, serve):
    """Pages in which nothing may go wrong: no dialog, no error, no request to anybody else."""
    pages = Pages(chromium)
    yield pages
    pages.close()
    assert pages.problems == []


@pytest.fixture
def picture(request):
    """Takes a picture of a page, for people to look at."""
    folder = Path(os.environ.get("AUTOMA_SCREENSHOTS") or Path(__file__).parents[2] / "build" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=folder / f"{name}.png", full_page=True)
