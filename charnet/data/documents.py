"""Reads documents side by side: short texts that have nothing to do with each other, such as the lines of a list.

The documents of a pass lie one behind the other in B streams, each padded to whole windows, and each begins with an
empty state. All streams have the same number of windows, so the work of a pass follows from the characters and not from
the longest document. A document that reaches the end of its stream goes on at the start of the next one, which knows
nothing of its beginning but the last character. Among many documents none takes more than an eighth of a pass: of a
longer one each pass reads a piece, the next pass the piece behind it.

Shape legend: B streams, T characters in a window, N documents.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.data.batches import GOLDEN_RATIO, StreamPosition
from charnet.data.encoded_copy import Ends, Ids
from charnet.errors import CorpusError

NO_TARGET = -100  # where there is nothing to predict: the default `ignore_index` of torch's cross-entropy
DOCUMENTS_SAMPLED = 1 << 12
HASHED, HASHED_AT_ONCE = 1024, 1 << 14  # characters at the start of a document; documents
FACTOR = 0x9E3779B97F4A7C15  # odd, with no pattern in its bits
MANY, LARGEST_SHARE = 100, 8  # documents; none of so many takes more than an eighth of a pass

Ints = npt.NDArray[np.int64]


class Documents(NamedTuple):
    """Where documents begin and end in a text, (N) each. They may lie in any order and leave out parts of the text."""

    begins: Ints
    ends: Ints

    @classmethod
    def up_to(cls, ends: Ends) -> Documents:
        """Returns documents that follow each other from the start of a text; `ends` are the indices behind them."""
        ends_N = np.asarray(ends).astype(np.int64)
        return cls(np.append(np.int64(0), ends_N)[:-1], ends_N)

    @property
    def lengths(self) -> Ints:
        """Characters of each document, (N)."""
        return self.ends - self.begins

    def take(self, chosen: npt.NDArray[np.int64] | slice) -> Documents:
        """Returns some of the documents, in this order."""
        return Documents(self.begins[chosen], self.ends[chosen])

    def sampled_lengths(self) -> Ints:
        """Returns the lengths of documents spread evenly over the text."""
        count = len(self.ends)
        return self.take(np.linspace(0, count - 1, min(count, DOCUMENTS_SAMPLED)).astype(np.int64)).lengths

    def head(self, characters: int) -> Documents:
        """Returns the first documents, with this many characters in all; the last one may be cut short."""
        total_N = np.cumsum(self.lengths)
        count = int(np.searchsorted(total_N, characters)) + 1
        if count > len(total_N):
            return self
        begins, ends = self.begins[:count], self.ends[:count].copy()
        ends[-1] -= int(total_N[count - 1]) - characters
        return Documents(begins, ends)


def hashes(
    ids: Ids, documents: Documents, symbols_V: npt.NDArray[np.unsignedinteger] | None = None
) -> npt.NDArray[np.uint64]:
    """Returns a number for each document, (N), the same for equal ones and hardly ever for others.

    It is a polynomial modulo 2^64 of the first `HASHED` ids and the length, mixed as in SplitMix64 (Steele, Lea & Flood
    2014). With `symbols_V`, the symbols by their ids, it is one of the symbols: the same in every alphabet.
    """
    powers = np.cumprod(np.full(HASHED, FACTOR, np.uint64))
    found = [np.zeros(0, np.uint64)]
    for first in range(0, len(documents.ends), HASHED_AT_ONCE):
        block = documents.take(slice(first, first + HASHED_AT_ONCE))
        lengths = np.minimum(block.lengths, HASHED)
        starts = np.cumsum(lengths) - lengths
        offsets = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
        found_ids = ids[np.repeat(block.begins, lengths) + offsets]
        symbols = found_ids if symbols_V is None else symbols_V[found_ids]
        terms = (symbols.astype(np.uint64) + np.uint64(1)) * powers[offsets]
        found.append(np.add.reduceat(terms, starts) + block.lengths.astype(np.uint64))
    return mix(np.concatenate(found))


def mix(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Returns numbers that look random, each a function of the one that it replaces (SplitMix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers


def ends_of_lines(ids: Ids, line_end: int) -> Ends:
    """Returns the indices behind the lines of a text, the last of which may lack its line end."""
    ends = np.flatnonzero(np.asarray(ids) == line_end).astype(np.uint64) + np.uint64(1)
    return ends if len(ends) and ends[-1] == len(ids) else np.append(ends, np.uint64(len(ids)))


def read_window(ids: Ids, documents: Documents, first_B: Ints, window: int, start_id: int) -> tuple[Ints, Ints]:
    """Reads a window of B documents.

    Args:
        documents: B of them.
        first_B: the index in the text where the window of each document begins. Where it is not inside the document,
            nothing is read.

    Returns:
        The inputs and the targets, (B, T'): each target is the character after its input. T' is at most `window`. The
        input before the first character of a document is `start_id`. `NO_TARGET` fills the rows of ended documents.
    """
    width = max(1, min(window, int((documents.ends - first_B).max())))
    at_BT = first_B[:, None] + np.arange(width)
    within = (at_BT < documents.ends[:, None]) & (at_BT >= documents.begins[:, None])
    y_BT = ids[np.where(within, at_BT, 0)].astype(np.int64)
    x_BT = ids[np.where(within, at_BT - 1, 0)].astype(np.int64)
    x_BT[at_BT == documents.begins[:, None]] = start_id
    y_BT[~within] = NO_TARGET
    return x_BT, y_BT


class DocumentStreams:
    """Documents in B streams, read in windows of at most T characters. It has the same methods as `Streams`.

    No state passes from one document to another. Every character of a document is predicted, the first one from
    `start_id`. Each pass has another order.

    Args:
        ids: the text.
        documents: where they lie in it.
        start_id: the id that precedes each document.
        batch_size: number of streams, B.
        window: characters in a window, T.

    Raises:
        CorpusError: there is no document.
    """

    def __init__(self, ids: Ids, documents: Documents, start_id: int, batch_size: int, window: int) -> None:
        if not len(documents.ends):
            raise CorpusError("the text to learn from has no document: give a longer text, or a smaller --val-fraction")
        self._ids, self._documents, self._start_id = ids, documents, start_id
        self._batch_size, self._window = batch_size, window
        self._windows_N = windows_in_pass(documents, window)
        total = int(self._windows_N.sum())
        self._first_B = np.arange(batch_size) * total // batch_size  # the window of the pass with which a stream begins
        self._total, self._windows_in_stream = total, -(-total // batch_size)
        self._passes, self._order_N, self._behind_N = -1, self._windows_N, self._windows_N
        self._last: tuple[StreamPosition, tuple[Ints, Ints]] | None = None

    def _windows(self, position: StreamPosition) -> tuple[Ints, Ints]:
        """Returns the document that each stream reads, and which of its windows, (B) each. A step asks twice."""
        if self._last is None or self._last[0] != position:
            self._last = position, self._find(position)
        return self._last[1]

    def _find(self, position: StreamPosition) -> tuple[Ints, Ints]:
        if position.passes != self._passes:
            count = len(self._windows_N)
            rank_N = np.arange(count)
            self._order_N = (rank_N * _stride(count, position.passes) + position.passes) % count
            self._behind_N = np.cumsum(self._windows_N[self._order_N])
            self._passes = position.passes
        at_B = (self._first_B + position.window) % self._total
        rank_B = np.searchsorted(self._behind_N, at_B, side="right")
        document_B = self._order_N[rank_B]
        window_B = at_B - (self._behind_N[rank_B] - self._windows_N[document_B])
        whole_B = num_windows(self._documents.take(document_B), self._window)
        return document_B, (position.passes * self._windows_N[document_B] % whole_B + window_B) % whole_B

    def read(self, position: StreamPosition) -> tuple[Ints, Ints]:
        """Returns the ids at a position, (B, T'), and the id that follows each of them, (B, T'); T' is at most T."""
        document_B, window_B = self._windows(position)
        documents = self._documents.take(document_B)
        return read_window(
            self._ids, documents, documents.begins + window_B * self._window, self._window, self._start_id
        )

    def after(self, position: StreamPosition) -> StreamPosition:
        """Returns the next position."""
        if position.window + 1 < self._windows_in_stream:
            return position._replace(window=position.window + 1)
        return StreamPosition(position.passes + 1)

    def resets_state(self, position: StreamPosition) -> npt.NDArray[np.bool_]:
        """Returns for each stream, (B), whether its state is empty before a position: a document begins there."""
        _, window_B = self._windows(position)
        begins_B: npt.NDArray[np.bool_] = (window_B == 0) | (position.window == 0)
        return begins_B

    def has(self, position: StreamPosition) -> bool:
        """Returns whether the text has such a position."""
        return position.window < self._total  # earlier versions counted windows otherwise


def _stride(count: int, passes: int) -> int:
    """Returns the distance between documents that follow each other in a pass; it visits each document once."""
    stride = max(1, int(count * ((passes + 1) * GOLDEN_RATIO % 1.0)))
    while math.gcd(stride, count) != 1:
        stride += 1
    return stride


def num_windows(documents: Documents, window: int) -> Ints:
    """Returns how many windows of T characters each document fills, (N); the last one is not always full."""
    return -(-documents.lengths // window)


def windows_in_pass(documents: Documents, window: int) -> Ints:
    """Returns how many windows of each document a pass reads, (N): all, but of a very long document among others."""
    windows_N = num_windows(documents, window)
    most = int(windows_N.sum())
    if len(windows_N) > MANY:
        for _ in range(8):  # the limit is a share of what is left under it
            most = -(-int(np.minimum(windows_N, most).sum()) // LARGEST_SHARE)
    return np.minimum(windows_N, most)
