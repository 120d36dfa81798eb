"""Which part of a text is held out: drawn documents, the end of each file, the end."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.cli.app import run
from charnet.config import DataSettings
from charnet.data.documents import Documents, ends_of_lines
from charnet.data.split import FILES_TO_DRAW_FROM, Excerpt, Part, Split
from charnet.errors import ConfigError, CorpusError
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint

END = 0
lists = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=9), min_size=2, max_size=30)


def text(lines: list[list[int]]) -> np.ndarray:
    return np.array([each for line in lines for each in [*line, END]], dtype=np.uint8)


def of_lines(lines: list[list[int]], seed: int = 0, **how: object) -> Split:
    ids = text(lines)
    return Split(ids, ends_of_lines(ids, END), DataSettings(lines=True, **how), seed)  # type: ignore[arg-type]


def documents(part: Part) -> list[bytes]:
    assert part.documents is not None
    return [part.ids[begin:end].tobytes() for begin, end in zip(*part.documents, strict=True)]


@given(lists, st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([0.0, 0.2]), st.sampled_from(["", "last"]))
@settings(max_examples=60, deadline=None)
def test_every_document_is_in_one_part(lines: list[list[int]], val: float, test: float, kind: str) -> None:
    split = of_lines(lines, val_fraction=val, test_fraction=test, val=kind)
    parts = [documents(part) for part in (split.train, split.val, split.test)]
    assert sorted(itertools.chain(*parts)) == sorted(bytes([*line, END]) for line in lines)
    assert (val > 0) >= bool(parts[1])
    assert (test > 0) >= bool(parts[2])


NAMES = [[1 + (n * 7 + k) % 6 for k in range(2 + n % 7)] + [1 + n // 36, 1 + n // 6 % 6, 1 + n % 6] for n in range(200)]


def test_documents_are_drawn_from_all_over_a_sorted_list_as_the_seed_says() -> None:
    split = of_lines(sorted(NAMES))
    ids = text(sorted(NAMES))
    assert len(split.val) == pytest.approx(len(ids) * 0.1, abs=12)
    assert split.val.documents is not None
    assert np.median(split.val.documents.begins) == pytest.approx(len(ids) / 2, rel=0.3)
    assert documents(split.val) == documents(of_lines(sorted(NAMES)).val)
    assert documents(split.val) != documents(of_lines(sorted(NAMES), seed=1).val)


def test_of_a_longer_list_the_same_documents_are_held_out() -> None:
    before, after = (set(documents(of_lines(lines).val)) for lines in (NAMES[:100], NAMES))
    assert len(before & after) > 0.6 * len(before)
    assert before & set(documents(of_lines(NAMES[:100][::-1]).val)) == before


def test_the_last_documents_are_held_out_when_asked_for() -> None:
    ids = text(NAMES)
    split = of_lines(NAMES, val="last", test_fraction=0.2)
    joined = [part.head(len(ids)) for part in (split.train, split.val, split.test)]
    assert (np.concatenate(joined) == ids).all()
    assert len(split.val) == pytest.approx(len(ids) * 0.1, abs=20)
    assert len(split.test) == pytest.approx(len(ids) * 0.2, abs=20)


def test_a_document_longer_than_the_held_out_part_is_never_held_out_and_does_not_count() -> None:
    split = of_lines([*NAMES, [5] * 10_000])
    assert len(split.val) == pytest.approx(len(text(NAMES)) * 0.1, abs=12)


def test_of_two_documents_the_shorter_one_is_held_out() -> None:
    split = of_lines([[1] * 50, [2] * 9])
    assert documents(split.val) == [bytes([2] * 9 + [END])]


def test_one_line_is_refused_in_a_line() -> None:
    with pytest.raises(CorpusError, match=r"^one line: --lines needs two or more"):
        of_lines([[1] * 50])
    assert len(of_lines([[1] * 50], val_fraction=0.0).train) == 51


def test_repeated_documents_and_one_very_long_one_are_said() -> None:
    assert of_lines(NAMES).share_seen() < 0.1
    assert of_lines(NAMES * 3).share_seen() > 0.5
    assert any("also among those to learn from" in note for note in of_lines(NAMES * 3).notes())
    (note,) = of_lines([*NAMES, [5] * 10_000]).notes()
    assert "the longest line has 10,001 characters, the median 9" in note
    assert of_lines(NAMES).notes() == ()
    assert "only 3 characters held out" in of_lines([[1] * 50, [2] * 2]).notes()[0]


def test_of_one_running_text_the_end_is_held_out() -> None:
    ids = np.arange(100, dtype=np.uint8)
    split = Split(ids, None, DataSettings(test_fraction=0.2))
    assert split.train.ids.tolist() == list(range(70))
    assert split.val.ids.tolist() == list(range(70, 80))
    assert split.test.ids.tolist() == list(range(80, 100))
    assert len(Split(ids, None, DataSettings(val_fraction=0.0)).val) == 0
    with pytest.raises(CorpusError, match="--val random needs"):
        Split(ids, None, DataSettings(val="random"))


def test_of_several_files_the_end_of_each_is_held_out() -> None:
    ids = np.arange(100, dtype=np.uint8)
    split = Split(ids, None, DataSettings(), 0, (50, 100))
    assert split.val.ids[:].tolist() == [45, 46, 47, 48, 49, 95, 96, 97, 98, 99]
    assert split.train.ids[:].tolist() == [*range(45), *range(50, 95)]
    assert Split(ids, None, DataSettings(val="last"), 0, (50, 100)).val.ids.tolist() == list(range(90, 100))


@pytest.mark.parametrize("at", [0, FILES_TO_DRAW_FROM // 2, FILES_TO_DRAW_FROM])
def test_an_empty_file_among_many_is_passed_over(at: int) -> None:
    lengths = [4] * FILES_TO_DRAW_FROM
    lengths.insert(at, 0)
    ids = np.arange(sum(lengths), dtype=np.uint16)
    split = Split(ids, None, DataSettings(), 0, np.cumsum(lengths).tolist())
    assert len(split.val) == len(ids) // 10


def test_the_end_of_each_line_is_never_held_out() -> None:
    with pytest.raises(ConfigError, match="--val each: every line is a text of its own"):
        of_lines(NAMES, val="each")


def test_the_median_of_two_documents_is_the_shorter_one() -> None:
    notes = of_lines([[1] * 6, [2] * 300_000]).notes()
    assert any("the longest line has 300,001 characters, the median 7" in note for note in notes)


def test_after_a_document_that_no_longer_fits_shorter_ones_are_drawn() -> None:
    lines = [[1 + n % 6] * (200 if n % 3 else 2) for n in range(60)]
    total = len(text(lines))
    for seed in range(5):
        assert len(of_lines(lines, seed=seed).val) > 0.08 * total


def test_of_many_files_whole_ones_are_drawn() -> None:
    ids = np.arange(4 * FILES_TO_DRAW_FROM, dtype=np.uint16)
    split = Split(ids, None, DataSettings(), 0, range(4, len(ids) + 1, 4))
    held_out = split.val.ids[:].tolist()
    assert len(held_out) == len(ids) // 10
    assert all(first % 4 == 0 for first in held_out[::4])
    assert sorted([*held_out, *split.train.ids[:].tolist()]) == ids.tolist()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), min_size=1, max_size=9), st.integers(-70, 70))
@settings(max_examples=60, deadline=None)
def test_an_excerpt_reads_as_the_array_that_it_stands_for(pieces: list[tuple[int, int]], at: int) -> None:
    ids = np.arange(60)
    begins, lengths = (np.array(each) for each in zip(*pieces, strict=True))
    expected = np.concatenate([ids[begin : begin + length] for begin, length in pieces])
    excerpt = Excerpt(ids, Documents(begins, begins + lengths))
    assert len(excerpt) == len(expected)
    assert (excerpt[at:] == expected[at:]).all()
    assert (excerpt[:at] == expected[:at]).all()
    index = np.array([0, len(expected) - 1, len(expected) // 2])
    assert (excerpt[index] == expected[index]).all()


def test_the_fill_counts_what_a_pass_reads_of_a_very_long_document() -> None:
    ids = text([*NAMES, [5] * 100_000])
    part = Part(ids, Documents.up_to(ends_of_lines(ids, END)))
    plain = Part(ids, Documents.up_to(ends_of_lines(ids, END)[:-1]))
    assert plain.fill(16) < part.fill(16) < 1


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line that trains a little on a sorted list of words."""
    monkeypatch.chdir(tmp_path)
    lines = sorted(f"{a}{b}{c}n" for a in "abcdefgh" for b in "aeiou" for c in "klmnrst")
    Path("words.txt").write_text("\n".join(lines) + "\n")
    tiny = ["--hidden-size", "8", "--batch-size", "4", "--threads", "1"]
    return ["train", "words.txt", "--lines", *tiny, "--steps", "6", "--name", "r"]


def test_a_run_tests_its_best_weights_once_on_text_of_its_own(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--test-fraction", "0.2"]) == 0
    err = capsys.readouterr().err
    assert "140 held out, drawn by the seed, 280 for the test at the end" in err
    assert "test: " in err
    lines = [json.loads(line) for line in Path("checkpoints/r/metrics.jsonl").read_text().splitlines()]
    assert [line["test_nats_per_char"] > 0 for line in lines if "test_nats_per_char" in line] == [True]
    assert run(["inspect", "--verify", "checkpoints/r"]) == 0


def test_a_run_that_is_trained_further_is_tested_anew(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--test-fraction", "0.2"]) == 0
    assert run(["train", "--resume", "checkpoints/r", "--steps", "9"]) == 0
    assert capsys.readouterr().err.count("test: ") == 2
    assert Path("checkpoints/r/metrics.jsonl").read_text().count("test_nats_per_char") == 1
    assert run(["inspect", "--verify", "checkpoints/r"]) == 0


def test_a_run_whose_settings_changed_is_found_whole(words: list[str]) -> None:
    assert run(words) == 0
    assert run(["train", "--resume", "checkpoints/r", "--steps", "9", "--batch-size", "2"]) == 0
    assert run(["inspect", "--verify", "checkpoints/r"]) == 0


def test_a_resumed_run_holds_out_the_same_documents(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    assert run(["train", "--resume", "checkpoints/r", "--steps", "8"]) == 0
    assert capsys.readouterr().err.count("140 held out, drawn by the seed") == 2


def test_a_run_of_an_earlier_version_keeps_the_end_held_out(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--val", "last"]) == 0
    path = Path("checkpoints/r/last.safetensors")
    checkpoint = Checkpoint.load(path)
    assert checkpoint.config.data.val == "last"
    unset = overlay(checkpoint.config, {"data.val": ""})
    replace(checkpoint, config=unset).save(path)
    assert run(["train", "--resume", "checkpoints/r", "--steps", "8"]) == 0
    assert capsys.readouterr().err.count("the last 140 held out") == 2


def test_a_part_to_tune_on_has_a_document_though_all_are_longer() -> None:
    ends = np.arange(1, 53, dtype=np.uint64) * 10_000
    split = Split(np.zeros(520_000, np.uint8), ends, DataSettings(lines=True, val="last"), tunes=True)
    assert len(split.tune) == 10_000
    assert len(split.train) + len(split.tune) + len(split.val) == 520_000


@pytest.mark.parametrize("val", ["last", "each"])
def test_what_lies_just_before_the_held_out_part_is_learned(val: str) -> None:
    """It tells most about that part: the part to tune on is the middle of the others."""
    ids = np.arange(40_000, dtype=np.uint16)
    split = Split(ids, None, DataSettings(val=val), file_ends=[10_000, 40_000], tunes=True)
    first_held_out = [int(split.val.ids[0])] + ([int(split.val.ids[1000])] if val == "each" else [])
    learned = set(np.asarray(split.train.ids[:]).tolist())
    assert all(at - 1 in learned for at in first_held_out)
    assert len(learned) + len(split.tune) + len(split.val) == 40_000
    assert not learned & set(np.asarray(split.tune.ids[:]).tolist())


def test_of_the_last_documents_those_before_them_are_learned() -> None:
    ends = np.arange(1, 101, dtype=np.uint64) * 1000
    split = Split(np.zeros(100_000, np.uint8), ends, DataSettings(lines=True, val="last"), tunes=True)
    assert split.train.documents is not None
    assert split.tune.documents is not None
    assert int(split.train.documents.ends[-1]) == 90_000
    assert split.tune.documents.begins.tolist() == [44_000, 45_000]
