"""What stands in the learned text, where that is two pieces: the part to tune an n-gram on lies between them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import tiny

from charnet.data import copy_index, corpus
from charnet.evaluation import copies
from charnet.storage.document import CorpusInfo
from charnet.storage.learned_text import LearnedText, open_learned

TEXT = "".join(random.Random(1).choices("abcdefghij\n", k=4000))  # no long run of it comes twice


def learned_with_ngram(path: Path) -> LearnedText:
    """What a checkpoint with an n-gram learned from `TEXT`."""
    path.write_text(TEXT)
    values: dict[str, Any] = {"data.paths": [str(path)], "data.val_fraction": 0.1}
    text = corpus.read([str(path)], tiny(**values).config.data)
    info = CorpusInfo("letters", len(text.ids), text.size_bytes, 1, text.fingerprint, text.key)
    checkpoint = replace(tiny(vocab=text.vocab, **values), corpus=info)
    config = replace(checkpoint.config, model=replace(checkpoint.config.model, ngram=3))
    return open_learned(replace(checkpoint, config=config))


@pytest.mark.parametrize("most", [copy_index.MOST_SUFFIXES, 0])
def test_copies_are_found_in_both_pieces_and_none_goes_over_the_seam(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(copy_index, "MOST_SUFFIXES", most)
    learned = learned_with_ngram(tmp_path / "letters.txt")
    begins, ends = (each.tolist() for each in learned.pieces.pieces)
    assert len(begins) == 2
    assert ends[0] < begins[1]
    ids = np.asarray(learned.ids)
    for begin, end in ((ends[0] - 60, ends[0]), (begins[1], begins[1] + 60)):
        found = copies.count([ids[begin:end]], learned)
        assert found.longest == 60
        assert found.place is not None
        assert found.place.line == TEXT[:begin].count("\n") + 1
    seam = np.concatenate([ids[ends[0] - 50 : ends[0]], ids[begins[1] : begins[1] + 45]])
    lengths_T = learned.index.runs(seam)[0]
    assert lengths_T[49] == 50
    assert lengths_T[50:60].max() < 15
    assert lengths_T[-1] == 45
    over_the_end = copies.count([ids[ends[0] - 40 : ends[0] + 40]], learned)
    assert 40 <= over_the_end.longest < 50
    assert copies.count([ids[ends[0] : begins[1]]], learned).longest < 15


def test_the_yardstick_reads_no_more_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    learned = learned_with_ngram(tmp_path / "letters.txt")
    whole = copies.yardstick(learned)
    assert whole is not None
    assert whole.symbols == len(learned.held_out) == 400
    monkeypatch.setattr(copies, "MOST_HELD_OUT", 30)
    part = copies.yardstick(learned)
    assert part is not None
    assert part.symbols == 30
