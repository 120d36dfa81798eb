"""The page to write in, in a real browser before a real server: every key, every suggestion and every undo."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import packed, tiny
from chromium import chromium
from pages import HOSTILE
from running_server import Running, serving

from charnet.data.vocab import Vocabulary
from charnet.server.access import Access
from charnet.server.page import FOLDER, SCRIPTS, writing_page
from charnet.storage import receipt as receipt_file
from charnet.storage import runs

KEY = "k" * 20
PROMPT = "the cat sat on "


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_may_ask_its_own_server_and_no_other() -> None:
    page = writing_page()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["connect-src"] == "'self'"
    assert parts["default-src"] == parts["form-action"] == parts["base-uri"] == "'none'"
    assert "unsafe" not in policy
    assert not re.search(r"https?:", page)
    assert len(page) < 64_000


def test_every_control_has_a_name_and_every_name_in_the_script_an_element() -> None:
    found = Elements(writing_page()).found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    script = "".join((FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    assert set(re.findall(r'by\("([^"]+)"\)', script)) <= set(ids)
    labels = {attributes["for"] for tag, attributes in found if tag == "label" and "for" in attributes}
    page = (FOLDER / "page.html").read_text(encoding="utf-8")
    for tag, attributes in found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        if tag in ("input", "select", "textarea"):
            inside = re.search(rf'<label[^>]*>[^<]+<(?:input|select) id="{attributes["id"]}"', page)
            before = re.search(rf'<label><input id="{attributes["id"]}"[^>]*> \w', page)
            assert "aria-label" in attributes or attributes["id"] in labels or inside or before, attributes


def test_the_buttons_of_a_suggestion_are_explained_before_there_is_one() -> None:
    found = {attributes.get("id"): attributes for _, attributes in Elements(writing_page()).found}
    for button in ("take", "word", "drop", "another", "choose", "show-taken"):
        assert found[button].get("title"), button
    assert found["tools"]["aria-describedby"] == "tools-help"
    assert "hidden" not in found["tools-help"]


def test_texts_reach_the_page_through_no_markup() -> None:
    for path in FOLDER.glob("*.js"):
        script = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)
        assert not re.search(r"localStorage|sessionStorage|cookie", script)
        assert len(script.splitlines()) <= 300


def test_a_page_is_served_without_a_key_and_its_answers_only_with_one(tiny_run: Path) -> None:
    with serving(runs.find(tiny_run), access=Access(key=KEY), page=writing_page()) as server:
        assert server.get("/").body.decode() == writing_page()
        assert server.get("/v1/models").status == 401
        assert server.post({"prompt": "a"}).status == 401


def test_characters_that_the_model_does_not_know_are_left_out_if_asked_and_said(tiny_run: Path) -> None:
    with serving(runs.find(tiny_run)) as server:
        how = {"prompt": "theÉ cat", "max_tokens": 5, "seed": 1}
        assert server.post(how).status == 400
        skipped = server.post(how | {"unknown": "skip", "receipt": True}).json["choices"][0]
        assert skipped["notes"] == ["left out 1 character that the model does not know: 'É'; the nearest it knows: 'e'"]
        assert skipped["receipt"]["unknown"] == "skip"
        known = server.post(how | {"prompt": "the cat"}).json["choices"][0]
        assert known["text"] == skipped["text"]
        assert "notes" not in known
        last = server.post(how | {"unknown": "skip", "stream": True}).events[-2]["choices"][0]
        assert last["notes"] == skipped["notes"]
        for wrong in ("ignore", 1, [], True):
            assert server.post(how | {"unknown": wrong}).status == 400


def test_what_was_read_of_a_prompt_is_kept_when_its_client_leaves(tiny_run: Path) -> None:
    from charnet.config import SamplingOptions
    from charnet.server import engine_room, prompt_reader
    from charnet.storage.checkpoint import Checkpoint

    checkpoint = Checkpoint.load(runs.find(tiny_run), weights_only=True).quantize()
    ids = checkpoint.vocab.encode("the cat sat on a mat\n" * 40).astype(np.int32)

    def text_after(room: engine_room.EngineRoom, given: Any) -> str:
        chunks: list[Any] = []
        room._reading.append(engine_room.Job(given, SamplingOptions(length=30), lambda chunk, *_: chunks.append(chunk)))
        while room.running:
            room._turn()
        return "".join(chunk.text for chunk in chunks if chunk)

    room = engine_room.EngineRoom(checkpoint)
    job = engine_room.Job(ids, SamplingOptions(), lambda *_: None)
    assert not room._reader.read(room.engine, job)
    assert not room._reader.read(room.engine, job)
    room._reading.append(job)
    job.is_cancelled = True
    room._turn()
    assert not room.running
    count, state = room._reader._prefixes.longest(ids)
    assert count == 2 * prompt_reader.PIECE + 1
    assert len(state.pending) == 1
    assert state.recent == tuple(ids[:count].tolist())
    fresh = engine_room.EngineRoom(checkpoint)
    assert text_after(room, ids) == text_after(fresh, ids)


# In the browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def server(tiny_run: Path, browser: Any) -> Iterator[Running]:  # noqa: ARG001, without a browser none is started
    with serving(runs.find(tiny_run), page=writing_page()) as found:
        yield found


class Page:
    """The page in a tab of its own."""

    def __init__(self, tab: Any) -> None:
        self.tab, self.keyboard, self.sheet = tab, tab.keyboard, tab.locator("#sheet")

    @property
    def text(self) -> str:
        return str(self.sheet.input_value())

    @property
    def gray(self) -> str:
        return "".join(self.tab.locator(".ghost, #box:not([hidden])").all_text_contents())

    def write(self, text: str) -> None:
        """Types, and waits for the gray text."""
        self.keyboard.type(text)
        self.settle()

    def settle(self) -> None:
        """Waits until nothing is asked for any more."""
        self.until("!asking && (!suggestion || suggestion.ended)")

    def until(self, expression: str) -> None:
        """Waits for something to be true. The policy of the page forbids Playwright to wait in it."""
        last = time.monotonic() + 10
        while not self.tab.evaluate(expression):
            assert time.monotonic() < last, expression
            time.sleep(0.01)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keyboard.press(key)
            self.settle()

    def choose(self, number: int) -> None:
        """Asks for continuations and takes one of them."""
        self.press("Control+Enter", str(number))
        self.until("!choosing")
        self.settle()

    def choose_when(self, value: str) -> None:
        self.tab.locator("#when").select_option(value)
        self.sheet.focus()


@contextmanager
def opened(
    browser: Any, port: int, *, width: int = 1200, scheme: str = "light", expects: tuple[str, ...] = ()
) -> Iterator[Page]:
    """Opens the page; asserts that it asks nobody but the server, logs no error and opens no dialog."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab, wrong, origin = context.new_page(), list[str](), f"http://127.0.0.1:{port}"
    asked = ("", "/", "/v1/models", "/v1/completions")
    tab.on("request", lambda r: None if r.url in [origin + each for each in asked] or r.url.startswith("blob:" + origin)
           else wrong.append(r.url))  # fmt: skip
    tab.on("console", lambda m: None if any(each in m.text for each in expects) else wrong.append(m.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    tab.goto(origin)
    tab.wait_for_load_state("networkidle")
    yield Page(tab)
    assert wrong == []
    assert tab.evaluate("window.hit") is None
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


browsing = pytest.mark.browser


@browsing
def test_tab_and_right_take_escape_drops_and_ctrl_right_takes_a_word(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.write(PROMPT)
        gray = page.gray
        assert gray
        page.press("Control+ArrowRight")
        word = page.text.removeprefix(PROMPT)
        assert word
        assert gray.startswith(word)
        assert gray == word + page.gray
        page.press("Tab")
        assert page.text == PROMPT + gray
        next_gray = page.gray
        page.press("ArrowRight")
        assert page.text == PROMPT + gray + next_gray
        assert page.gray
        page.press("Escape")
        assert page.gray == ""
        assert page.text == PROMPT + gray + next_gray
        page.press("Tab")
        assert page.tab.evaluate("document.activeElement.id") == "take"


@browsing
def test_a_suggestion_is_what_the_server_writes_for_its_seed(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.keyboard.insert_text(PROMPT)  # at once: who types along the gray text keeps it
        page.settle()
        how = {"prompt": PROMPT, "max_tokens": 60, "temperature": 0.7, "seed": 1}
        text = server.post(how).json["choices"][0]["text"]
        assert len(text) == 60
        assert text.startswith(page.gray)
        assert re.match(r"\s", text[len(page.gray) :])  # the cut word is left off
        first = page.gray
        page.press("Alt+ArrowDown")
        assert page.tab.locator("#seed").input_value() == "2"
        assert page.gray != first
        page.press("Alt+ArrowUp")
        assert page.gray == first
        page.tab.locator("#temperature").fill("0")
        page.settle()
        assert server.post(how | {"temperature": 0}).json["choices"][0]["text"].startswith(page.gray)


@browsing
def test_typing_what_is_suggested_keeps_the_suggestion(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.write(PROMPT)
        gray, asked = page.gray, server.app.counts.requests["/v1/completions", 200]
        page.write(gray[:3])
        assert page.gray == gray[3:]
        assert server.app.counts.requests["/v1/completions", 200] == asked
        page.press("Backspace")
        assert page.gray != gray[3:]


@browsing
def test_undo_goes_back_to_the_empty_sheet_and_redo_to_the_end(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.write("the dog ")
        states = [page.text]
        for act in (lambda: page.press("Tab"), lambda: page.press("Control+ArrowRight"),
                    lambda: page.write("a"), lambda: page.press("Backspace"), lambda: page.press("ArrowLeft", "Delete"),
                    lambda: page.press("Home", "ArrowRight", "Backspace", "End", "Backspace"),

                    lambda: page.press("Home", "Shift+End", "Delete"), lambda: page.keyboard.insert_text("😀 mat\non"),
                    lambda: page.press("Control+a"), lambda: page.keyboard.insert_text("x"),
                    lambda: page.choose(1), lambda: page.press("Enter")):  # fmt: skip
            act()
            page.settle()
            if page.text != states[-1]:
                states.append(page.text)
        assert len(states) >= 9
        seen = [page.text]
        for _ in range(40):
            page.press("Control+z")
            seen.append(page.text)
        assert seen[-1] == ""
        assert set(states) <= set(seen)
        again = [page.text]
        for _ in range(40):
            page.press("Control+y")
            again.append(page.text)
        assert again[-1] == states[-1]
        assert [each for i, each in enumerate(again) if each not in again[:i]] == [
            each for i, each in enumerate(seen[::-1]) if each not in seen[::-1][:i]
        ]
        assert page.tab.locator("#redo").get_attribute("aria-disabled") == "true"


@browsing
def test_a_word_is_undone_at_once_and_so_is_a_run_of_deletions(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.choose_when("tab")
        page.keyboard.type("the cat  sat")
        page.press("Backspace", "Backspace")
        seen = [page.text]
        while page.text:
            page.press("Control+z")
            seen.append(page.text)
        assert seen == ["the cat  s", "the cat  sat", "the cat  ", "the ", ""]


@browsing
def test_an_edit_in_the_middle_is_suggested_in_a_box_and_keeps_the_rest(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.write("the cat\nthe dog")
        page.press("Control+Home", "End")
        page.write(" ")
        page.until("suggestion === null")  # the box would cover the lines that follow, unless it is asked for
        page.press("Tab")
        assert page.gray
        assert page.tab.locator("#box").is_visible()
        page.press("ArrowRight")  # moves the caret
        page.until("suggestion === null")
        assert page.text == "the cat \nthe dog"
        page.press("ArrowLeft")
        page.press("Tab")
        gray = page.gray
        page.press("Tab")
        assert page.text == f"the cat {gray}\nthe dog"


@browsing
def test_an_input_method_is_left_alone_until_it_has_finished(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.write(PROMPT)
        assert page.gray
        protocol, asked = page.tab.context.new_cdp_session(page.tab), server.app.counts.requests.total()
        for part in ("n", "ni", "ni h", "ni hao"):
            protocol.send(
                "Input.imeSetComposition", {"text": part, "selectionStart": len(part), "selectionEnd": len(part)}
            )
            assert page.gray == ""
        page.tab.wait_for_timeout(100)
        assert page.gray == ""
        page.tab.locator("#take").click(force=True)
        page.tab.locator("#undo").click()
        assert page.text == PROMPT + "ni hao"
        assert server.app.counts.requests.total() == asked
        protocol.send("Input.insertText", {"text": "你好"})
        page.settle()
        assert page.text == PROMPT + "你好"
        assert page.gray
        assert "does not know" in page.tab.locator("#status").text_content()
        page.press("Control+z")
        assert page.text == PROMPT
        assert page.tab.evaluate("[sheet.selectionStart, sheet.selectionEnd]") == [len(PROMPT)] * 2
        page.press("Control+y")
        assert page.text == PROMPT + "你好"


@browsing
def test_surprise_is_that_of_the_server_for_every_character(browser: Any, server: Running) -> None:
    text = "the 😀cat Zsat\n\non thé mat"
    with opened(browser, server.port) as page:
        page.keyboard.insert_text(text)
        page.tab.locator("#surprise").check()
        page.until("view.bands.length > 0")
        nats = page.tab.evaluate("Array.from(nats, (each) => isNaN(each) ? null : each)")
        how = {"prompt": text, "echo": True, "logprobs": 0, "max_tokens": 0, "unknown": "skip"}
        expected = iter(server.post(how).json["choices"][0]["logprobs"]["token_logprobs"])
        units = text.encode("utf-16-le")
        for i, found in enumerate(nats):
            unit = units[2 * i : 2 * i + 2].decode("utf-16-le", "surrogatepass")
            known = unit in "the cat sat\nonm"
            value = next(expected) if known else None
            assert found is None if value is None else found == pytest.approx(-value, rel=1e-4), (i, unit)
        assert next(expected, None) is None
        bands = page.tab.evaluate("view.bands")
        spans = page.tab.locator("#mirror span:not(.ghost)").all_text_contents()
        units = [" " if unit == "\n" else unit for unit in _units(text)]
        assert "".join(spans) == "".join(c for c, band in zip(units, bands, strict=True) if band != "0")
        page.sheet.focus()
        page.press("Control+End")
        page.write("q")
        page.tab.evaluate("sheet.setRangeText('q', 3, 3)")
        assert page.tab.evaluate("typed() || view.bands.length") == 3  # what follows an edit is not known
        page.tab.locator("#surprise").uncheck()
        assert page.tab.locator("#mirror span:not(.ghost)").count() == 0


def _units(text: str) -> list[str]:
    raw = text.encode("utf-16-le")
    return [raw[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(raw), 2)]


@browsing
def test_colors_and_gray_text_stand_where_the_characters_are(browser: Any, server: Running) -> None:
    text = "the cat  sat on a mat\tand the dog ran over " * 12 + "\n\n  to see it 😀 中文 " + "longword" * 30
    for width in (1200, 360):
        with opened(browser, server.port, width=width) as page:
            page.keyboard.insert_text(text)
            page.settle()
            page.press("Escape")
            sizes = "['mirror', 'sheet'].flatMap((id) => [by(id).scrollHeight, by(id).clientHeight])"
            assert len(set(page.tab.evaluate(sizes))) == 1
            names = "font padding whiteSpace overflowWrap wordBreak tabSize letterSpacing width direction"
            style = "([id, names]) => names.split(' ').map((name) => getComputedStyle(by(id))[name])"
            mirror, sheet = (page.tab.evaluate(style, [id, names]) for id in ("mirror", "sheet"))
            assert mirror == sheet


@browsing
def test_gray_text_begins_where_the_sheet_ends_also_at_the_end_of_a_line(browser: Any, server: Running) -> None:
    with opened(browser, server.port, width=360) as page:
        current = [""]
        page.tab.route("**/v1/completions", fulfilled(lambda: current[0]))
        current[0] = "gray" * 20
        columns = page.tab.evaluate("""() => { const s = getComputedStyle(sheet), c = document.createElement('canvas')
          .getContext('2d'); c.font = s.font; return Math.floor((sheet.clientWidth - parseFloat(s.paddingLeft) -
          parseFloat(s.paddingRight)) / c.measureText('a').width); }""")
        page.write("to " + "a" * (columns - 5))  # two more fit in the line
        top, left, right = page.tab.evaluate("""() => { const line = view.lines[0].node, r = document.createRange();
          r.selectNode(line.firstChild); const own = r.getClientRects(), gray = view.ghost.getClientRects();
          return [own.length, own[own.length - 1].right, gray[gray.length - 1].left]; }""")
        assert top == 1  # the word stays where it is in the sheet
        assert right < left
        page.press("Tab")
        assert page.text.endswith("agray" + "gray" * 19)


@browsing
def test_what_is_sent_of_a_long_text_grows_by_what_is_typed(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        assert (
            page.tab.evaluate("""() => {
          const text = "😀ab\\n".repeat(16000), starts = new Set();
          for (let at = 0; at < text.length; at += 1 + (text.codePointAt(at) > 65535)) {
            const context = contextOf(text, at);
            if (/[\\ud800-\\udfff]/.test(context.replace(/[\\ud800-\\udbff][\\udc00-\\udfff]/g, ""))) return "half";
            if (context !== text.slice(at - context.length, at)) return "other text";
            if (context.length < Math.min(at, 4096) || context.length > 8194) return "length";
            starts.add(at - context.length);
          }
          return starts.size <= text.length / 4096 + 1 ? "" : "starts";
        }""")
            == ""
        )


@browsing
def test_words_are_taken_and_cut_words_left_off_in_any_writing(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        words = {" the cat": " the", "cat, a": "cat", ", a b": ", a", "\n\n  it is": "\n\n  it", "...": "...", "": ""}
        assert {text: page.tab.evaluate("firstWord", text) for text in words} == words
        first = page.tab.evaluate("firstWord", "我们喜欢中文")
        assert 1 <= len(first) < 6
        assert page.tab.evaluate("firstWord", "👨‍👩‍👧 cat") == "👨‍👩‍👧 cat"
        whole = {"one two thr": "one two", "one": "one", "我们喜欢": "我们喜欢", "one ": "one", " one": " one",
                 "a " + "b" * 30: "a " + "b" * 30, "a\n\nRO": "a\n", "": ""}  # fmt: skip
        assert {text: page.tab.evaluate("wholeWords", text) for text in whole} == whole


@browsing
def test_three_continuations_are_chosen_by_key_or_mouse(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.write(PROMPT)
        page.press("Control+Enter")
        page.until("[...by('choices').children].every((each) => each.textContent !== '…')")
        page.tab.wait_for_timeout(100)
        choices = page.tab.locator("#choices button")
        texts = choices.all_text_contents()
        answers = server.post({"prompt": PROMPT, "max_tokens": 60, "temperature": 0.7, "seed": 1, "n": 3}).json[
            "choices"
        ]
        assert all(answer["text"].startswith(text) for answer, text in zip(answers, texts, strict=True))
        page.keyboard.press("ArrowRight")
        assert page.tab.evaluate("document.activeElement === by('choices').children[1]")
        page.keyboard.press("Enter")
        page.settle()
        assert page.text == PROMPT + texts[1]
        page.press("Control+z")
        page.tab.locator("#choose").click()
        page.until("choosing && [...by('choices').children].every((each) => each.textContent.length > 20)")
        page.keyboard.press("3")
        page.settle()
        assert page.text == PROMPT + texts[2]
        page.press("Control+Enter")
        page.keyboard.press("Escape")
        assert choices.count() == 0
        assert page.tab.evaluate("document.activeElement === sheet")


@browsing
def test_what_was_taken_has_a_receipt_that_is_replayed(browser: Any, server: Running, tmp_path: Path) -> None:
    with opened(browser, server.port) as page:
        page.write(PROMPT)
        page.press("Control+ArrowRight", "Control+ArrowRight")
        taken = page.text.removeprefix(PROMPT)
        page.write("q")
        page.choose(2)
        assert page.tab.locator("#show-taken").text_content() == "Taken: 2"
        page.tab.locator("#show-taken").click()
        assert page.tab.locator("#takings q").first.text_content() == taken
        for number in range(2):
            with page.tab.expect_download() as started:
                page.tab.locator("#takings button").nth(number).click()
            path = tmp_path / f"{number}.json"
            started.value.save_as(path)
            receipt = receipt_file.read(path)
            assert receipt.exact
            assert receipt.index == number
            if not number:
                assert receipt.texts[0].sha256 == receipt_file.sha256(taken)
        other = json.dumps({"choices": [{"text": "other", "receipt": {}}] * 2})
        page.tab.route("**/v1/completions", lambda route: route.fulfill(content_type="application/json", body=other))
        page.tab.locator("#takings button").first.click()
        page.until("by('status').textContent.startsWith('No receipt')")
        page.tab.unroute("**/v1/completions")
        page.sheet.focus()
        page.press(*["Control+z"] * 9)
        assert page.tab.locator("#show-taken").text_content() == "Taken: 0"


@browsing
def test_a_model_in_fp32_says_why_it_has_no_receipt(browser: Any, tiny_run: Path) -> None:
    with (
        serving(runs.find(tiny_run), quantize=False, page=writing_page()) as server,
        opened(browser, server.port, expects=("400",)) as page,
    ):
        page.write(PROMPT)
        page.press("Tab")
        page.tab.locator("#show-taken").click()
        page.tab.locator("#takings button").click()
        page.until("by('status').textContent.includes('--quantize int8')")


@browsing
def test_copy_save_and_open_keep_every_character(browser: Any, server: Running, tmp_path: Path) -> None:
    text = "the cat\n\n😀 \t中文 é </script>\n"
    (tmp_path / "my notes.txt").write_text(text, encoding="utf-8")
    (tmp_path / "raw.bin").write_bytes(b"\xff\xfe\x00")
    with opened(browser, server.port) as page:
        page.write("on ")
        page.tab.locator("#file").set_input_files(tmp_path / "my notes.txt")
        page.until("sheet.value.length > 10")
        assert page.text == text
        page.tab.locator("#copy").click()
        assert page.tab.evaluate("navigator.clipboard.readText()") == text
        with page.tab.expect_download() as started:
            page.press("Control+s")
        assert started.value.suggested_filename == "my notes.txt"
        assert Path(started.value.path()).read_text(encoding="utf-8") == text
        page.tab.locator("#file").set_input_files(tmp_path / "raw.bin")
        page.until("by('status').textContent.includes('not a text in UTF-8')")
        page.press("Control+z")
        assert page.text == "on "


@browsing
def test_the_key_of_a_server_is_asked_for(browser: Any, tiny_run: Path) -> None:
    paths = (runs.find(tiny_run),)
    with (
        serving(*paths, access=Access(key=KEY), page=writing_page()) as server,
        opened(browser, server.port, expects=("401",)) as page,
    ):
        assert page.tab.evaluate("document.activeElement.id") == "key"
        for given in ("wrong" * 5, KEY):
            page.tab.locator("#key").fill(given)
            page.keyboard.press("Enter")
            page.tab.wait_for_load_state("networkidle")
            page.tab.wait_for_timeout(100)
        assert page.tab.locator("#key-entry").is_hidden()
        page.write(PROMPT)
        assert page.gray


@browsing
def test_one_of_several_models_is_chosen(browser: Any, tiny_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "</script><b>" / "c.safetensors"
    other.parent.mkdir(parents=True)
    other.write_bytes(packed(tiny(vocab=Vocabulary.of_text("the cat\n"))))
    with serving(runs.find(tiny_run), other, page=writing_page()) as server, opened(browser, server.port) as page:
        page.write("the cat ")
        first = page.gray
        page.tab.locator("#model").select_option(index=1)
        page.settle()
        assert page.gray != first
        assert page.tab.locator("#model option").nth(1).text_content() == server.app.models.all[1].name


def fulfilled(texts: Callable[[], str]) -> Callable[[Any], None]:
    """Answers requests with a text in place of a model's, in pieces."""

    def answer(route: Any) -> None:
        pieces = [texts()]
        choices = [{"index": i, "text": each, "finish_reason": "stop"} for each in pieces for i in range(3)]
        if '"n":3' not in (route.request.post_data or ""):
            choices = choices[:1]
        lines = [f"data: {json.dumps({'choices': [each]})}\n\n" for each in choices]
        route.fulfill(content_type="text/event-stream", body="".join(lines) + "data: [DONE]\n\n")

    return answer


@browsing
def test_one_request_is_under_way_and_one_continuation_is_taken(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        held: list[Any] = []
        failed: list[Any] = []
        page.tab.on("requestfailed", lambda request: failed.append(request))
        page.tab.route("**/v1/completions", lambda route: held.append(route))
        page.keyboard.type("abcd")
        page.until("asking !== null")
        page.tab.wait_for_timeout(100)
        assert len(failed) == 3
        assert len(held) == 4
        page.keyboard.press("Control+Enter")
        page.keyboard.press("2")
        page.keyboard.press("3")
        page.tab.wait_for_timeout(100)
        assert len(failed) == 4
        fulfilled(lambda: "one")(held[-1])
        page.until("!choosing")
        page.tab.wait_for_timeout(100)
        assert page.text == "abcdone"


@browsing
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_hostile_texts_and_hostile_suggestions_stay_texts(
    browser: Any, server: Running, width: int, scheme: str
) -> None:
    with opened(browser, server.port, width=width, scheme=scheme) as page:
        current = [""]
        page.tab.route("**/v1/completions", fulfilled(lambda: current[0]))
        for text in (*HOSTILE, "\ud800half\udfff", "a\r\nb\rc"):
            current[0] = text
            page.sheet.fill("")
            page.write("~")
            assert not re.search(
                "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066\ud800-\udfff]",
                page.gray.encode("utf-16", "surrogatepass").decode("utf-16"),
            )
            assert "␍" not in page.gray
            page.press("Tab")
            clean = re.sub("[\ud800-\udfff]", "\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
            assert page.text == "~" + clean
            page.press("Control+z")
            assert page.text == "~"
            page.press("Control+y")
            assert page.text == "~" + clean
            page.choose(1)
        page.tab.locator("#show-taken").click()
        assert page.tab.evaluate("document.querySelectorAll('img, iframe, object, base, b, a').length") == 0


@browsing
@pytest.mark.parametrize("of_bytes", [False, True])
def test_a_model_of_any_characters_can_be_written_with(browser: Any, tmp_path: Path, of_bytes: bool) -> None:
    text = "\n".join(HOSTILE).replace("\r", "")
    raw = tuple(sorted(set(text.encode())))
    vocab = Vocabulary(raw, of_bytes=True, is_utf8=True) if of_bytes else Vocabulary.of_text(text)
    path = tmp_path / "c.safetensors"
    path.write_bytes(packed(tiny(vocab=vocab, **{"data.bytes": of_bytes})))
    with serving(path, page=writing_page()) as server, opened(browser, server.port, width=360) as page:
        page.tab.locator("#temperature").fill("1.5")
        page.sheet.focus()
        page.write("😀中")
        for _ in range(5):
            page.press("Tab")
        assert len(page.text) > 50
        page.tab.locator("#surprise").check()
        page.until("view.bands.length > 0")
        assert page.tab.evaluate("nats.length") == len(_units(page.text))
        assert page.tab.evaluate("nats.filter((each) => isNaN(each)).length") < 20


@browsing
def test_screen_readers_hear_the_suggestion_when_the_keys_rest(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.write(PROMPT)
        assert page.tab.locator("#spoken").text_content() == ""
        page.until("by('spoken').textContent !== ''")
        assert page.tab.locator("#spoken").text_content() == "Suggestion: " + page.gray
        assert page.tab.locator("#spoken").get_attribute("aria-live") == "polite"
        assert page.tab.locator("#mirror").get_attribute("aria-hidden") == "true"


@browsing
def test_suggestions_wait_for_a_pause_or_for_tab_if_asked(browser: Any, server: Running) -> None:
    with opened(browser, server.port) as page:
        page.choose_when("tab")
        page.keyboard.type(PROMPT)
        page.tab.wait_for_timeout(100)
        assert page.gray == ""
        page.press("Tab")
        assert page.gray
        page.choose_when("pause")
        page.keyboard.type("a")
        page.tab.wait_for_timeout(100)
        assert page.gray == ""
        page.tab.wait_for_selector(".ghost")


@browsing
def test_a_server_that_has_gone_is_said(browser: Any, tiny_run: Path) -> None:
    with serving(runs.find(tiny_run), page=writing_page()) as server:
        context = opened(browser, server.port, expects=("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_ABORTED"))
        page = context.__enter__()
    page.write("a")
    page.until("by('status').textContent.includes('does not answer')")
    page.keyboard.type("b")
    assert page.text == "ab"
    context.__exit__(None, None, None)


@browsing
def test_the_gray_text_is_there_soon_after_a_key(browser: Any, server: Running, capsys: pytest.CaptureFixture) -> None:
    with opened(browser, server.port) as page:
        page.keyboard.insert_text("the cat sat on a mat and the dog ran over to see it\n" * 80)
        page.settle()
        page.tab.evaluate("""() => {
          window.times = [];
          let began = 0;
          sheet.addEventListener("keydown", () => { began = performance.now(); }, true);
          new MutationObserver(() => {
            if (!view.ghost || !began) return;
            const start = began;
            began = 0;
            requestAnimationFrame(() => {
              const painted = new MessageChannel();
              painted.port1.onmessage = () => times.push(performance.now() - start);
              painted.port2.postMessage(0);
            });
          }).observe(mirror, { childList: true, subtree: true });
        }""")
        for character in "the zebra saw me and nothing else " * 2:
            page.keyboard.type(character)
            time.sleep(0.06)
        times = sorted(page.tab.evaluate("times"))
        assert len(times) > 20
    with capsys.disabled():
        print(  # noqa: T201
            f"\nkey to gray text, {len(times)} keys: median {statistics.median(times):.1f} ms, "
            f"95 % within {times[int(0.95 * len(times))]:.1f} ms, longest {times[-1]:.1f} ms"
        )
