"""Prompts as people have them: their encoding, normal form, width and last line end."""

from __future__ import annotations

import unicodedata

import pytest

from charnet.config import DataSettings
from charnet.data.prompts import decode, fit, read, read_turn
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, PromptError


def test_a_prompt_that_the_alphabet_has_stays_as_it_is() -> None:
    for text in ("", "café", "cafe\u0301"):
        assert fit(text, Vocabulary.of_text("a" + text)) == (text, [])


@pytest.mark.parametrize(("known", "form"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_prompt_in_another_normal_form_gets_that_of_the_alphabet(known: str, form: str) -> None:
    text = "Un café à Hà Nội"
    vocab = Vocabulary.of_text(unicodedata.normalize(known, text))  # type: ignore[arg-type]
    fitted, notes = fit(unicodedata.normalize(form, text), vocab)  # type: ignore[arg-type]
    assert fitted == unicodedata.normalize(known, text)  # type: ignore[arg-type]
    assert f"({known})" in notes[0]


@pytest.mark.parametrize(
    ("prompt", "known", "fitted"),
    [("好,行!", "好，行！", "好，行！"), ("７月", "7月", "7月"), ("ｱ", "ア", "ア"), ("a b", "a\u3000b", "a\u3000b")],
)
def test_punctuation_and_digits_get_the_width_of_the_alphabet(prompt: str, known: str, fitted: str) -> None:
    text, notes = fit(prompt, Vocabulary.of_text(known))
    assert text == fitted
    assert notes[0].startswith("read in the alphabet's width: ")


def test_what_has_no_other_form_stays_and_is_refused_later() -> None:
    assert fit("ж", Vocabulary.of_text("abc")) == ("ж", [])


def test_bytes_that_the_alphabet_lacks_stay_and_are_refused_or_left_out_later() -> None:
    vocab = Vocabulary(tuple(b"abc"), of_bytes=True, is_utf8=True)
    assert fit("ab\u00e9", vocab) == ("ab\u00e9", [])
    text, ids, notes = read("a\U0001f600b", vocab, DataSettings(bytes=True), skip_unknown=True)
    assert (text, ids.tolist()) == ("ab", [0, 1])
    assert notes == ["left out 1 character that the model does not know: '\U0001f600'"]


def test_a_character_of_which_a_model_of_bytes_knows_a_part_is_left_out_as_a_whole() -> None:
    vocab = Vocabulary(tuple(sorted("aé".encode())), of_bytes=True, is_utf8=True)  # 0x61, 0xa9, 0xc3
    text, ids, notes = read("aè\udc80é\u20a9a", vocab, DataSettings(bytes=True), skip_unknown=True)
    assert (text, ids.tolist()) == ("aéa", [0, 2, 1, 0])
    assert notes == ["left out 3 characters that the model does not know: 'è', 0x80, '\u20a9'"]


def test_a_note_names_no_more_than_a_few_characters() -> None:
    (note,) = fit("0123456789", Vocabulary.of_text("".join(chr(0xFF10 + n) for n in range(10))))[1]
    assert note.endswith("'4' as '４' and 5 others")


def test_a_refusal_names_all_unknown_characters_and_the_nearest_known_ones() -> None:
    vocab = Vocabulary.of_text("“It’s true,” he said. e")
    with pytest.raises(PromptError) as caught:
        read("\"It isn't 5é", vocab, DataSettings(), skip_unknown=False)
    assert str(caught.value) == (
        "the model does not know '\"' (U+0022 QUOTATION MARK), at position 1 of the prompt; the nearest it knows: "
        "'“', '”'; nor 'n', \"'\" (nearest: '’'), '5', 'é' (nearest: 'e') (change the prompt, or drop such characters "
        "with --unknown skip)"
    )


def test_a_refusal_names_no_more_than_some_characters() -> None:
    with pytest.raises(PromptError, match=r"'0' .*; nor '1', .*'9' and 3 others \(change"):
        read("0123456789xyz", Vocabulary.of_text("abc"), DataSettings(), skip_unknown=False)


def test_a_prompt_is_utf8_or_in_the_encoding_of_the_text() -> None:
    assert decode("été".encode(), "p", "cp1252", of_bytes=False) == "été"
    assert decode("été".encode("cp1252"), "p", "cp1252", of_bytes=False) == "été"
    assert decode(b"\xff\xe9", "p", "utf-8", of_bytes=True) == "\udcff\udce9"
    assert decode(b"\xef\xbb\xbfa", "p", "utf-8", of_bytes=False) == "a"
    with pytest.raises(PromptError, match=r"^p: expected a prompt in UTF-8, found byte 0xe9 at offset 0"):
        decode(b"\xe9t", "p", "utf-8", of_bytes=False)
    with pytest.raises(PromptError, match=r"^p: expected a prompt in UTF-8 or cp1252, found byte 0x81 at offset 1"):
        decode(b"a\x81", "p", "cp1252", of_bytes=False)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("text", ["Iva", "été", "\u4e00"])
def test_a_prompt_with_a_byte_order_mark_is_in_the_encoding_of_the_mark(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding), "p", "utf-8", of_bytes=False) == text
    assert decode(text.encode(), "p", encoding, of_bytes=False) == text
    assert decode(text.encode(f"{encoding}-le"), "p", f"{encoding}-le", of_bytes=False) == text


def test_an_encoding_in_a_checkpoint_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match='"zlib" does not encode text'):
        decode(b"a", "p", "zlib", of_bytes=False)


def test_a_model_of_bytes_is_said_to_know_bytes_and_not_characters_of_the_same_number() -> None:
    vocab = Vocabulary(tuple(sorted("aé!".encode())), of_bytes=True)
    with pytest.raises(
        PromptError, match=r"^the model knows none of these characters; it knows: ! a, and 2 bytes beyond ASCII$"
    ):
        read_turn("x", vocab)
    with pytest.raises(PromptError, match=r"^the model knows none of these characters; it knows: a é$"):
        read_turn("x", Vocabulary.of_text("aé"))
