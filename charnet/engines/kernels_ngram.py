"""The compiled loops of an n-gram: one step of its state, and its part in the mean of the probabilities.

They compute what `charnet.model.ngram` describes. Shape legend: V characters in the alphabet.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from charnet.engines.kernels_layer import Floats
from charnet.model.ngram import LONGEST, WeightedNgram

Int32s = npt.NDArray[np.int32]


class Table(NamedTuple):
    """An n-gram as the loops read it. A share of 0 stands for none."""

    share: float
    first: Int32s
    symbols: Int32s
    added: Floats
    link: Int32s
    backoff: Floats
    base_V: Floats


def pack(ngram: WeightedNgram | None) -> Table:
    """Returns the table of an n-gram for the loops."""
    if ngram is None:
        ints, floats = np.zeros(0, np.int32), np.zeros(0, np.float32)
        return Table(0.0, ints, ints, floats, ints, floats, floats)
    t = ngram.table
    return Table(float(ngram.share), t.first, t.symbols, t.added, t.link, t.backoff, t.base_V)


@njit(nogil=True, error_model="numpy")
def step(table: Table, node: int, symbol: int) -> int:
    """Returns the state after one more character."""
    while node:
        low, high = table.first[node], table.first[node + 1]
        while low < high:
            middle = (low + high) // 2
            if table.symbols[middle] < symbol:
                low = middle + 1
            else:
                high = middle
        if low < table.first[node + 1] and table.symbols[low] == symbol:
            return int(low) if low < len(table.backoff) else int(table.link[low])
        node = table.link[node]
    return 1 + symbol


@njit(nogil=True, error_model="numpy")
def probabilities(table: Table, node: int, p_V: Floats) -> None:
    """Computes the distribution of the next character, from the shortest context to the longest, as `Ngram` does."""
    chain, depth = np.empty(LONGEST, np.int32), 0
    while node:
        chain[depth] = node
        depth += 1
        node = table.link[node]
    for v in range(len(p_V)):
        p_V[v] = table.base_V[v]
    while depth:
        depth -= 1
        node = chain[depth]
        backoff = table.backoff[node]
        for v in range(len(p_V)):
            p_V[v] *= backoff
        for entry in range(table.first[node], table.first[node + 1]):
            p_V[table.symbols[entry]] += table.added[entry]


@njit(nogil=True, error_model="numpy")
def mix(table: Table, node: int, logits_V: Floats, logsumexp: float, p_V: Floats, mean_V: Floats) -> None:
    """Computes the logarithms of the mean of a network's and the n-gram's probabilities, which are logits too.

    Args:
        logits_V: of the network, whose exponentials sum to exp(logsumexp).
        p_V: memory for the n-gram's probabilities.
        mean_V: the result; it may be `logits_V`.
    """
    probabilities(table, node, p_V)
    for v in range(len(table.base_V)):
        of_network = np.exp(np.float64(logits_V[v]) - logsumexp)
        mean_V[v] = np.log((1 - table.share) * of_network + table.share * np.float64(p_V[v]))
