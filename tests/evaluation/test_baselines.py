"""What simple means reach, beside which a model's loss is shown."""

from __future__ import annotations

import itertools
import lzma
import math
import random
import zlib

import numpy as np
import pytest

from charnet.data.vocab import Vocabulary
from charnet.evaluation import baselines as means
from charnet.evaluation.baselines import baselines, ngram_bits, xz


def naive(learned: list[int], held_out: list[int], order: int) -> float:
    """The same n-gram model by dictionaries and recursion."""
    text, alphabet = learned + held_out, max(learned + held_out) + 1
    discounts, tables = {}, {}
    for n in range(1, order + 1):
        grams = [tuple(text[i - n + 1 : i + 1]) for i in range(n - 1, len(learned))]
        counts = {gram: grams.count(gram) for gram in grams}
        once, twice = (sum(1 for c in counts.values() if c == times) for times in (1, 2))
        discounts[n], tables[n] = (once / (once + 2 * twice) if once and twice else 0.5), counts

    def chance(context: tuple[int, ...], symbol: int) -> float:
        n = len(context) + 1
        shorter = chance(context[1:], symbol) if context else 1 / alphabet
        counts = {gram[-1]: count for gram, count in tables[n].items() if gram[:-1] == context}
        if not counts:
            return shorter
        total, discount = sum(counts.values()), discounts[n]
        return (max(counts.get(symbol, 0) - discount, 0) + discount * len(counts) * shorter) / total

    bits = [
        -math.log2(chance(tuple(text[i - order + 1 : i]), text[i]))
        for i in range(len(learned), len(learned + held_out))
    ]
    return sum(bits) / len(bits)


@pytest.mark.parametrize("seed", range(5))
def test_ngrams_are_what_counting_by_hand_gives(seed: int) -> None:
    choose = random.Random(seed)
    text = choose.choices(range(4), weights=[8, 4, 2, 1], k=120)
    found = ngram_bits(np.array(text[:100]), np.array(text[100:]), longest=3)
    # counting by hand has no n-grams that reach before the text; with a hundred characters that is in the third digit
    assert found == pytest.approx([naive(text[:100], text[100:], n) for n in (1, 2, 3)], abs=0.02)


def test_probabilities_of_all_continuations_sum_to_one() -> None:
    learned = np.array([0, 1, 2, 0, 1, 3, 0, 2, 1, 0, 1, 2, 3, 3, 0, 1])
    bits = [ngram_bits(learned, np.array([symbol]), longest=4) for symbol in range(4)]
    for order in range(4):
        assert sum(2 ** -each[order] for each in bits) == pytest.approx(1)


def test_a_text_that_repeats_costs_next_to_nothing() -> None:
    ids = np.array([0, 1, 2, 3] * 500)
    found = baselines(ids[:1600], ids[1600:], Vocabulary.of_text("abcd"))
    assert found.ngram < 0.01
    assert found.order >= 2
    assert found.gzip < 0.3
    assert found.xz < 0.5


def test_compressors_know_the_text_before() -> None:
    choose = random.Random(0)
    ids = np.array([choose.randrange(26) for _ in range(2000)])
    vocab = Vocabulary.of_text("abcdefghijklmnopqrstuvwxyz")
    strange = baselines(ids[:1000], ids[1000:], vocab)
    known = baselines(ids[:1000], ids[:1000], vocab)
    assert known.xz < strange.xz / 4
    assert known.gzip < strange.gzip / 4


def test_compressors_are_those_of_gzip_9_and_xz_9e() -> None:
    text = ("the quick brown fox " * 3 + "jumps over the lazy dog. ") * 40
    vocab = Vocabulary.of_text(text)
    ids = np.array(vocab.encode(text))
    found = baselines(ids[:1], ids[1:], vocab)
    assert found.gzip * (len(ids) - 1) / 8 == pytest.approx(len(zlib.compress(text.encode(), 9)), abs=16)
    packed = len(lzma.compress(text.encode(), lzma.FORMAT_RAW, filters=xz(text.encode())))
    assert found.xz * (len(ids) - 1) / 8 == pytest.approx(packed, abs=16)


def test_text_of_bytes_that_are_no_utf_8_is_judged_too() -> None:
    vocab = Vocabulary(tuple(range(256)), of_bytes=True)
    ids = np.array(list(itertools.islice(itertools.cycle([255, 254, 0, 195]), 200)))
    assert baselines(ids[:150], ids[150:], vocab).ngram < 1


def test_of_a_long_text_the_parts_beside_the_cut_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means, "MOST_LEARNED", 100)
    monkeypatch.setattr(means, "MOST_HELD_OUT", 30)
    choose = random.Random(0)
    ids = np.array([choose.randrange(4) for _ in range(400)])
    vocab = Vocabulary.of_text("abcd")
    found = baselines(ids[:300], ids[300:], vocab)
    assert (found.learned, found.held_out, found.is_part) == (100, 30, True)
    again = baselines(ids[200:300], ids[300:330], vocab)
    assert (found.ngram, found.gzip, found.xz) == (again.ngram, again.gzip, again.xz)


def test_a_text_of_one_symbol_costs_nothing() -> None:
    found = baselines(np.zeros(50, np.uint8), np.zeros(9, np.uint8), Vocabulary.of_text("a"))
    assert str(found.ngram) == "0.0"
