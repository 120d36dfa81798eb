"""The coder against another implementation and against the length that information theory calls for."""

from __future__ import annotations

import constriction
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnet.compression import rans
from charnet.compression.counts import Shares, ideal_bits, starts


def distributions(size: int, symbols: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts (N, S) of distributions by chance, and a symbol of each."""
    chance = np.random.default_rng(seed)
    weights = np.clip(chance.exponential(1e4, (size, symbols)) ** 2, 1, 2**32).astype(np.int64)
    counts = Shares(symbols, np.zeros(0, np.int64), size).counts(weights)
    drawn = [int(chance.choice(symbols, p=row[:-1] / row[:-1].sum())) for row in counts]
    return counts, np.array(drawn)


def encoded(counts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    place = np.arange(len(drawn)), drawn
    return rans.encode(starts(counts)[place], counts[place])


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 1 << 30))
def test_symbols_come_back_and_take_the_bits_that_they_need(size: int, symbols: int, seed: int) -> None:
    counts, drawn = distributions(size, symbols, seed)
    words = encoded(counts, drawn)
    decoder = rans.Decoder(words)
    assert [decoder.decode(row) for row in starts(counts)] == drawn.tolist()
    decoder.finish()
    needed = ideal_bits(counts[np.arange(size), drawn])
    assert needed <= 32 * len(words) <= needed + 64 + 0.001 * size


def test_the_code_is_as_long_as_that_of_another_implementation() -> None:
    """constriction's coder has counts of 24 bits and words of 32 bits too."""
    counts, drawn = distributions(3000, 30, 7)
    other = constriction.stream.stack.AnsCoder()
    models = constriction.stream.model.Categorical(perfect=False)
    other.encode_reverse(drawn.astype(np.int32), models, (counts / rans.TOTAL).astype(np.float64))
    assert abs(len(encoded(counts, drawn)) - len(other.get_compressed())) <= 2


def test_words_that_were_not_written_are_refused() -> None:
    counts, drawn = distributions(20, 5, 3)
    words = encoded(counts, drawn)
    for damaged in (words[:1], words[:0], np.zeros(2, np.uint32), words | np.uint32(1 << 31)):
        with pytest.raises(rans.CodeError):
            rans.Decoder(damaged)
    for damaged in (words[:-1], np.append(words, np.uint32(0))):
        with pytest.raises(rans.CodeError):  # noqa: PT012 - where it is found depends on the words
            decoder = rans.Decoder(damaged)
            for row in starts(counts):
                decoder.decode(row)
            decoder.finish()
