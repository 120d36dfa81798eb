"""How the symbols of a block lie in streams that are read side by side.

The streams are pieces of the block, one behind the other. They are coded step by step: the first symbol of each stream,
then the second of each. Both sides know the same at each step.

Shape legend: B streams, N symbols of a block.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from charnet.compression.counts import Int64s

STREAMS, SYMBOLS_A_STREAM = 64, 4096  # at most; at least


class Layout:
    """How the N symbols of a block lie in streams. The first streams may have a symbol more than the others."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.batch = max(1, min(STREAMS, length // SYMBOLS_A_STREAM))  # more are faster, and each begins anew
        each, longer = divmod(length, self.batch)
        lengths = np.full(self.batch, each)
        lengths[:longer] += 1
        first_B = np.cumsum(lengths) - lengths
        steps, rest = np.arange(each)[:, None] + first_B, each + first_B[:longer]
        self._order = np.concatenate([steps.reshape(-1), rest])  # of the symbols as they are coded

    def sizes(self) -> Iterator[int]:
        """Yields how many symbols each step has."""
        whole, rest = divmod(self.length, self.batch)
        yield from [self.batch] * whole
        yield from [rest] * bool(rest)

    def steps(self, ids_N: Int64s) -> Iterator[tuple[int, Int64s]]:
        """Yields the symbols of each step, and how many there were before."""
        coded, at = ids_N[self._order], 0
        for size in self.sizes():
            yield at, coded[at : at + size]
            at += size

    def join(self, coded: Int64s) -> Int64s:
        """Returns the symbols (N) as they were before `steps`."""
        ids_N = np.empty_like(coded)
        ids_N[self._order] = coded
        return ids_N

    def padded(self, ids_B: Int64s) -> Int64s:
        """Returns a symbol for each stream, also for those that are at their end."""
        return ids_B if len(ids_B) == self.batch else np.append(ids_B, np.zeros(self.batch - len(ids_B), np.int64))
