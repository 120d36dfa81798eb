"""`widen`: a text in the alphabet of a model that knows more characters is still the same text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charnet.config import DataSettings
from charnet.data import widen
from charnet.data.corpus import Corpus, read
from charnet.data.vocab import RARE, RARE_BYTE, Vocabulary
from charnet.errors import CheckpointError


def corpus_of(tmp_path: Path, text: bytes, **how: object) -> Corpus:
    path = tmp_path / "text.txt"
    path.write_bytes(text)
    return read([str(path)], DataSettings(**how))  # type: ignore[arg-type]


def test_a_text_reads_the_same_in_a_larger_alphabet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widen, "IDS_AT_ONCE", 4)
    corpus = corpus_of(tmp_path, b"banana\nbread")
    wide = widen.widen(corpus, Vocabulary.of_text("\n abcxyz"))
    assert wide.vocab.symbols == tuple(sorted(map(ord, "\n abcdenrxyz")))
    assert wide.vocab.decode(wide.ids.tolist()) == "banana\nbread"
    assert (wide.key, wide.fingerprint) == (corpus.key, corpus.fingerprint)


def test_ids_take_more_bytes_where_the_larger_alphabet_needs_them(tmp_path: Path) -> None:
    wide = widen.widen(corpus_of(tmp_path, b"banana"), Vocabulary(tuple(range(0x4E00, 0x4E00 + 300))))
    assert wide.ids.dtype == np.uint16
    assert wide.vocab.decode(wide.ids.tolist()) == "banana"


def test_an_alphabet_that_adds_nothing_copies_nothing(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, b"banana")
    assert widen.widen(corpus, Vocabulary.of_text("nab")).ids is corpus.ids
    assert widen.widen(corpus, Vocabulary.of_text("nab")).notes == ()


@pytest.mark.parametrize(
    ("text", "how", "alphabet", "note"),
    [
        (b"ab", {}, Vocabulary.of_text("abc"), "1 character of the old alphabet does not occur in this text and is"),
        (b"ab", {}, Vocabulary.of_text("cde"), "3 characters of the old alphabet do not occur in this text and are"),
        (b"ab", {"bytes": True}, Vocabulary((97, 255), True),
         "1 byte of the old alphabet does not occur in this text and is"),
        (b"aabc", {"min_count": 2}, Vocabulary.of_text("abx"),
         "2 characters of the old alphabet are rare in this text or absent and are"),
    ],
)  # fmt: skip
def test_symbols_that_the_text_lacks_are_counted(
    tmp_path: Path, text: bytes, how: dict[str, object], alphabet: Vocabulary, note: str
) -> None:
    assert widen.widen(corpus_of(tmp_path, text, **how), alphabet).notes[-1] == f"{note} kept"


def test_the_symbol_for_rare_characters_of_either_alphabet_stays_the_last(tmp_path: Path) -> None:
    rare = widen.widen(corpus_of(tmp_path, b"aabc", min_count=2), Vocabulary.of_text("xyz"))
    assert rare.vocab.symbols == (97, 120, 121, 122, RARE)
    assert rare.ids.tolist() == [0, 0, 4, 4]
    raw = widen.widen(
        corpus_of(tmp_path, b"\xffa", bytes=True), Vocabulary((98, RARE_BYTE), of_bytes=True, is_utf8=True)
    )
    assert raw.vocab.symbols == (97, 98, 255, RARE_BYTE)
    assert raw.ids.tolist() == [2, 0]
    assert not raw.vocab.is_utf8


@pytest.mark.parametrize(("how", "end"), [({"lines": True}, "\n"), ({"documents": "blank-line"}, "\x1e")])
def test_documents_end_where_they_ended(tmp_path: Path, how: dict[str, object], end: str) -> None:
    corpus = corpus_of(tmp_path, b"ba\n\nna\n", **how)
    wide = widen.widen(corpus, Vocabulary.of_text(f"{end}\tabz"))
    assert wide.ends is corpus.ends
    assert wide.vocab.start_id() == wide.vocab.symbols.index(ord(end))
    assert wide.vocab.document_end == corpus.vocab.document_end
    assert wide.vocab.decode(wide.ids.tolist()) == corpus.vocab.decode(corpus.ids.tolist())


@pytest.mark.parametrize("lacks", ["ban", "nab\uffff"])
def test_an_alphabet_that_lacks_a_character_of_its_text_is_refused(tmp_path: Path, lacks: str) -> None:
    corpus = corpus_of(tmp_path, b"banana\n")
    with pytest.raises(CheckpointError, match="lacks 1 character of its text"):
        widen.map_ids(corpus.ids, corpus.vocab, Vocabulary.of_text(lacks))
