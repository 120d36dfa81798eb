"""Where a text ends before its length, however it is cut into pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnet.data.vocab import Vocabulary
from charnet.generation import stopping
from charnet.generation.detokenizer import Detokenizer
from charnet.generation.stopping import MaxLines, Paragraph, Sentence, StopCriterion, StopStrings

ENDINGS = {
    "sentence": Sentence,
    "paragraph": Paragraph,
    "two lines": lambda: MaxLines(2),
    "before a word": lambda: StopStrings(["ab", "b\n"]),
}
texts = st.text("ab.!。？\r\n \"'」3", max_size=30)


def ended(text: str, *ends: StopCriterion, pieces: list[str] | None = None) -> str:
    """The text as far as it is shown, when it comes in these pieces."""
    vocab = Vocabulary.of_text(text + " ")
    transcript, shown = Detokenizer(vocab, ends), ""
    for piece in [text] if pieces is None else pieces:
        if not transcript.ended:
            shown += transcript.take(vocab.encode(piece).tolist()).text
    return shown + transcript.finish().text


@pytest.mark.parametrize("name", ENDINGS)
@given(text=texts, cuts=st.sets(st.integers(0, 30)))
def test_where_a_text_ends_does_not_depend_on_its_pieces(name: str, text: str, cuts: set[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    assert ended(text, ENDINGS[name](), pieces=pieces) == ended(text, ENDINGS[name]())


@pytest.mark.parametrize("name", ENDINGS)
@given(text=texts)
def test_what_is_written_is_the_beginning_of_the_text(name: str, text: str) -> None:
    assert text.startswith(ended(text, ENDINGS[name]()))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("It rains. It pours.", "It rains."),
        ("Pi is 3.14 or so. Yes.", "Pi is 3.14 or so."),
        ('"Is it?" he said.', '"Is it?"'),
        ("(Well!) Then", "(Well!)"),
        ("Wait... what?", "Wait..."),
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
def test_so_many_lines_are_written(count: int, lines: str) -> None:
    assert ended("a\nb\n\nc", MaxLines(count)) == lines


def test_lines_with_the_ends_of_windows_are_lines() -> None:
    assert ended("a\r\nb\r\nc", MaxLines(2)) == "a\r\nb"


@pytest.mark.parametrize(("unit", "text"), [("sentence", "A b. "), ("line", "A b\n"), ("paragraph", "A b\n\n")])
def test_an_end_is_known_with_its_last_character_and_not_before(unit: str, text: str) -> None:
    (ending,) = stopping.stop_criteria(until=unit)
    assert [ending.push(character) for character in text] == [False] * (len(text) - 1) + [True]
    assert ending.held_back == len(text) - len(text.rstrip())


def test_of_several_endings_the_first_to_come_counts() -> None:
    assert ended("a b. c\nd", *stopping.stop_criteria(["\nd"], 1, "sentence")) == "a b."
    assert ended("a b\nc. d", *stopping.stop_criteria(["c."], 1, "sentence")) == "a b"
    assert ended("a b\nc. d", *stopping.stop_criteria(["b\nc"], 2, "sentence")) == "a "


def test_what_one_ending_held_back_is_written_when_another_ends_the_text() -> None:
    assert ended("one. two", *stopping.stop_criteria(["e. x"], 0, "sentence")) == "one."


@given(text=texts)
def test_nothing_is_held_back_for_longer_than_an_end_may_take(text: str) -> None:
    for make in ENDINGS.values():
        ending = make()
        for count, character in enumerate(text, 1):
            if ending.push(character):
                break
            assert 0 <= ending.held_back <= count
