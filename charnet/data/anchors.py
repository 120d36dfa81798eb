"""An index of a text of any size: half a byte for each symbol, and it finds runs of 31 symbols and more.

The text is cut into blocks of 16 symbols, of each of which a hash is stored, as rsync does (Tridgell & Mackerras 1996).
A run of 31 symbols holds a whole block wherever it begins, and 15 other symbols: 8 of them on one side. Of a block that
is frequent, such as one of spaces, only those places are compared that share these 8 too. No run is missed.

Shape legend: T symbols of a text, C pairs of a block in it and a place of that block in the indexed text, K places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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
NEAR = BLOCK // 2  # symbols beside a block, on one of its sides, that each run has that holds it
FREQUENT = 64  # places of a block; of more, those are chosen that have the same symbols near
RARE_AT_ONCE = 1 << 12  # blocks
AT_ONCE = 1 << 18  # pairs, or symbols that are compared
UNKNOWN = -1  # in place of a symbol that is part of no run


def hashes_of(blocks: npt.NDArray[np.integer[Any]]) -> UInt64s:
    """Returns the hashes of up to 16 symbols each, (N, 16) -> (N); the lower 32 bits are zero."""
    return mix(np.asarray(blocks.astype(np.uint64) @ POWERS[: blocks.shape[-1]], np.uint64)) & ~LOW


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


class Near(NamedTuple):
    """The places of a frequent block, (K) each: in the order of what is before them, and of what is behind."""

    before_K: UInt64s
    places_before_K: Int64s
    behind_K: UInt64s
    places_behind_K: Int64s
    before_of_behind_K: UInt64s  # for the places in the order of what is behind


class AnchorIndex:
    """Finds all long runs of symbols in the pieces of a text. None goes from one piece to the next.

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
        self._near: dict[int, Near] = {}  # by the hash of the block

    def longest(self, ids: Sequence[int], most: int) -> int:
        """Returns how many of the last `most` symbols of a text stand in the indexed one, as they end it; 30 if they
        are fewer or as many."""
        query = self._known(ids[-most:])
        return max([SHORTEST - 1, *(int(lengths_C.max(initial=0)) for lengths_C, _ in self._endings(query))])

    def first(self, ids: Sequence[int], length: int) -> int | None:
        """Returns the index of the symbol of a text with which the first run ends that is as long as this, or None."""
        reached = np.flatnonzero(self.runs(np.asarray(ids, np.int64))[0] >= length)
        return int(reached[0]) if len(reached) else None

    def next_symbols(self, ids: Sequence[int]) -> frozenset[int]:
        """Returns the symbols that come after these, at least 31, wherever they stand in the indexed text."""
        query, found = self._known(ids), set[int]()
        for lengths_C, behind_C in self._endings(query):
            behind_C = behind_C[lengths_C == len(query)]
            behind_C = behind_C[behind_C < self._pieces.ends[self._piece_of(behind_C - 1)]]
            found.update(np.unique(self._ids[behind_C]).tolist())
        return frozenset(found - {self._document_end})

    def runs(self, ids: npt.NDArray[np.integer[Any]]) -> tuple[Int64s, Int64s]:
        """Returns for each symbol of a text the length of the longest run that ends with it and stands in the indexed
        text, and the index there behind the run, (T) each; lengths below 31 as 0. An id below 0 is part of no run."""
        query = self._known(ids)
        found = np.zeros((3, 0), np.int64)  # where runs begin and end in the text, and how far their places are apart
        for at_C, place_C in self._candidates(query):
            piece_C = self._piece_of(place_C)
            room_C = np.minimum(np.minimum(at_C, place_C - self._pieces.begins[piece_C]), BLOCK)
            before_C = self._shared(query, at_C - 1, place_C - 1, -1, room_C)
            firsts = np.flatnonzero(before_C < BLOCK)  # if more are shared, the block before them is a candidate too
            at_C, place_C, piece_C, before_C = at_C[firsts], place_C[firsts], piece_C[firsts], before_C[firsts]
            room_C = np.minimum(len(query) - at_C, self._pieces.ends[piece_C] - place_C)
            ends_C = at_C + self._shared(query, at_C, place_C, 1, room_C)
            runs = np.stack([at_C - before_C, ends_C, place_C - at_C])[:, ends_C - at_C + before_C >= SHORTEST]
            found = _not_contained(np.concatenate([found, runs], axis=1))
        begins, ends, apart = np.append(found, [[len(query)], [len(query) + 1], [0]], axis=1)
        at_T = np.arange(len(query))
        run_T = np.searchsorted(ends, at_T, side="right")  # the one that began first of those that go on
        lengths_T = at_T - begins[run_T] + 1
        is_long_T = lengths_T >= SHORTEST
        return np.where(is_long_T, lengths_T, 0), np.where(is_long_T, at_T + 1 + apart[run_T], 0)

    def _known(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Int64s:
        query = np.asarray(ids, np.int64)
        known = query >= 0 if self._document_end is None else (query >= 0) & (query != self._document_end)
        return np.where(known, query, UNKNOWN)

    def _piece_of(self, places: Int64s) -> Int64s:
        return np.asarray(np.searchsorted(self._pieces.begins, places, side="right") - 1)

    def _endings(self, query: Int64s) -> Iterator[tuple[Int64s, Int64s]]:
        """Yields the lengths of the runs that end a text, and where the places behind them are, (C) each."""
        last = query[-SHORTEST:]  # has one block of each place
        if len(last) < SHORTEST:
            return
        for at_C, place_C in self._candidates(last):
            piece_C, behind_C = self._piece_of(place_C), place_C - at_C + SHORTEST
            within = np.flatnonzero(behind_C <= self._pieces.ends[piece_C])
            behind_C, piece_C = behind_C[within], piece_C[within]
            room_C = np.minimum(len(query), behind_C - self._pieces.begins[piece_C])
            yield self._shared(query, np.full(len(behind_C), len(query) - 1), behind_C - 1, -1, room_C), behind_C

    def _candidates(self, query: Int64s) -> Iterator[tuple[Int64s, Int64s]]:
        """Yields where blocks in a text begin and where they may begin in the indexed one, (C) each. Each block of each
        run of 31 and more is among them."""
        if len(query) < BLOCK or not len(self.order):
            return
        windows = np.lib.stride_tricks.sliding_window_view(query, BLOCK)
        near = hashes_of(np.lib.stride_tricks.sliding_window_view(query, NEAR))
        for begin in range(0, len(windows), BLOCKS_AT_ONCE):
            hashes = hashes_of(windows[begin : begin + BLOCKS_AT_ONCE])
            by_hash = np.argsort(hashes)  # neighbors are in memory that was just read
            hashes = hashes[by_hash]
            first = self.order.searchsorted(hashes)
            hit = ((self.order.take(first, mode="clip") ^ hashes) <= LOW).nonzero()[0]
            at, hashes, first = by_hash[hit] + begin, hashes[hit], first[hit]
            counts = np.searchsorted(self.order, hashes | LOW, side="right") - first
            rare = np.flatnonzero(counts <= FREQUENT)
            for some in np.split(rare, range(RARE_AT_ONCE, len(rare), RARE_AT_ONCE)):
                numbers = self.order[_ranges(first[some], counts[some])] & LOW
                yield np.repeat(at[some], counts[some]), numbers.astype(np.int64) * BLOCK
            rest = np.flatnonzero(counts > FREQUENT)
            yield from self._frequent(near, at[rest], hashes[rest], first[rest], counts[rest])

    def _frequent(
        self, near: UInt64s, at: Int64s, hashes: UInt64s, first: Int64s, counts: Int64s
    ) -> Iterator[tuple[Int64s, Int64s]]:
        """Yields the same for frequent blocks, of which the places are `counts` numbers from `first` on."""
        pairs, size = [(np.zeros(0, np.int64), np.zeros(0, np.int64))], 0
        for i, (block, begin) in enumerate(zip(hashes.tolist(), at.tolist(), strict=True)):
            if block not in self._near:
                numbers = self.order[first[i] : first[i] + counts[i]] & LOW
                self._near[block] = self._sorted(numbers.astype(np.int64) * BLOCK)
            known, before = self._near[block], near[begin - NEAR] if begin >= NEAR else np.uint64(1)
            low, high = known.before_K.searchsorted(before), known.before_K.searchsorted(before, side="right")
            places = [known.places_before_K[low:high]]
            if begin + BLOCK < len(near):
                behind = near[begin + BLOCK]
                low, high = known.behind_K.searchsorted(behind), known.behind_K.searchsorted(behind, side="right")
                places.append(known.places_behind_K[low:high][known.before_of_behind_K[low:high] != before])
            place_C = np.concatenate(places)
            pairs.append((np.full(len(place_C), begin), place_C))
            size += len(place_C)
            if size >= AT_ONCE or i == len(at) - 1:
                yield np.concatenate([each for each, _ in pairs]), np.concatenate([each for _, each in pairs])
                pairs, size = [], 0

    def _sorted(self, places_K: Int64s) -> Near:
        """Sorts the places of a block by what is beside them; a hash of 2 stands for the end of the text."""

        def hashes(begins_K: Int64s) -> UInt64s:
            within_K = (begins_K >= 0) & (begins_K + NEAR <= len(self._ids))
            near_KN = self._ids[np.where(within_K, begins_K, 0)[:, None] + np.arange(min(NEAR, len(self._ids)))]
            return np.where(within_K, hashes_of(near_KN), np.uint64(2))

        before_K, behind_K = hashes(places_K - NEAR), hashes(places_K + BLOCK)
        one, two = np.argsort(before_K), np.argsort(behind_K)
        return Near(before_K[one], places_K[one], behind_K[two], places_K[two], before_K[two])

    def _shared(self, query: Int64s, at_C: Int64s, place_C: Int64s, direction: int, limits_C: Int64s) -> Int64s:
        """Returns how many symbols are the same from each place on, or down from it if the direction is -1, up to a
        limit, (C). Only places that are still the same are compared further."""
        lengths_C, width, done = limits_C.copy(), 1, 0
        left = np.flatnonzero(limits_C > 0)
        while len(left):
            steps = np.arange(done, done + width) * direction
            at, place, limits = at_C[left], place_C[left], limits_C[left]
            if width > 1:
                beyond = limits[:, None] <= np.arange(done, done + width)
                steps_CW = np.where(beyond, 0, steps)
                differ_CW = (query[at[:, None] + steps_CW] != self._ids[place[:, None] + steps_CW]) & ~beyond
                differs, where = differ_CW.any(axis=1), differ_CW.argmax(axis=1)
            else:
                differs, where = query[at + steps[0]] != self._ids[place + steps[0]], np.zeros(len(left), np.int64)
            lengths_C[left[differs]] = done + where[differs]
            done += width
            left = left[~differs & (limits > done)]
            width = max(1, min(2 * width, AT_ONCE // max(1, len(left))))
        return lengths_C


def _ranges(first: Int64s, counts: Int64s) -> Int64s:
    """Returns the numbers from each of some first ones on, one range behind the other."""
    return np.asarray(np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts))


def _not_contained(runs: Int64s) -> Int64s:
    """Returns the runs, (3, N), that no other one contains, in their order."""
    runs = runs[:, np.lexsort((-runs[1], runs[0]))]
    before = np.maximum.accumulate(np.append(0, runs[1]))[:-1]
    return np.asarray(runs[:, runs[1] > before])
