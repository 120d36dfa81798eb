"""An index of a text of any size: half a byte for each symbol, and it finds runs of 31 symbols and more.

The text is cut into blocks of 16 symbols, of each of which a hash is stored, as rsync does (Tridgell & Mackerras 1996).
A run of 31 symbols holds a whole block wherever it begins. What has the hash of a block is compared with the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.data.documents import FACTOR, Documents, mix
from charnet.data.encoded_copy import Ids

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

BLOCK = 16  # symbols
SHORTEST = 2 * BLOCK - 1
BLOCKS_AT_ONCE = 1 << 16
POWERS = np.cumprod(np.full(BLOCK, FACTOR, np.uint64))
LOW = np.uint64((1 << 32) - 1)
COMPARED = 64  # symbols at once
OUTSIDE = -1  # in place of a symbol: it is not in the piece


def hashes_of(blocks: npt.NDArray[np.integer[Any]]) -> UInt64s:
    """Returns the hashes of blocks of symbols, (N, 16) -> (N); the lower 32 bits are zero."""
    return mix(np.asarray(blocks.astype(np.uint64) @ POWERS, np.uint64)) & ~LOW


def anchors(ids: Ids, pieces: Documents) -> UInt64s:
    """Returns the hashes of the blocks that lie within a piece, with the number of the block in the lower bits, in
    order."""
    found = [np.zeros(0, np.uint64)]
    for first in range(0, len(ids) // BLOCK, BLOCKS_AT_ONCE):
        last = min(first + BLOCKS_AT_ONCE, len(ids) // BLOCK)
        numbers = np.arange(first, last)
        piece = np.searchsorted(pieces.begins, numbers * BLOCK, side="right") - 1
        within = (piece >= 0) & ((numbers + 1) * BLOCK <= pieces.ends[piece])
        blocks = np.asarray(ids[first * BLOCK : last * BLOCK]).reshape(-1, BLOCK)[within]
        found.append(hashes_of(blocks) | numbers[within].astype(np.uint64))
    keys = np.concatenate(found)
    keys.sort()
    return keys


class AnchorIndex:
    """Finds long runs of symbols in the pieces of a text. None goes from one piece to the next.

    Args:
        ids: the text; it is not copied.
        pieces: where the pieces lie in it, in their order.
        document_end: the symbol that ends a document, if there are some: it is part of no run.
        keys: what `anchors` returned for this text.
    """

    shortest = SHORTEST

    def __init__(self, ids: Ids, pieces: Documents, document_end: int | None, keys: UInt64s | None = None) -> None:
        self._ids, self._pieces, self._document_end = ids, pieces, document_end
        self.order = anchors(ids, pieces) if keys is None else keys

    def longest(self, ids: Sequence[int], most: int) -> int:
        """Returns how many of the last `most` symbols of a text stand in the indexed one, as they end it; 30 if they
        are fewer or as many."""
        query = np.asarray(ids[-most:], np.int64)
        at_C, block_C = self._candidates(query)
        if not len(at_C):
            return SHORTEST - 1
        equal_CT, _ = self._compared(query, at_C, block_C)
        differ_CT = ~equal_CT[:, ::-1]
        lengths = np.where(differ_CT.any(axis=1), differ_CT.argmax(axis=1), len(query))
        return max(SHORTEST - 1, int(lengths.max(initial=0)))

    def first(self, ids: Sequence[int], length: int) -> int | None:
        """Returns the index of the symbol of a text with which the first run ends that is as long as this, or None."""
        reached = np.flatnonzero(self.runs(np.asarray(ids, np.int64))[0] >= length)
        return int(reached[0]) if len(reached) else None

    def next_symbols(self, ids: Sequence[int]) -> frozenset[int]:
        """Returns the symbols that come after these, at least 31, wherever they stand in the indexed text."""
        query = np.asarray(ids, np.int64)
        equal_CT, next_C = self._compared(query, *self._candidates(query))
        found = next_C[equal_CT.all(axis=1)]
        return frozenset(found.tolist()) - {OUTSIDE, self._document_end}

    def _compared(self, query: Int64s, at_C: Int64s, block_C: Int64s) -> tuple[npt.NDArray[np.bool_], Int64s]:
        """Compares a short text with all places where a block of it may stand.

        Args:
            at_C, block_C: as `_candidates` returns them.

        Returns:
            Which of its symbols are the same in each place, (C, T), and the symbols behind these places, (C).
        """
        places_CT = (block_C - at_C)[:, None] + np.arange(len(query) + 1)
        piece_C = self._piece_of(block_C)
        within_CT = places_CT >= self._pieces.begins[piece_C][:, None]
        within_CT &= places_CT < self._pieces.ends[piece_C][:, None]
        found_CT = np.where(within_CT, self._ids[np.where(within_CT, places_CT, 0)].astype(np.int64), OUTSIDE)
        known = query >= 0 if self._document_end is None else (query >= 0) & (query != self._document_end)
        return (found_CT[:, :-1] == query) & known, found_CT[:, -1]

    def _piece_of(self, places: Int64s) -> Int64s:
        return np.asarray(np.searchsorted(self._pieces.begins, places, side="right") - 1)

    def _candidates(self, query: Int64s) -> tuple[Int64s, Int64s]:
        """Returns where blocks in a text begin that may stand in the indexed one, and where they begin there."""
        nowhere = np.zeros(0, np.int64)
        if len(query) < BLOCK or not len(self.order):
            return nowhere, nowhere
        hashes = hashes_of(np.lib.stride_tricks.sliding_window_view(query, BLOCK))
        by_hash = np.argsort(hashes)  # neighbors are in memory that was just read
        hashes = hashes[by_hash]
        first = self.order.searchsorted(hashes)
        hit = ((self.order.take(first, mode="clip") ^ hashes) <= LOW).nonzero()[0]
        if not len(hit):
            return nowhere, nowhere
        counts = np.searchsorted(self.order, hashes[hit] | LOW, side="right") - first[hit]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        numbers = self.order[np.repeat(first[hit], counts) + within] & LOW
        return np.repeat(by_hash[hit], counts), numbers.astype(np.int64) * BLOCK

    def runs(self, ids: npt.NDArray[np.integer[Any]]) -> tuple[Int64s, Int64s]:
        """Returns for each symbol of a text the length of the longest run that ends with it and stands in the indexed
        text, and the index there behind the run, (T) each; lengths below 31 as 0. An id below 0 is part of no run."""
        query = np.asarray(ids, np.int64)
        lengths_T, ends_T = np.zeros(len(query), np.int64), np.zeros(len(query), np.int64)
        covered: dict[int, int] = {}  # by how far the places are apart: the end of the last run
        for first in range(0, len(query), BLOCKS_AT_ONCE):
            at_C, block_C = self._candidates(query[first : first + BLOCKS_AT_ONCE + BLOCK - 1])
            in_order = np.argsort(at_C, kind="stable")
            for at, block in zip((at_C + first)[in_order].tolist(), block_C[in_order].tolist(), strict=True):
                if at + BLOCK > covered.get(block - at, 0):
                    begin, end = self._extended(query, at, block)
                    covered[block - at] = end
                    run_T = np.arange(1, end - begin + 1)
                    longer = run_T > lengths_T[begin:end]
                    lengths_T[begin:end][longer] = run_T[longer]
                    ends_T[begin:end][longer] = (block - at + begin + run_T)[longer]
        is_short_T = lengths_T < SHORTEST
        lengths_T[is_short_T], ends_T[is_short_T] = 0, 0
        return lengths_T, ends_T

    def _extended(self, query: Int64s, at: int, block: int) -> tuple[int, int]:
        """Returns where the run that begins at a block of a text, or before it, begins and ends in that text."""
        piece = int(self._piece_of(np.array(block)))
        first, last = int(self._pieces.begins[piece]), int(self._pieces.ends[piece])
        begin = at - self._shared(query, at, block, -1, min(at, block - first))
        end = at + self._shared(query, at, block, 1, min(len(query) - at, last - block))
        return begin, max(begin, end)

    def _shared(self, query: Int64s, at: int, place: int, direction: int, most: int) -> int:
        """Returns how many symbols are the same from some place on, or before it if the direction is -1."""
        count = 0
        while count < most:
            size = min(COMPARED, most - count)
            steps = np.arange(count, count + size) if direction > 0 else -1 - np.arange(count, count + size)
            symbols = query[at + steps]
            differ = np.flatnonzero((symbols != self._ids[place + steps]) | (symbols == self._document_end))
            if len(differ):
                return count + int(differ[0])
            count += size
        return count
