"""Texts in shape: the same whole as in pieces, in prompts as in what was learned."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.config import DataSettings
from charnet.data import normalize as module
from charnet.data.normalize import count_changed, normal_form, normalize, normalize_stream, note_changed
from charnet.data.segment import segment

# What changes, or is changed by, what stands beside it.
TRICKY = "Iİ\u0307'.T\u0308Σaé\u0301\u0323\r\n\r \u1100\u1161\u11a8가ﾞｶがΣσİßﬁ①\u0344\u0958\u09be\u09c7K"
texts = st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=("Cs",))), max_size=30)
shapes = st.builds(
    DataSettings,
    newlines=st.sampled_from(("keep", "lf")),
    normalize=st.sampled_from(("none", "nfc", "nfkc")),
    lowercase=st.booleans(),
)


def whole_is_pieces(pieces: list[str], data: DataSettings) -> None:
    assert "".join(normalize_stream(pieces, data)) == normalize("".join(pieces), data)


@given(st.lists(texts, max_size=8), shapes)
@settings(max_examples=100, deadline=None)
def test_a_text_is_shaped_alike_wherever_it_is_cut(pieces: list[str], data: DataSettings) -> None:
    whole_is_pieces(pieces, data)


@pytest.mark.slow
@given(st.lists(texts, max_size=12), shapes)
@settings(max_examples=10_000, deadline=None)
def test_ten_thousand_texts_are_shaped_alike_wherever_they_are_cut(pieces: list[str], data: DataSettings) -> None:
    whole_is_pieces(pieces, data)


@given(texts)
@settings(max_examples=30, deadline=None)
def test_text_is_as_it_is_unless_a_shape_is_asked_for(text: str) -> None:
    assert normalize(text, DataSettings()) == text == "".join(segment([text], DataSettings(), {}))


@pytest.mark.parametrize("form", ["nfc", "nfkc"])
def test_a_normal_form_is_that_of_unicode(form: str) -> None:
    assert normalize(TRICKY, DataSettings(normalize=form)) == unicodedata.normalize(form.upper(), TRICKY)


def test_all_line_ends_become_one_character() -> None:
    assert normalize("a\r\nb\rc\n\r\n", DataSettings(newlines="lf")) == "a\nb\nc\n\n"


@given(st.lists(st.text("ab\r\n", max_size=6), max_size=6))
def test_lines_are_documents_each_with_its_end_and_none_empty(pieces: list[str]) -> None:
    data = DataSettings(lines=True)
    found = "".join(segment(pieces, data, {}))
    assert found == "".join(line + "\n" for line in "".join(pieces).replace("\r", "\n").split("\n") if line)


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("ΟΔΥΣΣΕΥΣ ΚΑΙ ΣΑΣ.", "οδυσσευς και σας."),
        ("ΣΟΦΟΣ’Α Σ", "σοφοσ’α σ"),  # an apostrophe ends no word
        ("İSTANBUL I\u0307", "istanbul i"),
    ],
)
@pytest.mark.parametrize("form", ["none", "nfc", "nfkc"])
def test_lower_case_is_that_of_unicode_without_a_dot_on_i(text: str, small: str, form: str) -> None:
    for pieces in ([text], list(text)):
        assert "".join(normalize_stream(pieces, DataSettings(lowercase=True, normalize=form))) == small


def test_small_letters_are_composed_where_their_capitals_are_not() -> None:
    assert normalize("T\u0308", DataSettings(lowercase=True, normalize="nfc")) == "\u1e97"


@pytest.mark.parametrize("letters", ["ำ", "և", "ㄱㅋ", "ຳ"])
def test_it_is_said_which_letters_of_a_language_nfkc_changes(letters: str) -> None:
    changed: dict[str, int] = {}
    text = f"ﬁ ½ Ａ µ ｶ {letters}"
    assert "".join(count_changed([text, letters], changed)) == text + letters
    assert changed == dict.fromkeys(letters, 2)
    (note,) = note_changed([changed, {}])
    assert all(f"{letter} (U+{ord(letter):04X} " in note for letter in letters)
    assert note_changed([{}]) == []


def test_a_run_of_marks_is_put_in_order_in_pieces_that_do_not_depend_on_where_the_text_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks = "\u0323\u0301" * 20
    text = "x" * 23 + marks + "é" * 9 + "e" + marks[:7] + "b"
    usual = unicodedata.normalize("NFC", text)
    assert normal_form("NFC", text) == usual
    monkeypatch.setattr(module, "LONGEST_RUN", 8)
    pieces = list(module._cuts(text))
    assert pieces == [23 + 8, 23 + 16, 23 + 24, 23 + 32]
    cut = normal_form("NFC", text)
    assert cut != usual
    assert sorted(cut) == sorted(usual)
    data = DataSettings(normalize="nfc")
    assert {"".join(normalize_stream([text[:i], text[i:]], data)) for i in range(len(text))} == {cut}
