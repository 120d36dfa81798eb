"""The tables of what is learned of a text while it is coded, and what is in them before the text.

Shape legend: I predictions and that of the text itself, S symbols and the one that never comes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LONGEST = 6  # symbols of a context
MOST_NODES = 3 << 20  # symbols of contexts: with the contexts 100 MB
SURE = 4  # classes of how sure the networks are
WEIGHT_BITS, BIAS_BITS = 20, 8  # of fractions
LAST = 1 << 10  # classes of last symbols

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]


class Learned(NamedTuple):
    """What was learned of a text.

    Attributes:
        contexts: (a power of 2, 4): a part of the hash, the first node, and how many symbols and distinct symbols
            came.
        nodes: (nodes, 3): the symbols that came after a context, a list for each. Node 0 is the end of each list.
        used: (1): the next free node.
        weights: (classes, I).
        weights_of_last: (LAST, I): by the last symbol.
        bias: (LAST, S): added to the logarithm of each symbol, by the last symbol.
    """

    contexts: Int32s
    nodes: Int32s
    used: Int64s
    weights: Int64s
    weights_of_last: Int64s
    bias: Int32s


def new(inputs: int, length: int) -> Learned:
    """Returns what is known before a text.

    Args:
        inputs: predictions beside that of the text itself: of networks, and of an n-gram if there is one.
        length: of the first block: that of a short text, or one of a text that fills the tables.
    """
    size = min(MOST_NODES, (LONGEST + 1) * (length + 1) + 1)
    slots = 1 << (size + size // 4).bit_length()  # more than a fifth stays free
    first = [0.5, 0.2, 0.3] if inputs > 1 else [0.7, 0.3]
    weights = np.tile((np.array(first) * (1 << WEIGHT_BITS)).astype(np.int64), ((LONGEST + 1) * SURE, 1))
    return Learned(
        np.zeros((slots, 4), np.int32),
        np.zeros((size, 3), np.int32),
        np.ones(1, np.int64),
        weights,
        np.zeros((LAST, len(first)), np.int64),
        np.zeros((LAST, 0), np.int32),
    )


def widened(learned: Learned, symbols: int) -> Learned:
    """Returns the same with room for so many symbols."""
    old = learned.bias
    if old.shape[1] >= symbols:
        return learned
    bias = np.zeros((LAST, symbols), np.int32)
    bias[:, : old.shape[1]] = old
    return learned._replace(bias=bias)
