"""Bytes as symbols and back."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charnet.compression import symbols
from charnet.compression.symbols import DECODINGS, NOTHING, Symbols, blocks
from charnet.data.vocab import Vocabulary

PLAIN = Vocabulary.of_text("\n abcdefghijklmnopqrstuvwxyzé'")
BYTES = Vocabulary(tuple(range(40, 120)), of_bytes=True)
VOCABULARIES = [PLAIN, BYTES, Vocabulary((*range(97, 110), 0x110000)), Vocabulary.of_text("\r\nab")]
TEXTS = st.one_of(st.binary(max_size=80), st.text(max_size=40).map(lambda s: s.encode("utf-8", "surrogatepass")))
KINDS = {
    "utf-8": "the café".encode(),
    "a byte order mark": "\ufeffthe café".encode(),
    "latin-1": "un été à la forêt".encode("latin-1"),
    "utf-16": "the cat and the dog".encode("utf-16"),
    "utf-16-be": "the cat and the dog".encode("utf-16-be"),
    "half of utf-16": "the cat and the dog".encode("utf-16")[:-1],
    "windows": b"the cat\r\nthe dog\r\n",
    "old mac": b"the cat\rthe dog\r",
    "mixed ends": b"the cat\r\nthe dog\nthe\r",
    "capitals": b"THE CAT",
    "decomposed": "cafe\u0301 n\u0303".encode(),
    "halves of characters": b"a \xed\xa0\xbd\xed\xb8\x80 b",
    "too long forms": b"a \xc0\x80 \xf5\x80\x80\x80",
    "zeros": bytes(50),
    "all bytes": bytes(range(256)),
}


def there_and_back(raw: bytes, vocab: Vocabulary) -> Symbols:
    """Encodes a text in blocks and decodes it by what a file holds of it."""
    ours, theirs = Symbols(vocab), Symbols(vocab)
    back = b""
    for part in blocks(BytesIO(raw).read):
        block, new = ours.encode(part)
        theirs.add(new, ours.read_as[len(ours.read_as) - len(new) :])
        back += theirs.decode(block)
        assert vocab.rare_id is None or vocab.rare_id not in block.ids
    assert back == raw
    return ours


@given(TEXTS, st.sampled_from(VOCABULARIES), st.integers(5, 90))
@example(b"ab\r\ncd", PLAIN, 5)
@example("ab\r\n😀é".encode(), PLAIN, 7)
def test_every_byte_comes_back_wherever_a_text_is_cut(raw: bytes, vocab: Vocabulary, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(symbols, "BLOCK", block)
        there_and_back(raw, vocab)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocab", VOCABULARIES, ids=["characters", "bytes", "rare", "windows"])
def test_every_byte_comes_back_of_every_kind_of_file(kind: str, vocab: Vocabulary) -> None:
    there_and_back(KINDS[kind], vocab)


def test_a_text_is_decoded_so_that_the_model_knows_most_of_it() -> None:
    for kind, encoding, two in (("utf-8", "utf-8", False), ("latin-1", "latin-1", False), ("windows", "utf-8", True)):
        block, _ = Symbols(PLAIN).encode(KINDS[kind])
        assert (DECODINGS[block.decoding].encoding, DECODINGS[block.decoding].two_character_ends) == (encoding, two)
    block, _ = Symbols(PLAIN).encode(KINDS["utf-16-be"])
    assert DECODINGS[block.decoding].encoding == "utf-16-be"


def test_the_network_reads_the_same_letter_in_another_case_in_place_of_one_that_it_lacks() -> None:
    found = there_and_back("A’€".encode(), PLAIN)
    assert "".join(map(chr, found.beyond)) == "A’€"
    assert [PLAIN.decode([i]) if i != NOTHING else "" for i in found.read_as] == ["a", "'", ""]


def test_a_text_of_very_many_characters_gets_no_more_symbols_than_there_may_be() -> None:
    every = "".join(map(chr, range(0x4E00, 0x4E00 + symbols.MOST_BEYOND))).encode()
    assert len(there_and_back(every, PLAIN).beyond) <= symbols.MOST_BEYOND - 256


@pytest.mark.parametrize(
    ("codes", "read_as"),
    [([5, 5], [0, 0]), ([6, 5], [0, 0]), ([97], [0]), ([5], [31]), ([5], [-2]), ([0x110000], [0]), ([5], [])],
)
def test_a_list_of_symbols_that_no_text_has_is_refused(codes: list[int], read_as: list[int]) -> None:
    with pytest.raises(ValueError, match="symbols"):
        Symbols(PLAIN).add(codes, read_as)
