"""The statistics of `charnet corpus info`."""

from __future__ import annotations

import itertools
import json
import math
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from charnet.cli.app import run
from charnet.config import DataSettings
from charnet.data.corpus import read
from charnet.evaluation import corpus_stats
from charnet.evaluation.corpus_stats import CorpusStats, describe, entropies
from charnet.evaluation.unicode_blocks import block_of

HEADER = "# licensed to you under the terms that are found elsewhere\n"


def stats_of(folder: Path, text: str | bytes) -> CorpusStats:
    path = folder / "a.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return describe(read([str(path)]))


def test_characters_are_counted_by_block_and_the_rarest_named(tmp_path: Path) -> None:
    found = stats_of(tmp_path, "aab яя 字字字 é\n")
    assert found.blocks == {
        "Basic Latin": (7, 4), "CJK Unified Ideographs": (3, 1), "Cyrillic": (2, 1), "Latin-1 Supplement": (1, 1),
    }  # fmt: skip
    assert (found.characters, found.alphabet) == (13, 7)
    assert ("'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE)", 1) in found.rarest


@pytest.mark.parametrize(
    ("character", "block"),
    [("~", "Basic Latin"), ("ß", "Latin-1 Supplement"), ("ω", "Greek and Coptic"), ("א", "Hebrew"), ("か", "Hiragana"),
     ("한", "Hangul Syllables"), ("€", "Currency Symbols"), ("😀", "Emoticons"), ("\U0010ffff", "other")],
)  # fmt: skip
def test_blocks_are_those_of_unicode(character: str, block: str) -> None:
    assert block_of(ord(character)) == block


@pytest.mark.parametrize("name", ["CYRILLIC", "HEBREW", "HIRAGANA", "HANGUL SYLLABLE", "THAI CHARACTER", "BENGALI"])
def test_the_letters_of_a_script_are_in_its_blocks(name: str) -> None:
    letters = [code for code in range(0x10000) if unicodedata.name(chr(code), "").startswith(name + " ")]
    inside = sum(name.split()[0].lower() in block_of(code).lower() for code in letters)
    assert inside > 0.6 * len(letters)


def test_entropy_is_computed_from_the_counts() -> None:
    assert entropies(np.array([0, 1, 2, 3] * 100), 0) == pytest.approx([2])
    ids = np.random.default_rng(1).integers(4, size=20_000)
    assert entropies(ids, 1) == pytest.approx([2, 2], abs=0.01)


def test_repeated_lines_are_measured_and_the_most_frequent_is_named(tmp_path: Path) -> None:
    found = stats_of(
        tmp_path, "".join(HEADER + f"line {number} of a file, different from all others\n" for number in range(50))
    )
    assert found.repeated == pytest.approx(49 * (len(HEADER) - 1) / found.characters)
    assert found.most_repeated == (HEADER.strip()[:60], 50)
    assert any("repeated lines" in line and "licensed" in line for line in found.advice)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("a b c\n", "very short"),
        ("a\r\nb\nc\n" * 9, "line ends are mixed"),
        ("a\x00b\x07" * 9, "cannot be printed"),
        ("cafÃ© " * 9, "mixed encodings"),
        ("a" * 99 + "b", "--min-count"),
    ],
)
def test_advice_fits_the_text(tmp_path: Path, text: str, advice: str) -> None:
    assert any(advice in line for line in stats_of(tmp_path, text).advice)


def test_a_line_ends_at_line_ends_and_nowhere_else(tmp_path: Path) -> None:
    found = stats_of(tmp_path, "one\fpage\u2028same\x85line\x1cstill\nsecond\r\nthird\rfourth\v")
    assert (found.lines, found.line_lengths["longest"]) == (4, 24)
    assert found.breaks == {
        "vertical tab": 1, "form feed": 1, "next line (U+0085)": 1, "line separator (U+2028)": 1,
    }  # fmt: skip
    assert any("form feed x 1" in line and "no line ends there" in line for line in found.advice)


def test_joiners_marks_of_direction_and_new_emoji_can_be_printed(tmp_path: Path) -> None:
    text = (
        "می\u200cخواهم \U0001f468\u200d\U0001f467 \u200eA\u200f \u2067ب\u2069 \U0001fae9 \U0001f3f4\U000e0067\U000e007f"
    )
    assert stats_of(tmp_path, text).odd == {}
    assert set(stats_of(tmp_path, "\x1b \ufffe \ue000 \ufeff").odd) == {
        "'\\x1b' (U+001B ESCAPE)", "'\\ufffe' (U+FFFE without a name)", "'\\ue000' (U+E000 without a name)",
        "'\\ufeff' (U+FEFF ZERO WIDTH NO-BREAK SPACE)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "folded"),
    [("ab" * 500 + "xyz", "--min-count 10 "), ("ab" * 100 + "xyyy", "--min-count 3 "), ("字句文章" * 9, ""), ("a", "")],
)
def test_advice_folds_no_more_than_a_hundredth_of_the_text(tmp_path: Path, text: str, folded: str) -> None:
    advice = " ".join(stats_of(tmp_path, text).advice)
    assert folded in advice
    assert ("--min-count" in advice) == bool(folded)


def test_sentences_in_other_orders_are_repeats_though_no_line_is(tmp_path: Path) -> None:
    sentences = [f"The {name} of number {n * n} came back across the {name} and said nothing. "
                 for n, name in enumerate(("ferry", "man", "goat", "oar", "boy"))]  # fmt: skip
    orders = list(itertools.permutations(sentences))
    found = stats_of(tmp_path, "\n".join("".join(order) for order in orders))
    assert found.repeated == 0
    assert found.repeated_strings > 0.97
    assert any(line.startswith("the text repeats itself") for line in found.advice)


def test_a_text_that_says_everything_once_repeats_no_strings(tmp_path: Path) -> None:
    ids = np.random.default_rng(3).integers(97, 123, 5_000).astype(np.uint8)
    found = stats_of(tmp_path, ids.tobytes())
    assert found.repeated_strings == 0
    assert not [line for line in found.advice if "repeats" in line]
    twice = stats_of(tmp_path, ids.tobytes() * 2)
    assert twice.repeated_strings == 0.5
    assert stats_of(tmp_path, b"short").repeated_strings == 0


def test_repeated_lines_of_a_list_are_counted_however_short_they_are(tmp_path: Path) -> None:
    found = stats_of(tmp_path, "Ada\nBo\nAda\n\nEve\n" * 5)
    assert (found.repeated_lines, found.distinct_lines, found.repeated) == (17, 3, 0)
    assert not any("came before" in line for line in found.advice)  # a fifth is blank: this is no list
    found = stats_of(tmp_path, "Ada\nBo\nAda\nEve\n" * 5)
    assert (found.repeated_documents, found.distinct_documents) == (0, 0)
    assert any(line.startswith("85 % of the lines came before (3 distinct)") for line in found.advice)
    assert not any("repeated lines" in line for line in found.advice)


@pytest.mark.parametrize("of_bytes", [False, True])
def test_folded_characters_have_no_block_and_are_not_unprintable(tmp_path: Path, of_bytes: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_text("ab\n" * 9 + "xé")
    found = describe(read([str(path)], DataSettings(bytes=of_bytes, min_count=9)))
    assert found.blocks == {"Basic Latin": (27, 3), "folded into one": (2 + of_bytes, 1)}
    assert found.odd == {}


def test_bytes_beyond_ascii_are_not_counted_as_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("aÀ\x07".encode())  # À is C3 80
    found = describe(read([str(path)], DataSettings(bytes=True)))
    assert found.blocks == {"Basic Latin": (2, 2), "bytes of other characters": (2, 2)}
    assert found.odd == {"byte 0x07": 1}


def test_a_plain_long_text_needs_no_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_stats, "SHORT", 50_000)
    words = np.random.default_rng(1).integers(10, 99, size=20_000)
    assert stats_of(tmp_path, " ".join(map(str, words))).advice == ()


def test_info_is_printed_as_text_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("some words and\x1b[2J some more\n" * 20)
    assert run(["corpus", "info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "bits per character, given the 0 to 5 characters before it" in shown
    assert run(["corpus", "info", str(path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert len(values["entropies"]) == 6
    assert all(math.isfinite(bits) for bits in values["ngrams"])


def test_documents_of_several_lines_are_counted_as_a_whole_and_their_lines_say_nothing_of_held_out_ones(
    tmp_path: Path,
) -> None:
    def described(text: str) -> tuple[int, int, list[str]]:
        (tmp_path / "verses.txt").write_text(text)
        found = describe(read([str(tmp_path / "verses.txt")], DataSettings(documents="blank-line")))
        said = [line for line in found.advice if "came before" in line]
        return found.repeated_documents, found.distinct_documents, said

    assert described("".join(f"la la\nverse {i}\n\n" for i in range(20))) == (0, 20, [])
    again, distinct, said = described("la la\nverse one\n\nla la\nverse two\n\n" * 10)
    assert (again, distinct) == (18, 2)
    assert [line.partition(",")[0] for line in said] == [
        "90 % of the documents came before (2 distinct): held-out documents are also among the learned ones"
    ]


def test_advice_on_one_rare_character_is_said_of_one(tmp_path: Path) -> None:
    advice = stats_of(tmp_path, "a" * 500 + "x").advice
    assert any(
        line.startswith("1 character of 2 is too rare to learn") and line.endswith("folds it") for line in advice
    )


def test_letters_that_are_written_in_two_ways_are_named_and_one_way_is_left_alone(tmp_path: Path) -> None:
    text = "Jos\u00e9 Jose\u0301 Rene\u0301e Mu\u0308ller M\u00fcller n\u0303 \ud55c \u1112\u1161\u11ab\n"
    (found,) = (line for line in stats_of(tmp_path, text).advice if "normalize" in line)
    assert found.startswith("4 characters such as '\u00e9' are written as several, elsewhere as one: ")
    for alike in (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)):
        assert not any("normalize" in line for line in stats_of(tmp_path, alike).advice)
    as_bytes = describe(read([str(tmp_path / "a.txt")], DataSettings(bytes=True)))
    assert not any("normalize" in line for line in as_bytes.advice)
