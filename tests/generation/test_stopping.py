"""Where a text ends before its length, however it is cut into chunks."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.generation import stopping
from charnet.generation.detokenizer import Detokenizer
from charnet.generation.stopping import MaxLines, Paragraph, Sentence, StopCriterion, StopStrings

CRITERIA = {
    "sentence": Sentence,
    "paragraph": Paragraph,
    "two lines": lambda: MaxLines(2),
    "before a word": lambda: StopStrings(["ab", "b\n"]),
}
texts = st.text("ab.!。？\r\n \"'」3", max_size=30)


def criteria(**options: object) -> list[StopCriterion]:
    return stopping.stop_criteria(SamplingOptions(**options), Vocabulary.of_text("Ab"))  # type: ignore[arg-type]


def ended(text: str, *stops: StopCriterion, chunks: list[str] | None = None) -> str:
    """The text as far as it is shown, when it comes in these chunks."""
    vocab = Vocabulary.of_text(text + " ")
    detokenizer, shown = Detokenizer(vocab, stops), ""
    for chunk in [text] if chunks is None else chunks:
        if not detokenizer.ended:
            shown += detokenizer.feed(vocab.encode(chunk).tolist()).text
    return shown + detokenizer.finish().text


@pytest.mark.parametrize("name", CRITERIA)
@given(text=texts, cuts=st.sets(st.integers(0, 30)))
def test_where_a_text_ends_does_not_depend_on_its_chunks(name: str, text: str, cuts: set[int]) -> None:
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[a:b] for a, b in itertools.pairwise(bounds)]
    assert ended(text, CRITERIA[name](), chunks=chunks) == ended(text, CRITERIA[name]())


@pytest.mark.parametrize("name", CRITERIA)
@given(text=texts)
def test_what_is_shown_is_the_beginning_of_the_text(name: str, text: str) -> None:
    assert text.startswith(ended(text, CRITERIA[name]()))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("It rains. It pours.", "It rains."),
        ("Pi is 3.14 or so. Yes.", "Pi is 3.14 or so."),
        ('"Is it?" he said.', '"Is it?"'),
        ("(Well!) Then", "(Well!)"),
        ("Wait... What?", "Wait..."),
        ("Wait... what? No.", "Wait... what?"),
        ("He left.\nShe stayed.", "He left."),
        ("下雨了。他走了。", "下雨了。"),
        ("「下雨了。」他走了。", "「下雨了。」"),
        ("真的？！他走了。", "真的？！"),
        ("What?! No.", "What?!"),
        ("no end at all", "no end at all"),
        ("", ""),
    ],
)
def test_a_sentence_ends_with_its_mark_and_what_that_closes(text: str, sentence: str) -> None:
    assert ended(text, Sentence()) == sentence


@pytest.mark.parametrize(
    ("text", "paragraph"),
    [
        ("one\ntwo\n\nthree", "one\ntwo"),
        ("\n\n one\n\ntwo", "\n\n one"),
        ("one\n", "one\n"),
        ("one", "one"),
        ("a\r\nb\r\n\r\nc", "a\r\nb"),
    ],
)
def test_a_paragraph_ends_before_an_empty_line(text: str, paragraph: str) -> None:
    assert ended(text, Paragraph()) == paragraph


@pytest.mark.parametrize(("count", "lines"), [(1, "a"), (2, "a\nb"), (3, "a\nb\n"), (9, "a\nb\n\nc")])
def test_a_number_of_lines_is_shown(count: int, lines: str) -> None:
    assert ended("a\nb\n\nc", MaxLines(count)) == lines


def test_lines_with_the_ends_of_windows_are_lines() -> None:
    assert ended("a\r\nb\r\nc", MaxLines(2)) == "a\r\nb"


@pytest.mark.parametrize(("options", "shown"), [({"max_lines": 2}, "a\rb"), ({"until": "paragraph"}, "a\rb")])
def test_a_carriage_return_ends_a_line_in_an_alphabet_without_line_feeds(options: Any, shown: str) -> None:
    assert ended("a\rb\r\rc", *stopping.stop_criteria(SamplingOptions(**options), Vocabulary.of_text("abc\r"))) == shown


@pytest.mark.parametrize(
    ("unit", "text", "beyond"), [("sentence", "So it. A", 2), ("line", "A b\n", 1), ("paragraph", "A b\n\n", 2)]
)
def test_an_end_is_known_with_the_character_that_shows_it_and_not_before(unit: str, text: str, beyond: int) -> None:
    (criterion,) = criteria(until=unit)
    assert [criterion.push(character) for character in text] == [False] * (len(text) - 1) + [True]
    assert criterion.held_back == beyond


def test_of_several_criteria_the_first_that_is_met_ends_the_text() -> None:
    assert ended("a bc. C\nd", *criteria(stop=["\nd"], max_lines=1, until="sentence")) == "a bc."
    assert ended("a b\nbc. D", *criteria(stop=["c."], max_lines=1, until="sentence")) == "a b"
    assert ended("a b\nc. D", *criteria(stop=["b\nc"], max_lines=2, until="sentence")) == "a "


def test_what_one_criterion_held_back_is_shown_when_another_ends_the_text() -> None:
    assert ended("one. Two", *criteria(stop=["e. x"], max_lines=0, until="sentence")) == "one."


@given(text=texts)
def test_nothing_is_held_back_for_longer_than_an_end_may_take(text: str) -> None:
    for make in CRITERIA.values():
        criterion = make()
        for count, character in enumerate(text, 1):
            if criterion.push(character):
                break
            assert 0 <= criterion.held_back <= count


@given(
    text=st.text("ab\n", max_size=30), stops=st.lists(st.text("ab\n", min_size=1, max_size=6), min_size=1, max_size=3)
)
def test_a_stop_text_holds_back_its_longest_beginning_until_it_is_complete(text: str, stops: list[str]) -> None:
    criterion = StopStrings(stops)
    for end in range(1, len(text) + 1):
        complete = [len(stop) for stop in stops if text[:end].endswith(stop)]
        begun = [n for stop in stops for n in range(len(stop)) if text[:end].endswith(stop[:n])]
        assert criterion.push(text[end - 1]) == bool(complete)
        assert criterion.held_back == max(complete or begun)


@pytest.mark.parametrize("stop", ["a" * 3000 + "b", "ab" * 1500, "b" * 3000])
def test_a_symbol_costs_the_same_however_long_a_stop_text_is(stop: str) -> None:
    lines = 0

    def count(*_: Any) -> Any:
        nonlocal lines
        lines += 1
        return count

    criterion, before = StopStrings([stop]), sys.gettrace()
    sys.settrace(count)
    try:
        for symbol in "a" * 500 + "ab" * 250:
            criterion.push(symbol)
    finally:
        sys.settrace(before)
    assert lines < 1000 * 30
