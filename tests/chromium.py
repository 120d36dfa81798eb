"""Opens pages in Chromium, for the tests marked `browser`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """Starts Chromium; skips the test if it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'charnet[browser]'")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, page: Path, *, width: int = 1200, scheme: str = "light", script: str = "") -> Iterator[Any]:
    """Opens a file, and asserts that it asks for nothing else, logs no error and opens no dialog.

    Args:
        script: runs before those of the page.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.add_init_script(script)
    tab, wrong = context.new_page(), []
    address = page.absolute().as_uri()
    tab.on("request", lambda request: wrong.append(request.url) if request.url != address else None)
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    tab.goto(address)
    yield tab
    assert wrong == []
    assert tab.evaluate("window.hit") is None
    context.close()
