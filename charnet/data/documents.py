"""Reads documents side by side, for texts in which every line is a document.

B documents form a group. They are read together, each from an empty state, and the shorter ones wait for the longest.

Shape legend: B documents, T characters in a window.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from charnet.data.batches import GOLDEN_RATIO, StreamPosition
from charnet.data.encoded_copy import Ends, Ids
from charnet.errors import CorpusError

NO_TARGET = -100  # where there is nothing to predict: the default `ignore_index` of torch's cross-entropy
DOCUMENTS_SAMPLED = 1 << 12


def ends_of_lines(ids: Ids, line_end: int) -> Ends:
    """Returns the indices behind the lines of a text, the last of which may lack its line end."""
    ends = np.flatnonzero(np.asarray(ids) == line_end).astype(np.uint64) + np.uint64(1)
    return ends if len(ends) and ends[-1] == len(ids) else np.append(ends, np.uint64(len(ids)))


class DocumentStreams:
    """Groups of B documents, read in windows of at most T characters. It has the same methods as `Streams`.

    No state passes from one document to another. Every character of a document is predicted, the first one from
    `start_id`. Each pass has another order.

    Args:
        ids: the text.
        ends: the index behind each document.
        start_id: the id that precedes each document.
        batch_size: documents in a group, B.
        window: characters in a window, T.
        begins: the index of the first character of each document, if that is not the end of the document before.

    Raises:
        CorpusError: there is no document.
    """

    def __init__(
        self, ids: Ids, ends: Ends, start_id: int, batch_size: int, window: int, begins: Ends | None = None
    ) -> None:
        if not len(ends):
            raise CorpusError("the text to learn from has no line: give a longer text, or a smaller --val-fraction")
        self._ids, self._ends, self._begins, self._start_id = ids, ends, begins, start_id
        self._batch_size, self._window = batch_size, window
        self._groups = -(-len(ends) // batch_size)

    def _bounds(self, position: StreamPosition) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns where the documents of a group begin and end, (B) each."""
        count = len(self._ends)
        rank = position.group * self._batch_size + np.arange(self._batch_size)
        chosen = (rank % count * _stride(count, position.passes) + position.passes) % count
        ends = self._ends[chosen].astype(np.int64)
        if self._begins is not None:
            return self._begins[chosen].astype(np.int64), ends
        return np.where(chosen > 0, self._ends[chosen - 1].astype(np.int64), 0), ends

    def read(self, position: StreamPosition) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns the ids at a position, (B, T'), and the id that follows each of them, (B, T'); T' is at most T."""
        begins, ends = self._bounds(position)
        first = position.window * self._window
        width = min(self._window, int((ends - begins).max()) - first)
        at_BT = begins[:, None] + first + np.arange(width)
        within = at_BT < ends[:, None]
        y_BT = self._ids[np.where(within, at_BT, 0)].astype(np.int64)
        x_BT = self._ids[np.where(within, at_BT - 1, 0)].astype(np.int64)
        x_BT[at_BT == begins[:, None]] = self._start_id
        y_BT[~within] = NO_TARGET
        return x_BT, y_BT

    def after(self, position: StreamPosition) -> StreamPosition:
        """Returns the next position."""
        begins, ends = self._bounds(position)
        if (position.window + 1) * self._window < int((ends - begins).max()):
            return position._replace(window=position.window + 1)
        if position.group + 1 < self._groups:
            return StreamPosition(position.passes, position.group + 1)
        return StreamPosition(position.passes + 1)

    def resets_state(self, position: StreamPosition) -> bool:
        """Returns whether documents begin at a position."""
        return position.window == 0

    def has(self, position: StreamPosition) -> bool:
        """Returns whether the text has such a position."""
        if position.group >= self._groups:
            return False
        begins, ends = self._bounds(position)
        return position.window * self._window < int((ends - begins).max())


def _stride(count: int, passes: int) -> int:
    """Returns the distance between documents that follow each other in a pass; it visits each document once."""
    stride = max(1, int(count * ((passes + 1) * GOLDEN_RATIO % 1.0)))
    while math.gcd(stride, count) != 1:
        stride += 1
    return stride


def mean_fill(ends: Ends, batch_size: int) -> float:
    """Estimates, from a sample of documents, which part of the positions in groups of B documents holds characters."""
    count = min(len(ends), DOCUMENTS_SAMPLED) // batch_size * batch_size
    if not count:
        return 1.0
    lengths = sampled_lengths(ends)[:count].reshape(-1, batch_size)
    return float(lengths.sum() / (lengths.max(1).sum() * batch_size))


def sampled_lengths(ends: Ends) -> npt.NDArray[np.int64]:
    """Returns the lengths in characters of documents spread evenly over the text."""
    chosen = np.linspace(0, len(ends) - 1, min(len(ends), DOCUMENTS_SAMPLED)).astype(np.int64)
    before = np.where(chosen > 0, ends[chosen - 1], 0)
    return (ends[chosen] - before).astype(np.int64)
