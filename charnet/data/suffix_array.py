"""An index of a text of some megabytes: finds each run of symbols that stands in it, however short.

It is the suffix array (Manber & Myers 1993) of the reversed text, so that what ends with the same symbols lies side by
side: the longest run that ends some other text is found by one binary search.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.data.documents import Documents
from charnet.data.encoded_copy import Ids

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


def suffix_array(text: npt.NDArray[np.unsignedinteger[Any]]) -> Int32s:
    """Returns where the suffixes of a text begin, in their order, (N).

    Words of 64 bits sort the first symbols of all suffixes at once. Then those that are still equal are sorted by what
    lies behind, twice as many symbols each time (Larsson & Sadakane 2007).

    >>> suffix_array(np.array([1, 0, 2, 0, 2, 0], np.uint8)).tolist()
    [5, 3, 1, 0, 4, 2]
    """
    count, bits = len(text), (int(text.max(initial=0)) + 1).bit_length()
    step = 64 // bits  # symbols
    padded = np.append(text.astype(np.uint64) + np.uint64(1), np.zeros(step, np.uint64))
    words = np.zeros(count, np.uint64)
    for at in range(step):
        words = (words << np.uint64(bits)) | padded[at : at + count]
    order = np.argsort(words)
    rank = np.zeros(count + 1, np.int64)  # the place of the first of its equals, from 1 on; 0 behind the text
    rank[order] = _first_of_equals(words[order]) + 1
    tied = _tied(rank[order])
    while len(tied):
        begins = order[tied]
        keys = (rank[begins] << 32) | rank[np.minimum(begins + step, count)]
        by_key = np.argsort(keys)
        keys, order[tied] = keys[by_key], begins[by_key]
        rank[order[tied]] = tied[_first_of_equals(keys)] + 1
        tied = tied[_tied(keys)]
        step *= 2
    return order.astype(np.int32)


def _first_of_equals(ordered: npt.NDArray[Any]) -> Int64s:
    """Returns for each of some ordered values the index of the first one that equals it."""
    begins = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    return np.asarray(np.maximum.accumulate(np.where(begins, np.arange(len(ordered)), 0)))


def _tied(ordered: npt.NDArray[Any]) -> Int64s:
    """Returns the indices of those of some ordered values that are not the only ones."""
    same = ordered[1:] == ordered[:-1]
    return np.flatnonzero(np.append(same, False) | np.append(False, same))


class SuffixIndex:
    """Finds runs of symbols in the pieces of a text. None goes from one piece to the next.

    Args:
        ids: the text.
        pieces: where the pieces lie in it.
        alphabet: the number of symbols.
        document_end: the symbol that ends a document, if there are some: it is part of no run.
        order: what `build` returned for this text.
    """

    shortest = 1  # run that is found

    def __init__(
        self, ids: Ids, pieces: Documents, alphabet: int, document_end: int | None, order: Int32s | None = None
    ) -> None:
        self._begins = pieces.begins
        self._behind = np.cumsum(pieces.lengths + 1)  # of each piece and the separator behind it
        self._separator = alphabet
        self._dtype = np.dtype("u1" if alphabet + 1 < 1 << 8 else ">u2" if alphabet + 1 < 1 << 16 else ">u4")
        backward = self._flat(ids, pieces, document_end)[::-1]
        self.order = suffix_array(backward) if order is None else order
        self._order, self._text = memoryview(self.order.data), backward.astype(self._dtype).tobytes()

    def _flat(self, ids: Ids, pieces: Documents, document_end: int | None) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Returns the pieces one behind the other, with a symbol that no text has behind each of them."""
        text = np.full(int(self._behind[-1]), self._separator, np.dtype("u4"))
        places = np.ones(len(text), np.bool_)
        places[self._behind - 1] = False
        lengths = pieces.lengths
        text[places] = ids[np.arange(lengths.sum()) + np.repeat(pieces.begins - np.cumsum(lengths) + lengths, lengths)]
        if document_end is not None:
            text[text == document_end] = self._separator
        return text

    def longest(self, ids: Sequence[int], most: int) -> int:
        """Returns how many of the last `most` symbols of a text stand in the indexed one, as they end it."""
        return self._search(self._query(ids[-most:]))[0]

    def first(self, ids: Sequence[int], length: int) -> int | None:
        """Returns the index of the symbol of a text with which the first run ends that is as long as this, or None."""
        at = length - 1
        while at < len(ids):
            found = self._search(self._query(ids[at + 1 - length : at + 1]))[0]
            if found >= length:
                return at
            at += length - found  # no run that is longer can end before
        return None

    def next_symbols(self, ids: Sequence[int]) -> frozenset[int]:
        """Returns the symbols that come after these wherever they stand in the indexed text."""
        query, width, text = self._query(ids), self._dtype.itemsize, self._text

        def key(at: int) -> bytes:
            return text[at * width : at * width + len(query)]

        first = bisect_left(self._order, query, key=key)
        last = bisect_right(self._order, query, lo=first, key=key)
        found = self.order[first:last].astype(np.int64)
        symbols = np.frombuffer(text, self._dtype)[found[found > 0] - 1]
        return frozenset(np.unique(symbols).tolist()) - {self._separator}

    def runs(self, ids: npt.NDArray[np.integer[Any]]) -> tuple[Int64s, Int64s]:
        """Returns for each symbol of a text the length of the longest run that ends with it and stands in the indexed
        text, and the index there behind the run, (T) each. An id below 0 is part of no run."""
        lengths_T, ends_T = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        width, text, count = self._dtype.itemsize, self._text, len(self.order)
        query = self._query(np.where(ids < 0, self._separator + 1, ids))
        length, begin = 0, 0  # of the run so far, and where it begins in the reversed text
        for t in range(len(ids)):
            at = (len(ids) - 1 - t) * width
            if length and begin and text[(begin - 1) * width : begin * width] == query[at : at + width]:
                length, begin = length + 1, begin - 1
            else:
                length, begin = self._search(query[at : at + (length + 1) * width])
            lengths_T[t], ends_T[t] = length, count - begin
        piece_T = np.searchsorted(self._behind, np.maximum(0, ends_T - 1), side="right")
        return lengths_T, ends_T + (self._begins - np.append(0, self._behind[:-1]))[piece_T]

    def _query(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> bytes:
        """Returns symbols as the reversed text has them."""
        if self._dtype.itemsize == 1 and isinstance(ids, (list, tuple)):
            return bytes(ids[::-1])
        return np.asarray(ids)[::-1].astype(self._dtype).tobytes()

    def _search(self, query: bytes) -> tuple[int, int]:
        """Returns how many symbols of a reversed text stand in the reversed text, and where they begin there."""
        width, text, size = self._dtype.itemsize, self._text, len(query)
        at = bisect_left(self._order, query, key=lambda begin: text[begin * width : begin * width + size])
        best = 0, 0
        for rank in range(max(0, at - 1), min(at + 1, len(self._order))):
            begin = self._order[rank]
            found = text[begin * width : begin * width + size]
            shared = min(len(found), size)
            differ = int.from_bytes(found[:shared]) ^ int.from_bytes(query[:shared])
            best = max(best, ((shared - (differ.bit_length() + 7) // 8) // width, begin))
        return best
