"""The page in a real browser: nothing but the file is asked for, no script of a text runs, mouse and keys work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium
from pages import hostile_study, study_of

from charnet.insight.page import to_page

pytestmark = pytest.mark.browser
TEXT = 'Ann: the cat sat.\n  The (dog) said "no" to 7 cats，中文。\n' * 30


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


class Opened:
    """A page that is open, and what it asked for and complained of."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.page = browser.new_context(**context).new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.path = path

    def check(self) -> None:
        assert self.requests == [self.path.as_uri()]
        assert self.complaints == []
        assert self.page.evaluate("window.hit") is None


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(to_page([study_of(TEXT)]), encoding="utf-8")
    return file


def color(page: Any, selector: str) -> str:
    return page.eval_on_selector(selector, "e => getComputedStyle(e).backgroundColor")


def test_a_page_asks_for_nothing_and_complains_of_nothing(browser: Any, path: Path) -> None:
    opened = Opened(browser, path)
    opened.check()
    assert opened.page.inner_text("#expected").startswith("Ann: the cat sat.")


def test_no_script_of_a_text_runs(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(to_page([hostile_study()]), encoding="utf-8")
    opened = Opened(browser, file)
    for selector in ("#expected span", "#influence span"):
        opened.page.locator(selector).nth(30).click()
    opened.check()
    shown = opened.page.text_content("#expected")
    assert "</script><script>window.hit=1</script>" in shown
    assert "\u202e" not in shown
    assert "\u241b[31m" in shown


def test_a_unit_that_is_chosen_recolors_the_text(browser: Any, path: Path) -> None:
    opened = Opened(browser, path)
    first = [color(opened.page, f"#tracked span:nth-child({n})") for n in range(1, 30)]
    opened.page.select_option("#unit", index=2)
    second = [color(opened.page, f"#tracked span:nth-child({n})") for n in range(1, 30)]
    assert first != second
    opened.page.select_option("#signal", "f")
    assert second != [color(opened.page, f"#tracked span:nth-child({n})") for n in range(1, 30)]
    opened.page.locator("button[data-unit]").first.click()
    assert "from" in opened.page.inner_text("#range")
    opened.check()


def test_keys_move_through_a_text(browser: Any, path: Path) -> None:
    page = Opened(browser, path).page
    for host in ("#expected", "#influence"):
        page.focus(host)
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        assert page.get_attribute(f"{host} span.at", "data-i") == "1"
        page.keyboard.press("ArrowDown")
        assert page.get_attribute(f"{host} span.at", "data-i") == "19"
        page.keyboard.press("ArrowUp")
        assert page.get_attribute(f"{host} span.at", "data-i") == "1"
    assert "nats" in page.inner_text("#bars")


def test_hovering_shows_what_was_expected(browser: Any, path: Path) -> None:
    page = Opened(browser, path).page
    before = page.inner_text("#bars")
    page.locator("#expected span").nth(3).hover()
    assert page.inner_text("#bars") != before
    assert page.inner_text("#bars").startswith(":")
    assert page.locator("#bars .bar").count() == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_sideways_scrolling(browser: Any, path: Path, scheme: str) -> None:
    opened = Opened(browser, path, viewport={"width": 360, "height": 640}, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    light = color(opened.page, "body") == "rgb(255, 255, 255)"
    assert light == (scheme == "light")
    opened.check()
