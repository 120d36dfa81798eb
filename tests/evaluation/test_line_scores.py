"""Scores of lines: each line is a text of its own, whatever stands beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from test_engines import build, with_ngram

from charnet.config import DOCUMENT_END
from charnet.data.lines import blocks_of_lines
from charnet.data.vocab import Vocabulary
from charnet.errors import CorpusError
from charnet.evaluation import line_scores
from charnet.evaluation.evaluate_checkpoint import evaluate_files
from charnet.evaluation.line_scores import LineScore, score_lines
from charnet.storage.checkpoint import Checkpoint

LETTERS = Vocabulary.of_text("\nabcdefghij")
TEXT = "".join("abcdefghij"[i * i % 10] * (i % 4) + "ja" * (i % 3) + "\n" for i in range(60))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def trained_on(checkpoint: Checkpoint, **data: object) -> Checkpoint:
    config = checkpoint.config
    return dataclasses.replace(
        checkpoint, config=dataclasses.replace(config, data=dataclasses.replace(config.data, **data))
    )  # type: ignore[arg-type]


def scores(checkpoint: Checkpoint, path: Path, text: str) -> list[LineScore]:
    path.write_text(text, newline="")
    return list(score_lines(checkpoint, [str(path)], threads=1))


def models() -> dict[str, Checkpoint]:
    one = build(vocab=LETTERS)
    return {
        "one": one,
        "gru": build("gru", vocab=LETTERS),
        "ensemble": build(vocab=LETTERS, members=2),
        "n-gram": with_ngram(one),
        "int8": one.quantize(),
        "bytes": build(vocab=Vocabulary(tuple(range(256)), of_bytes=True)),
    }


@pytest.mark.parametrize("kind", models())
def test_each_line_has_the_score_of_a_text_that_holds_only_this_line(kind: str, tmp_path: Path) -> None:
    model = models()[kind]
    found = scores(model, tmp_path / "a.txt", TEXT)
    assert [score.number for score in found] == list(range(1, 61))
    for line, score in list(zip(TEXT.splitlines(keepends=True), found, strict=True))[::7]:
        (tmp_path / "one.txt").write_text(line, newline="")
        alone = evaluate_files(model, [str(tmp_path / "one.txt")], threads=1)
        assert (score.characters, score.unknown) == (alone.characters, 0)
        assert score.nats == pytest.approx(alone.nats, rel=1e-5)


@pytest.mark.parametrize("kind", ["one", "ensemble", "n-gram", "int8"])
def test_the_scores_of_documents_add_up_to_the_evaluation_of_the_text(kind: str, tmp_path: Path) -> None:
    model = trained_on(models()[kind], lines=True)
    found = scores(model, tmp_path / "a.txt", TEXT)
    whole = evaluate_files(model, [str(tmp_path / "a.txt")], threads=1)
    assert sum(score.characters for score in found) == whole.characters
    assert sum(score.nats for score in found) == pytest.approx(whole.nats, rel=1e-6)


def test_lines_longer_than_a_chunk_or_than_a_stream_count_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, text = models()["one"], "abc" * 40 + "\n" + "d\n" + "j" * 90 + "\n"
    expected = [score.nats for score in scores(model, tmp_path / "a.txt", text)]
    monkeypatch.setattr(line_scores, "LONGEST_CHUNK", 7)
    assert [score.nats for score in scores(model, tmp_path / "a.txt", text)] == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(line_scores, "LONG_DOCUMENT", 100)
    assert [score.nats for score in scores(model, tmp_path / "a.txt", text)] == pytest.approx(expected, rel=1e-6)


def test_unknown_characters_are_counted_where_they_are_and_left_out(tmp_path: Path) -> None:
    found = scores(models()["one"], tmp_path / "a.txt", "abXc\nXX\n\nabc")
    assert [(score.characters, score.unknown) for score in found] == [(4, 1), (1, 2), (1, 0), (4, 0)]
    assert found[0].nats == pytest.approx(found[3].nats)


def test_a_line_end_that_the_alphabet_lacks_is_no_unknown_character(tmp_path: Path) -> None:
    found = scores(build(vocab=Vocabulary.of_text("abcdefghijk")), tmp_path / "a.txt", "ab\n\nc")
    assert [(score.characters, score.unknown) for score in found] == [(2, 0), (0, 0), (1, 0)]
    assert found[1].nats_per_char is None


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_blocks_hold_whole_lines_wherever_the_text_was_cut(size: int) -> None:
    codes = LETTERS.codes("abX\n\nabcdefXX\nj")
    blocks = list(blocks_of_lines([codes[at : at + size] for at in range(0, len(codes), size)], 10, LETTERS))
    lengths = np.concatenate([np.diff(block.ends, prepend=0) for block in blocks])
    assert lengths.tolist() == [3, 1, 7, 2]
    assert np.concatenate([block.unknown for block in blocks]).tolist() == [1, 0, 2, 0]
    assert LETTERS.decode(np.concatenate([block.ids for block in blocks]).tolist()) == "ab\n\nabcdef\nj\n"


def test_each_file_has_line_numbers_of_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("ab\nc")
    found = list(score_lines(models()["one"], [str(tmp_path)], threads=1))
    assert [(Path(score.file).name, score.number) for score in found] == [
        ("a.txt", 1), ("a.txt", 2), ("b.txt", 1), ("b.txt", 2)
    ]  # fmt: skip


def test_documents_of_several_lines_are_scored_as_wholes(tmp_path: Path) -> None:
    vocab = dataclasses.replace(Vocabulary.of_text("\nabcdefghi" + DOCUMENT_END), document_end=ord(DOCUMENT_END))
    model = trained_on(build(vocab=vocab), documents="blank-line")
    found = scores(model, tmp_path / "a.txt", "a\nb\n\nc\n\n\nde\n")
    assert [score.characters for score in found] == [4, 2, 3]


def test_a_text_in_another_encoding_is_refused_after_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"ab\n\xff\xfe\xfa")
    with pytest.raises(CorpusError):
        list(score_lines(models()["one"], [str(tmp_path / "a.txt")], threads=1))


def test_decomposed_letters_are_composed_for_an_alphabet_of_composed_ones(tmp_path: Path) -> None:
    model = build(vocab=Vocabulary.of_text("\nabcdefghé"))
    assert [(score.characters, score.unknown) for score in scores(model, tmp_path / "a.txt", "e\u0301\n")] == [(2, 0)]
