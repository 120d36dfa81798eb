"""The page as its reader has it: keys, buttons, colors, narrow windows, and a text that it restores."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import tiny
from chromium import chromium, opened
from exported_pages import MODELS, file_of, text_of_the_command
from test_browser import LOWEST_CONTRAST
from test_engines import build, with_ngram

from charnet.compression import symbols
from charnet.compression.compress import Compressor
from charnet.data.vocab import Vocabulary
from charnet.engines.registry import open_engine
from charnet.storage import receipt as receipt_file
from charnet.storage.checkpoint import Checkpoint

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def test_a_number_out_of_range_is_refused_with_the_real_bounds(browser: Any, tmp_path: Path) -> None:
    checkpoint = with_ngram(build())
    expected = text_of_the_command(checkpoint, open_engine(checkpoint.quantize()), "", length=9, seed=2**70)
    with opened(browser, file_of(checkpoint, tmp_path)) as tab:
        tab.fill("#seed", "-1")
        tab.evaluate("writeText()")
        tab.wait_for_selector("#status.wrong")
        assert tab.inner_text("#status") == "Seed: expected a number from 0 to 9,007,199,254,740,991."
        assert tab.evaluate("window.charnet.write({ length: 9, seed: 2n ** 70n })") == expected


def test_the_page_of_a_chinese_model_speaks_chinese(browser: Any, tmp_path: Path) -> None:
    path = file_of(tiny(vocab=Vocabulary.of_text("春眠不觉晓处处闻啼鸟\n")), tmp_path)
    with opened(browser, path) as tab:
        tab.fill("#prompt", "春x")
        tab.wait_for_function("() => document.getElementById('prompt-note').textContent === '模型不认识“x”，已略去。'")
        tab.fill("#length", "300")
        tab.click("#write")
        tab.wait_for_selector("#receipt:enabled")
        assert re.match(r"300 字，用时 [\d.]+ 秒", tab.inner_text("#status"))
        assert "换行" in tab.inner_text("#bars")
        assert tab.evaluate("document.documentElement.lang + document.getElementById('text').lang") == "zhzh"


def test_somebody_writes_with_the_page(browser: Any, tmp_path: Path) -> None:
    path = file_of(checkpoint := with_ngram(build()), tmp_path)
    expected = text_of_the_command(checkpoint, open_engine(checkpoint.quantize()), "bad", length=300, seed=5)
    with opened(browser, path) as tab:
        tab.fill("#prompt", "baé")
        tab.wait_for_function("() => document.getElementById('prompt-note').textContent.includes('é')")
        tab.fill("#prompt", "ba")
        tab.wait_for_function("() => document.getElementById('prompt-note').textContent === ''")
        tab.wait_for_selector("#bars button[aria-label^='d, ']")
        tab.click("#bars button[aria-label^='d, ']")
        assert tab.input_value("#prompt") == "bad"
        tab.fill("#length", "300")
        tab.fill("#seed", "5")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#receipt:enabled")
        assert tab.inner_text("#text") == expected
        assert re.fullmatch(r"300 characters in [\d.]+ s, [\d,]+ a second by WebAssembly", tab.inner_text("#status"))
        tab.check("#surprise")
        of_one = "(e) => [getComputedStyle(e).backgroundColor, getComputedStyle(e).boxShadow].join()"
        looks = f"Array.from(document.querySelectorAll('#text span, #key span'), {of_one})"
        assert len(set(tab.evaluate(looks))) == 3
        with tab.expect_download() as download:
            tab.click("#receipt")
        found = receipt_file.parse(Path("receipt.json"), Path(download.value.path()).read_text())
        assert (found.prompt, found.options.seed, found.options.length) == ("bad", 5, 300)
        tab.fill("#prompt", "")
        with tab.expect_file_chooser() as chooser:
            tab.click("#open")
        chooser.value.set_files(download.value.path())
        tab.wait_for_function("() => document.getElementById('status').textContent.includes('equal, to the byte')")
        assert tab.inner_text("#text") == expected
        tab.click("#go-on")
        assert tab.input_value("#prompt") == expected


def test_a_text_can_be_stopped_and_has_a_receipt_even_so(browser: Any, tmp_path: Path) -> None:
    with opened(browser, file_of(build(), tmp_path)) as tab:
        tab.fill("#length", "1000000")
        tab.click("#write")
        tab.wait_for_function("() => document.getElementById('text').textContent.length > 500")
        tab.click("#end")
        tab.wait_for_selector("#receipt:enabled")
        assert tab.inner_text("#status").startswith("Stopped: ")
        with tab.expect_download() as download:
            tab.click("#receipt")
        found = receipt_file.parse(Path("receipt.json"), Path(download.value.path()).read_text())
        assert found.options.length == len(tab.inner_text("#text")) == found.texts[0].bytes < 1_000_000


def test_a_receipt_is_not_called_wrong_because_the_reader_stops(browser: Any, tmp_path: Path) -> None:
    with opened(browser, file_of(build(), tmp_path)) as tab:
        text = tab.evaluate("charnet.write({ length: 9 })")
        long = "(text) => receiptOf({ prompt: '', options: completed({ length: 1e8 }), text })"
        (tmp_path / "receipt.json").write_text(tab.evaluate(long, text))
        with tab.expect_file_chooser() as chooser:
            tab.click("#open")
        chooser.value.set_files(tmp_path / "receipt.json")
        tab.wait_for_function("() => document.getElementById('text').textContent.length > 100")
        tab.click("#end")
        tab.wait_for_selector("#write:enabled")
        assert tab.inner_text("#status") == "Stopped: the receipt is not verified."


def test_what_is_wrong_is_said_where_the_reader_looks(browser: Any, tmp_path: Path) -> None:
    with opened(browser, file_of(build(), tmp_path)) as tab:
        tab.fill("#stop", "z")
        tab.click("#write")
        tab.wait_for_selector("#status.wrong")
        assert "does not know “z”" in tab.inner_text("#status")
        assert tab.is_disabled("#receipt")
        tab.fill("#stop", "")
        tab.click("#write")
        tab.wait_for_selector("#receipt:enabled")
        assert tab.query_selector("#status.wrong") is None


UNNAMED = """Array.from(document.querySelectorAll("input, textarea, button"))
  .filter((e) => !e.labels?.length && !e.textContent && !e.getAttribute("aria-label")).map((e) => e.id)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_its_window_and_can_be_read(width: int, scheme: str, browser: Any, tmp_path: Path) -> None:
    checkpoint = with_ngram(build(members=2))
    corpus = dataclasses.replace(checkpoint.corpus, name="a_very_long_name_of_a_text_" * 4)
    path = file_of(dataclasses.replace(checkpoint, corpus=corpus), tmp_path)
    with opened(browser, path, width=width, scheme=scheme) as tab:
        tab.check("#surprise")
        tab.click("summary")
        tab.click("#write")
        tab.wait_for_selector("#receipt:enabled")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        lowest, text, texts_seen = tab.evaluate(LOWEST_CONTRAST)
        assert lowest >= 4.5, text
        assert texts_seen > 40
        assert tab.evaluate(UNNAMED) == []


def compressed(raw: bytes, model: Checkpoint, folder: Path) -> Path:
    (folder / "story.cnz").write_bytes(b"".join(Compressor(model).compress(BytesIO(raw).read)))
    return folder / "story.cnz"


STORIES = {
    "many streams": ("ab é😀\n" * 4000 + "ж" * 9).encode(),
    "line ends of two characters": "a b\r\né a\r\n".encode() * 300,
    "no UTF-8": b"a\xff\xfe b" * 200,
    "UTF-16": "a b 😀 é".encode("utf-16-le") * 200,
    "nothing": b"",
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("name", ["lstm", "of lines", "of bytes", "an n-gram", "with a rare character"])
def test_a_compressed_text_comes_back_in_the_page(name: str, story: str, browser: Any, tmp_path: Path) -> None:
    checkpoint = MODELS[name]() if name in MODELS else tiny()
    path = file_of(checkpoint, tmp_path, compressed=compressed(STORIES[story], checkpoint, tmp_path))
    with opened(browser, path) as tab:
        found = tab.evaluate("charnet.restored().then((raw) => Array.from(raw))")
        assert bytes(found) == STORIES[story]
        assert f"{len(found):,} bytes" in tab.inner_text("#restored-status")
        with tab.expect_download() as download:
            tab.click("#save-restored")
        assert Path(download.value.path()).read_bytes() == STORIES[story]
        assert download.value.suggested_filename == "story"


DAMAGED = """() => {
  stored.compressed = stored.compressed.replace(/.{40}$/, "A".repeat(40));
  return decompress().then(() => "", (error) => error.message);
}"""


def test_a_text_of_many_blocks_comes_back_and_damage_is_told(browser: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(symbols, "BLOCK", 900)
    raw = "".join(f"ab é {chr(0x4E00 + i)}\n" for i in range(600)).encode()
    with opened(browser, file_of(tiny(), tmp_path, compressed=compressed(raw, tiny(), tmp_path))) as tab:
        assert bytes(tab.evaluate("charnet.restored().then((raw) => Array.from(raw))")) == raw
        shown = tab.evaluate("document.getElementById('restored-text').textContent")
        assert shown == raw.decode()
        assert tab.evaluate(DAMAGED)
