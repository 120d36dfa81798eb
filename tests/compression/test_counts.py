"""Counts that stand for probabilities."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charnet.compression.counts import HALVING, SYMBOLS_A_BIT, Shares, log2, weights_of_logits
from charnet.compression.rans import TOTAL

LOGITS = st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=40)


@given(LOGITS, st.lists(st.integers(0, 9), max_size=30), st.integers(1, 300))
def test_all_symbols_have_counts_and_none_is_certain(logits: list[float], beyond: list[int], more: int) -> None:
    shares = Shares(len(logits), np.array(beyond, np.int64), sum(beyond) + more)
    counts = shares.counts(weights_of_logits(np.array([logits], np.float32)))[0]
    assert counts.shape == (len(logits) + len(beyond) + 1,)
    assert counts.sum() == TOTAL
    assert counts.min() >= 1
    assert -np.log2(counts.max() / TOTAL) > 1 / SYMBOLS_A_BIT


def test_logarithms_are_right_to_a_step() -> None:
    numbers = np.concatenate([np.arange(1, 5000), 2 ** np.arange(12, 50), 3 ** np.arange(8, 30)]).astype(np.int64)
    assert np.abs(log2(numbers) / HALVING - np.log2(numbers)).max() < 2 / HALVING


def test_the_largest_alphabet_leaves_no_symbol_without_a_count() -> None:
    shares = Shares(200_000, np.zeros(5, np.int64), 10)
    counts = shares.counts(np.zeros((1, 200_000), np.int64))
    assert counts.min() >= 1
    assert counts.sum() == TOTAL
