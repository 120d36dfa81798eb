"""Where a text ends before its length, however it is cut into pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnet import endings

ENDINGS = {
    "sentence": endings.first_sentence,
    "paragraph": endings.first_paragraph,
    "two lines": lambda pieces: endings.first_lines(2, pieces),
    "before a word": lambda pieces: endings.before(["ab", "b\n"], pieces),
}
texts = st.text("ab.!。？\r\n \"'」3", max_size=30)


@pytest.mark.parametrize("name", ENDINGS)
@given(text=texts, cuts=st.sets(st.integers(0, 30)))
def test_where_a_text_ends_does_not_depend_on_its_pieces(name: str, text: str, cuts: set[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    assert "".join(ENDINGS[name](pieces)) == "".join(ENDINGS[name]([text]))


@pytest.mark.parametrize("name", ENDINGS)
@given(text=texts)
def test_what_is_written_is_the_beginning_of_the_text(name: str, text: str) -> None:
    assert text.startswith("".join(ENDINGS[name](text)))


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
    assert "".join(endings.first_sentence(text)) == sentence


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
    assert "".join(endings.first_paragraph(text)) == paragraph


@pytest.mark.parametrize(("count", "lines"), [(1, "a"), (2, "a\nb"), (3, "a\nb\n"), (9, "a\nb\n\nc"), (0, "a\nb\n\nc")])
def test_so_many_lines_are_written(count: int, lines: str) -> None:
    assert "".join(endings.first_lines(count, "a\nb\n\nc")) == lines


def test_lines_with_the_ends_of_windows_are_lines() -> None:
    assert "".join(endings.first_lines(2, "a\r\nb\r\nc")) == "a\r\nb"


@pytest.mark.parametrize(("unit", "text"), [("sentence", "A b. "), ("line", "A b\n"), ("paragraph", "A b\n\n")])
def test_nothing_beyond_the_end_is_asked_for(unit: str, text: str) -> None:
    def pieces():  # type: ignore[no-untyped-def]
        yield from text
        raise AssertionError("asked for more than it needed")

    assert "".join(endings.until(unit, pieces())) == text.rstrip()
