"""The page in a real browser: nothing but the file is asked for, no script of a text runs, mouse and keys work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium
from pages import hostile_study, study_of

from charnet.insight.expectation import Expected
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


# Of every visible text: the lowest contrast (WCAG 2.2) of its ink to what lies behind it, and the text.
LOWEST_CONTRAST = """() => {
  const parts = (color) => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, below) => below.map((part, k) => top[3] * top[k] + (1 - top[3]) * part);
  const luminance = (color) => color.map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, k) => sum + part * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (element) => element ? over(parts(getComputedStyle(element).backgroundColor),
    behind(element.parentElement)) : [255, 255, 255];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  let lowest = [99, "", 0];
  for (let node = walker.nextNode(), seen = 1; node; node = walker.nextNode(), seen++) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("svg") || !element.checkVisibility()) continue;
    const paper = behind(element), ink = over(parts(getComputedStyle(element).color), paper);
    const [low, high] = [luminance(paper), luminance(ink)].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    lowest = contrast < lowest[0] ? [contrast, node.data, seen] : [lowest[0], lowest[1], seen];
  }
  return lowest;
}"""


COLORS = "Array.from(document.querySelectorAll('#tracked span, #influence span'), e => e.style.cssText).join()"


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


def check_contrast(page: Any) -> None:
    """Every character stands out, whatever unit is shown."""
    for unit in range(page.locator("#unit option").count()):
        page.select_option("#unit", index=unit)
        contrast, text, seen = page.evaluate(LOWEST_CONTRAST)
        assert contrast >= 4.5, text
        assert seen > 2 * len(TEXT)


@pytest.mark.parametrize(("scheme", "other"), [("light", "dark"), ("dark", "light")])
def test_every_character_stands_out_even_when_the_scheme_changes(
    browser: Any, path: Path, scheme: str, other: str
) -> None:
    page, of_other = (Opened(browser, path, color_scheme=each).page for each in (scheme, other))
    check_contrast(page)
    check_contrast(of_other)
    page.emulate_media(color_scheme=other)
    page.wait_for_function(f"wanted => {COLORS} === wanted", arg=of_other.evaluate(COLORS), timeout=5000)
    check_contrast(page)


def test_a_choice_in_a_text_is_said_aloud(browser: Any, path: Path) -> None:
    page = Opened(browser, path).page
    for host, said in (("#expected", "#bars"), ("#tracked", "#value"), ("#influence", "#came-from")):
        assert page.get_attribute(said, "aria-live") == "polite"
        before = page.inner_text(said)
        page.locator(f"{host} span").nth(4).click()  # a space
        assert "space" in page.inner_text(said) != before
    assert "most by" in page.inner_text("#came-from")
    page.locator("#influence span").nth(0).click()
    assert page.inner_text("#came-from") == "The prediction of “A” was moved by no earlier character."
    at_h = page.inner_text("#value")
    page.select_option("#signal", "o")
    assert page.inner_text("#value") != at_h
    assert page.inner_text("#value").startswith("After space, o of layer ")


def test_the_button_of_the_unit_that_is_shown_is_pressed(browser: Any, path: Path) -> None:
    page = Opened(browser, path).page
    buttons = page.locator("button[data-unit]")
    pressed = page.locator("button[aria-pressed=true]")
    for number in (0, 2):
        buttons.nth(number).click()
        assert pressed.first.inner_text() == buttons.nth(number).inner_text()
        assert len(set(pressed.all_inner_texts())) == 1  # one unit may follow two properties
    page.select_option("#signal", "o")
    assert pressed.count() == 0


def test_figures_and_tables_have_names_and_heads(browser: Any, path: Path) -> None:
    page = Opened(browser, path, viewport={"width": 360, "height": 640}).page
    assert page.get_by_role("main").count() == 1
    names = [page.get_by_role("img", name=name).count() for name in ("How far it remembers: ", "How often gates are ")]
    assert names == [1, 2]  # gates: a figure of each layer
    assert page.get_by_role("columnheader", name="AUC").count() == 1
    assert page.get_by_role("columnheader", name="expected there").count() == 1
    assert page.get_by_role("cell").count() > 20


def test_keys_move_through_a_text(browser: Any, path: Path) -> None:
    page = Opened(browser, path).page
    for host in ("#expected", "#tracked", "#influence"):
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


def test_the_heading_of_a_character_has_the_number_of_its_bar(browser: Any, tmp_path: Path) -> None:
    study = study_of("ab" * 200)
    assert study.excerpt
    likely, unlikely = [(0, 0.996), (1, 0.0004)], [(0, 0.9996), (1, 0.0004)]
    study.excerpt.expected[:2] = [Expected(0, 0.004, likely), Expected(1, 7.8, unlikely)]
    (file := tmp_path / "page.html").write_text(to_page([study]), encoding="utf-8")
    page = Opened(browser, file).page
    for place, heading, bar in ((0, "a: 99.6 %, 0.00 nats", "a99.6 %"), (1, "b: 0.04 %, 7.80 nats", "a100.0 %")):
        page.locator("#expected span").nth(place).hover()
        assert page.text_content("#bars h4") == heading
        assert page.locator("#bars .bar").all_text_contents() == [bar]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_sideways_scrolling(browser: Any, path: Path, scheme: str) -> None:
    opened = Opened(browser, path, viewport={"width": 360, "height": 640}, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.page.eval_on_selector(".wide", "e => e.scrollWidth - e.clientWidth") == 0
    assert (
        opened.page.evaluate("Math.max(...Array.from(document.querySelectorAll('.worst tr'), e => e.clientHeight))")
        < 60
    )
    light = color(opened.page, "body") == "rgb(255, 255, 255)"
    assert light == (scheme == "light")
    opened.check()
