"""The page of a lesson in a real browser: it asks for nothing, fits a narrow screen, and the keyboard opens answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium, opened
from lessons import full
from pages import HOSTILE

from charnet.lesson.page import to_page
from charnet.lesson.temperatures import Written

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1200, "dark")])
def test_a_page_opens_offline_and_fits_the_screen(
    browser: Any, tmp_path: Path, language: str, width: int, scheme: str
) -> None:
    path = tmp_path / "lesson.html"
    hostile = [Written(0.2, "\n".join(HOSTILE), 1.0, 1.0), Written(1.5, "x" * 300, 2.0, 0.5)]
    path.write_text(to_page(full(text="x" * 90, written=hostile), language), encoding="utf-8")
    with opened(browser, path, width=width, scheme=scheme) as page:
        assert page.evaluate("window.hit") is None
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.focus("#cells summary")
        page.keyboard.press("Enter")
        assert page.evaluate("document.querySelector('#cells details').open")
