"""The head and foot of Project Gutenberg: found in every form that they had, named, and taken off when asked."""

from __future__ import annotations

import itertools
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.cli.app import run
from charnet.config import DataSettings
from charnet.data import corpus, gutenberg

HEADS = {
    "of today": "The Project Gutenberg eBook of X\n\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\n",
    "without a space": "Title: X\n***START OF THIS PROJECT GUTENBERG EBOOK X BY\nSOMEBODY***\n",
    "in capitals and small letters": "*** Start of the Project Gutenberg E-text X ***\r\n",
    "of 1993": "Etext of X\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n\n",
    "of 2000": "Etext of X\n*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.07.00*END*\n",
}
FEET = {
    "of today": "*** END OF THE PROJECT GUTENBERG EBOOK X ***\nThe license.\n",
    "of 2008": "End of the Project Gutenberg EBook of X\n\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\n",
    "of 1993": "End of Project Gutenberg's X, by Somebody\n",
}
BOOK = "Once upon a time.\n\nThe end of the Project.\n"


def stripped(*pieces: str) -> tuple[str, dict[str, int]]:
    found: dict[str, int] = {}
    return "".join(gutenberg.strip(pieces, found)), found


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("foot", FEET)
def test_a_book_is_what_stands_between_head_and_foot(head: str, foot: str) -> None:
    book, found = stripped(HEADS[head] + BOOK + FEET[foot])
    assert book == BOOK
    assert found == {"head": len(HEADS[head]), "foot": len(FEET[foot])}


def test_books_one_behind_the_other_are_all_found() -> None:
    one = HEADS["of today"] + BOOK + FEET["of today"]
    assert stripped(one * 3)[0] == BOOK * 3


@pytest.mark.parametrize(
    "text",
    [
        BOOK,
        "He said: *** START OF THE PROJECT GUTENBERG EBOOK X *** and left.\n",
        "A long book.\n" + FEET["of today"] + "It goes on for long.\n" * 4000,
        "A long book that\n" * 5000 + HEADS["of today"] + "quotes the head of another.\n",
    ],
)
def test_a_text_that_only_mentions_such_a_line_stays_whole(text: str) -> None:
    assert stripped(text) == (text, {})


@pytest.mark.parametrize(
    "text", [HEADS["of today"] + BOOK, BOOK + FEET["of today"]], ids=["a head alone", "a foot alone"]
)
def test_one_without_the_other_is_taken_off_too(text: str) -> None:
    assert stripped(text)[0] == BOOK


@given(
    st.lists(st.sampled_from([*HEADS.values(), *FEET.values(), BOOK, "\r\n", "word " * 30]), max_size=7),
    st.sets(st.integers(0, 900)),
    st.sampled_from([150, gutenberg.LONGEST]),
)
@settings(max_examples=80, deadline=None)
def test_head_and_foot_are_found_wherever_a_text_is_cut(parts: list[str], cuts: set[int], longest: int) -> None:
    text = "".join(parts)
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    with mock.patch.object(gutenberg, "LONGEST", longest):
        assert stripped(*(text[a:b] for a, b in itertools.pairwise(bounds))) == stripped(text)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_each_file_of_a_folder_is_stripped_by_itself_and_it_is_said(tmp_path: Path, as_bytes: bool) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(HEADS["of today"] + BOOK + FEET["of 1993"])
    (tmp_path / "c.txt").write_text("no book\n")

    def read(strip: str) -> corpus.Corpus:
        return corpus.read([str(tmp_path)], DataSettings(strip=strip, bytes=as_bytes))

    parts = (
        f"Project Gutenberg's head ({2 * len(HEADS['of today'])} characters) and foot (84 characters) in 2 of 3 files"
    )
    found = read("gutenberg")
    assert found.vocab.decode(found.ids.tolist()) == BOOK * 2 + "no book\n"
    assert found.notes == (f"taken off: {parts}",)
    assert read("").notes == (f"{parts}: --strip gutenberg takes them off",)


def test_a_strip_that_finds_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text(BOOK)
    assert run(["corpus", "info", str(tmp_path / "a.txt"), "--strip", "gutenberg"]) == 0
    assert "--strip gutenberg: no head or foot of Project Gutenberg was found" in capsys.readouterr().out
    assert corpus.read([str(tmp_path / "a.txt")]).notes == ()


def test_a_copy_that_was_encoded_without_strip_keeps_its_key(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text\n")
    keys = [corpus.read([str(tmp_path / "a.txt")], DataSettings(strip=strip)).key for strip in ("", "gutenberg")]
    assert keys[0] == "fc89fc9243ec37636a9b2ca17bb9078a7b60d98378560540829cf65116066a51"
    assert keys[0] != keys[1]


def test_eval_reads_a_text_as_the_training_did(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(HEADS["of today"] + BOOK + FEET["of 1993"])
    vocab = corpus.read([str(tmp_path / "a.txt")]).vocab
    ids, _, notes = corpus.encode_for(vocab, [str(tmp_path / "a.txt")], DataSettings(strip="gutenberg"))
    assert vocab.decode(ids.tolist()) == BOOK
    assert notes[0].startswith("taken off: Project Gutenberg's head")
