"""Distributions as integers: counts of 2**24 for every symbol, computed to the same last bit on every machine.

Besides the symbols that may come there is one that never does. It gets what rounding leaves over, and its count is
never 0, so no symbol is certain: a file of a few bytes cannot stand for a text without end.

Shape legend: B streams, A characters in the model's alphabet, S symbols: these, those that the text has beyond, and the
one that never comes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.compression.rans import BITS, TOTAL
from charnet.engines import exact

Int64s = npt.NDArray[np.int64]

SHARED = TOTAL >> 10  # counts that all symbols share alike
SYMBOLS_A_BIT = 2048  # at most: a bit pays for so many that are nearly certain
HALVING = exact.HALVING  # steps of a logarithm
LOG2_BITS = 11
LOG2 = np.rint(np.log2(1 + (np.arange(1 << LOG2_BITS) + 0.5) / (1 << LOG2_BITS)) * HALVING).astype(np.int64)


def weights_of_logits(logits_BA: npt.NDArray[np.float32]) -> Int64s:
    """Returns integers in proportion to exp(logits)."""
    scores = logits_BA.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    return exact.weights_of(scores).astype(np.int64)


def weights_of_probabilities(p_BA: npt.NDArray[np.float32]) -> Int64s:
    """Returns integers in proportion to probabilities."""
    return (p_BA.astype(np.float64) * 2.0**32).astype(np.int64)


class Shares:
    """What is the same in all distributions of a block: which share the symbols beyond the alphabet have.

    Args:
        beyond: how often each of them comes in the block.
        length: symbols in the block.
    """

    def __init__(self, alphabet: int, beyond: npt.NDArray[Any], length: int) -> None:
        self.size = alphabet + len(beyond) + 1
        self.floor = max(1, SHARED // self.size)
        free = TOTAL - self.floor * self.size
        self._beyond = beyond.astype(np.int64) * free // max(1, length)
        self._known = free - int(self._beyond.sum())

    def counts(self, weights_BA: Int64s) -> Int64s:
        """Returns the counts (B, S) of symbols from weights of the characters in the alphabet."""
        batch, alphabet = weights_BA.shape
        counts_BS = np.full((batch, self.size), self.floor, np.int64)
        counts_BS[:, :alphabet] += weights_BA * self._known // np.maximum(1, weights_BA.sum(axis=1, keepdims=True))
        counts_BS[:, alphabet:-1] += self._beyond
        counts_BS[:, -1] += TOTAL - counts_BS.sum(axis=1)
        return counts_BS

    def bits(self, weights_BA: Int64s, ids_B: Int64s) -> float:
        """Returns the bits that symbols need by the weights themselves, to be shown (not to be computed with)."""
        alphabet, free = weights_BA.shape[1], TOTAL - self.floor * self.size
        is_known = ids_B < alphabet
        known = weights_BA[: len(ids_B)]
        chosen = known[is_known, ids_B[is_known]] / known[is_known].sum(axis=1) * self._known / free
        p_B = np.append(chosen, self._beyond[ids_B[~is_known] - alphabet] / free)
        return float(-np.log2(np.maximum(p_B, 2.0**-BITS)).sum())


def starts(counts_BS: Int64s) -> Int64s:
    """Returns of each symbol the counts of all symbols before it."""
    starts_BS = np.zeros_like(counts_BS)
    np.cumsum(counts_BS[:, :-1], axis=1, out=starts_BS[:, 1:])
    return starts_BS


def log2(counts: Int64s) -> Int64s:
    """Looks up logarithms of integers from 1 to 2**52, in steps.

    >>> (log2(np.array([1, 2, 3, 1 << 24])) / HALVING).round(3).tolist()
    [0.0, 1.0, 1.585, 24.0]
    """
    bits = counts.astype(np.float64).view(np.int64)
    return np.asarray(((bits >> 52) - 1023) * HALVING + LOG2[(bits >> (52 - LOG2_BITS)) & ((1 << LOG2_BITS) - 1)])


def ideal_bits(counts: npt.NDArray[Any]) -> float:
    """Returns the bits that symbols of these counts need, to be shown (not to be computed with)."""
    return float(len(counts) * BITS - np.log2(counts).sum())
