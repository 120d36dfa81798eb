"""N-gram models and compressors, which a model's loss is compared with."""

from __future__ import annotations

import itertools
import lzma
import math
import random
import zlib

import numpy as np
import pytest
from conftest import sentences

from charnet.cli import messages
from charnet.data.vocab import Vocabulary
from charnet.evaluation import baselines as module
from charnet.evaluation.baselines import baselines, ngram_bits, xz
from charnet.model.ngram import Ngram
from charnet.model.ngram_counts import count, smooth


def test_each_order_is_the_ngram_that_a_model_may_hold() -> None:
    rng = random.Random(3)
    text = np.array(rng.choices(range(4), weights=[8, 4, 2, 1], k=300))
    found = ngram_bits(text[:250], text[250:], longest=4)
    for order in (2, 3, 4):
        counts = count(text, np.array([0]), np.array([250]), alphabet=4, start_id=0, order=order)
        p = Ngram.from_stored(order, smooth(counts, 1e9)).score(text[None])[0, 250:]
        assert found[order - 1] == pytest.approx(-np.log2(p).mean())


def test_of_a_large_alphabet_the_orders_end_earlier() -> None:
    ids = np.arange(3000)
    assert len(ngram_bits(ids, ids[:10])) == 5
    assert len(ngram_bits(ids % 50, ids[:10])) == 7


def test_probabilities_of_all_continuations_sum_to_one() -> None:
    learned = np.array([0, 1, 2, 0, 1, 3, 0, 2, 1, 0, 1, 2, 3, 3, 0, 1])
    bits = [ngram_bits(learned, np.array([symbol]), longest=4) for symbol in range(4)]
    for order in range(4):
        assert sum(2 ** -each[order] for each in bits) == pytest.approx(1)


def test_a_repetitive_text_takes_almost_no_bits() -> None:
    ids = np.array([0, 1, 2, 3] * 500)
    found = baselines(ids[:1600], ids[1600:], Vocabulary.of_text("abcd"))
    assert found.ngram < 0.01
    assert found.order >= 2
    assert found.gzip < 0.3
    assert found.xz < 0.5


def test_compressors_use_the_text_before() -> None:
    rng = random.Random(0)
    ids = np.array([rng.randrange(26) for _ in range(2000)])
    vocab = Vocabulary.of_text("abcdefghijklmnopqrstuvwxyz")
    unseen = baselines(ids[:1000], ids[1000:], vocab)
    seen = baselines(ids[:1000], ids[:1000], vocab)
    assert seen.xz < unseen.xz / 4
    assert seen.gzip < unseen.gzip / 4


def test_compressors_are_those_of_gzip_9_and_xz_9e() -> None:
    text = ("the quick brown fox " * 3 + "jumps over the lazy dog. ") * 40
    vocab = Vocabulary.of_text(text)
    ids = np.array(vocab.encode(text))
    found = baselines(ids[:1], ids[1:], vocab)
    assert found.gzip * (len(ids) - 1) / 8 == pytest.approx(len(zlib.compress(text.encode(), 9)), abs=16)
    packed = len(lzma.compress(text.encode(), lzma.FORMAT_RAW, filters=xz(text.encode())))
    assert found.xz * (len(ids) - 1) / 8 == pytest.approx(packed, abs=16)


def test_bytes_that_are_not_utf_8_are_evaluated_too() -> None:
    vocab = Vocabulary(tuple(range(256)), of_bytes=True)
    ids = np.array(list(itertools.islice(itertools.cycle([255, 254, 0, 195]), 200)))
    assert baselines(ids[:150], ids[150:], vocab).ngram < 1


def test_of_a_long_text_only_the_parts_next_to_the_cut_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LEARNED", 100)
    monkeypatch.setattr(module, "MOST_HELD_OUT", 30)
    rng = random.Random(0)
    ids = np.array([rng.randrange(4) for _ in range(400)])
    vocab = Vocabulary.of_text("abcd")
    found = baselines(ids[:300], ids[300:], vocab)
    assert (found.learned, found.held_out, found.is_part) == (100, 30, True)
    again = baselines(ids[200:300], ids[300:330], vocab)
    assert (found.ngram, found.gzip, found.xz) == (again.ngram, again.gzip, again.xz)


def test_a_text_of_one_symbol_takes_no_bits() -> None:
    found = baselines(np.zeros(50, np.uint8), np.zeros(9, np.uint8), Vocabulary.of_text("a"))
    assert str(found.ngram) == "0.0"


def test_ppmd_is_shown_beside_the_others_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = sentences(600)
    vocab = Vocabulary.of_text(text)
    ids = vocab.encode(text).astype("u4")
    found = baselines(ids[:2000], ids[2000:], vocab)
    assert found.ppmd is not None
    assert found.ppmd < found.gzip
    assert f"PPMd {found.ppmd * math.log(2):.4f}" in messages._comparison(found, "character")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert (without := baselines(ids[:2000], ids[2000:], vocab)).ppmd is None
    assert "PPMd" not in messages._comparison(without, "character")
