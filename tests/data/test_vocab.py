"""Characters and ids: round trips, what is unknown, and text one id at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.data.utf8 import Utf8Guard
from charnet.data.vocab import RARE, RARE_BYTE, Vocabulary, code_points
from charnet.errors import PromptError

ALL_BYTES = Vocabulary(tuple(range(256)), of_bytes=True)
real_text = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)

# ------------------------------------------------------------------------------------------------ round trips


@given(real_text)
@settings(deadline=None)
def test_any_text_comes_back_from_its_ids(text: str) -> None:
    vocab = Vocabulary.of_text(text)
    assert vocab.decode(vocab.encode(text).tolist()) == text


@given(real_text)
@settings(deadline=None)
def test_the_ids_of_a_text_are_all_the_ids_of_its_alphabet(text: str) -> None:
    vocab = Vocabulary.of_text(text)
    assert set(vocab.encode(text).tolist()) == set(range(len(vocab)))


def test_a_character_beyond_the_first_plane_is_one_id() -> None:
    vocab = Vocabulary.of_text("a😀\U0010ffff")
    assert vocab.encode("😀a\U0010ffff").tolist() == [1, 0, 2]


def test_a_letter_and_its_accent_are_two_characters_where_the_text_has_two() -> None:
    assert len(Vocabulary.of_text("e\u0301")) == 2
    assert len(Vocabulary.of_text("\u00e9")) == 1


@given(st.binary())
@settings(deadline=None)
def test_any_bytes_come_back_from_their_ids(raw: bytes) -> None:
    text = ALL_BYTES.decode(list(raw))
    assert text.encode("utf-8", "surrogateescape") == raw


@given(st.binary(min_size=1))
@settings(deadline=None)
def test_any_bytes_are_encoded_as_the_ranks_of_their_values(raw: bytes) -> None:
    vocab = Vocabulary(tuple(sorted(set(raw))), of_bytes=True)
    ids = vocab.encode(raw.decode("utf-8", "surrogateescape"))
    assert bytes(vocab.symbols[i] for i in ids) == raw


def test_the_byte_ff_can_be_looked_up() -> None:
    codes = np.array([0xFF, 0x00], dtype=np.uint8)
    assert ALL_BYTES.lookup(codes).tolist() == [255, 0]


def test_an_empty_text_has_no_ids() -> None:
    assert Vocabulary.of_text("a").encode("").tolist() == []
    assert Vocabulary.of_text("a").decode([]) == ""


def test_ids_follow_the_order_of_code_points() -> None:
    assert Vocabulary.of_text("zb a\n").encode("\n abz").tolist() == [0, 1, 2, 3, 4]


def test_lookup_keeps_the_shape() -> None:
    codes = code_points("abcabx").reshape(2, 3)
    assert Vocabulary.of_text("abc").lookup(codes).tolist() == [[0, 1, 2], [0, 1, -1]]


def test_the_largest_code_point_is_unknown_to_a_small_alphabet() -> None:
    assert Vocabulary.of_text("a").lookup(code_points("\U0010ffff\0")).tolist() == [-1, -1]


def test_equal_alphabets_are_equal_values() -> None:
    assert Vocabulary.of_text("abc") == Vocabulary.of_text("cabbac")
    assert Vocabulary((1, 2)) != Vocabulary((1, 2), of_bytes=True)


# ------------------------------------------------------------------------------------------- one id at a time


@given(st.lists(st.integers(0, 255)))
@settings(deadline=None)
def test_bytes_one_by_one_give_the_text_of_all_at_once(ids: list[int]) -> None:
    decoder = ALL_BYTES.decoder()
    assert "".join(map(decoder.push, ids)) + decoder.finish() == ALL_BYTES.decode(ids)


@given(real_text)
@settings(deadline=None)
def test_characters_one_by_one_give_the_text_of_all_at_once(text: str) -> None:
    vocab = Vocabulary.of_text(text)
    decoder = vocab.decoder()
    assert [decoder.push(i) for i in vocab.encode(text).tolist()] == list(text)
    assert decoder.finish() == ""


def test_the_bytes_of_a_character_are_held_back_until_it_is_whole() -> None:
    decoder = ALL_BYTES.decoder()
    assert [decoder.push(b) for b in "é€😀".encode()] == ["", "é", "", "", "€", "", "", "", "😀"]


def test_a_character_cut_in_two_at_the_end_comes_out_as_its_bytes() -> None:
    decoder = ALL_BYTES.decoder()
    held = "".join(decoder.push(b) for b in "€".encode()[:2])
    assert (held + decoder.finish()).encode("utf-8", "surrogateescape") == b"\xe2\x82"


def test_a_decoder_does_not_share_what_it_holds_back_with_another() -> None:
    one, other = ALL_BYTES.decoder(), ALL_BYTES.decoder()
    one.push(0xC3)
    assert other.push(0x61) == "a"
    assert one.push(0xA9) == "é"


# -------------------------------------------------------------------------------------------- invalid alphabets


@pytest.mark.parametrize(
    ("symbols", "of_bytes"),
    [
        ((), False),
        ((), True),
        ((2, 1), False),
        ((1, 1), False),
        ((-1, 5), False),
        ((0x110000,), False),
        ((65, 0x110001), False),
        ((2**40,), False),
        ((0xD800,), False),
        ((65, 0xDFFF), False),
        ((256,), True),
        ((-1,), True),
        ((0, 300), True),
        ((5, 5), True),
    ],
)
def test_symbols_that_are_no_alphabet_are_refused(symbols: tuple[int, ...], of_bytes: bool) -> None:
    with pytest.raises(ValueError, match=r"symbol|alphabet|surrogate"):
        Vocabulary(symbols, of_bytes)


def test_the_code_points_beside_the_surrogates_are_characters() -> None:
    assert len(Vocabulary((0xD7FF, 0xE000))) == 2


def test_a_text_with_a_lone_surrogate_has_no_alphabet() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        Vocabulary.of_text("a\ud800")


# ------------------------------------------------------------------------------------------ unknown characters


def test_the_error_names_character_code_point_position_and_nearest() -> None:
    with pytest.raises(PromptError) as caught:
        Vocabulary.of_text("abcdefg E").encode("bad é")
    message = str(caught.value)
    assert "'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE)" in message
    assert "position 5 " in message
    assert "the nearest it knows: 'e', 'E' (" in message


def test_the_position_counts_characters_not_utf16_units_or_bytes() -> None:
    with pytest.raises(PromptError, match="position 3 "):
        Vocabulary.of_text("😀é").encode("😀éx")


def test_the_first_of_several_unknown_characters_is_named() -> None:
    with pytest.raises(PromptError, match=r"'x' \(U\+0078 .* position 2 "):
        Vocabulary.of_text("a").encode("axy")


@pytest.mark.parametrize("strange", ["\n", "\x1b", "\x00", "\x7f", "\x85", "\u2028", "\u202e", "\ud800"])
def test_an_unknown_character_that_cannot_be_printed_is_named_harmlessly(strange: str) -> None:
    with pytest.raises(PromptError) as caught:
        Vocabulary.of_text("abc").encode("a" + strange)
    assert str(caught.value).isprintable()
    assert f"U+{ord(strange):04X}" in str(caught.value)


def test_an_unknown_byte_is_named_by_its_value() -> None:
    with pytest.raises(PromptError, match=r"byte 0x62, at position 2 of the prompt \("):
        Vocabulary((0x61, 0x64), of_bytes=True).encode("ab")


@pytest.mark.parametrize("text", ["\ud800", "a\udbff"])
def test_a_text_that_has_no_bytes_is_a_bad_prompt_for_a_model_of_bytes(text: str) -> None:
    with pytest.raises(PromptError):
        ALL_BYTES.encode(text)


@given(st.text(), st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5))
@settings(deadline=None)
def test_any_text_is_encoded_or_refused_as_a_prompt(text: str, alphabet: str) -> None:
    vocab = Vocabulary.of_text(alphabet)
    try:
        assert vocab.decode(vocab.encode(text).tolist()) == text
    except PromptError:
        assert set(text) - set(alphabet)


@pytest.mark.parametrize(("wanted", "best"), [("É", "'e'"), ("A", "'a'"), ("ﬁ", "'f'"), ("，", "','"), ("國", "'国'")])
def test_the_nearest_is_the_base_letter_or_the_other_case(wanted: str, best: str) -> None:
    nearest = Vocabulary.of_text("aefsz, 国\n").nearest(ord(wanted))
    assert nearest[0] == best


@pytest.mark.parametrize(("wanted", "best"), [("“", "'\"'"), ("»", "'\"'"), ("–", "'-'")])
def test_the_nearest_to_a_mark_of_print_is_that_of_typewriters(wanted: str, best: str) -> None:
    assert Vocabulary.of_text('az"- \n').nearest(ord(wanted))[0] == best


@pytest.mark.parametrize("wanted", "b7!中я😀")
def test_what_the_alphabet_has_in_no_form_has_no_nearest(wanted: str) -> None:
    vocab = Vocabulary.of_text("a. 国文\n")
    assert vocab.nearest(ord(wanted)) == []
    with pytest.raises(PromptError, match=r"of the prompt \(change the prompt"):
        vocab.encode(wanted)


def test_a_letter_known_only_with_an_accent_is_the_nearest() -> None:
    assert Vocabulary.of_text("xéÈ").nearest(ord("e")) == ["'È'", "'é'"]


@given(real_text, st.text())
@settings(deadline=None)
def test_known_and_unknown_characters_add_up(alphabet: str, text: str) -> None:
    vocab = Vocabulary.of_text(alphabet)
    ids, unknown = vocab.encode_known(text)
    assert vocab.decode(ids.tolist()) == "".join(c for c in text if c in alphabet)
    assert len(ids) + unknown == len(text)


# -------------------------------------------------------------------------------------------------- the start


@pytest.mark.parametrize(("text", "start"), [("b\na ", "\n"), ("ba c", " "), ("cba", "a"), ("\tx", "\t")])
def test_a_text_without_a_prompt_follows_on_from_a_line_end_or_a_space(text: str, start: str) -> None:
    vocab = Vocabulary.of_text(text)
    assert vocab.decode([vocab.start_id()]) == start


def test_a_model_of_bytes_starts_after_a_line_end_too() -> None:
    assert ALL_BYTES.start_id() == 0x0A
    assert Vocabulary((0x00, 0x20), of_bytes=True).start_id() == 1


# ------------------------------------------------------------------------------------------------ bytes that are UTF-8


def drawn(guard: Utf8Guard, length: int, seed: int, before: tuple[int, ...] = ()) -> list[int]:
    """Ids, any of those that the guard allows."""
    random, ids = np.random.default_rng(seed), list(before)
    for left in range(length, 0, -1):
        ids.append(int(random.choice(np.flatnonzero(~guard.forbidden(ids[-3:], left)))))
    return ids[len(before) :]


@given(st.integers(0, 60), st.integers(0, 2**32))
@settings(deadline=None)
def test_whatever_is_drawn_of_the_bytes_that_are_allowed_is_utf8(length: int, seed: int) -> None:
    raw = bytes(drawn(Utf8Guard(ALL_BYTES), length, seed))
    assert len(raw.decode().encode()) == length


@given(real_text, st.integers(0, 60), st.integers(0, 2**32))
@settings(deadline=None)
def test_in_the_alphabet_of_any_text_there_is_always_a_byte_that_is_allowed(text: str, length: int, seed: int) -> None:
    vocab = Vocabulary(tuple(sorted(set(f"{text}\n".encode()))), of_bytes=True)
    raw = bytes(vocab.symbols[i] for i in drawn(Utf8Guard(vocab), length, seed))
    assert len(raw.decode().encode()) == length


@given(real_text)
@settings(deadline=None)
def test_nothing_that_is_utf8_is_forbidden(text: str) -> None:
    guard, raw = Utf8Guard(ALL_BYTES), text.encode()
    for place, byte in enumerate(raw):
        assert not guard.forbidden(list(raw[max(0, place - 3) : place]), len(raw) - place)[byte]


def test_where_no_character_is_short_enough_the_last_is_broken_off() -> None:
    vocab = Vocabulary(tuple(sorted("字".encode())), of_bytes=True)
    raw = bytes(vocab.symbols[i] for i in drawn(Utf8Guard(vocab), 5, 1))
    assert raw.startswith("字".encode()[:1])
    assert len(raw.decode(errors="ignore")) == 1


@pytest.mark.parametrize("before", [(2,), (0, 2), (2, 2)])
def test_after_a_byte_that_is_in_no_utf8_a_character_begins(before: tuple[int, ...]) -> None:
    vocab = Vocabulary((0x61, 0xA9, RARE_BYTE), of_bytes=True)
    assert drawn(Utf8Guard(vocab), 9, 1, before) == [0] * 9


def test_what_stands_for_all_rare_characters_has_a_name_of_its_own() -> None:
    assert (
        Vocabulary((0x61, RARE)).name(RARE)
        == Vocabulary((0x61, RARE_BYTE), of_bytes=True).name(RARE_BYTE)
        == "a rare character"
    )
