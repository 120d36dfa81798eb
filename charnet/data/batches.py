"""The text as windows for truncated back-propagation through time.

The text is cut into B contiguous streams of equal length, read side by side. Window k + 1 of a stream continues its
window k, so the state carried from one to the next is the true state. Each pass over the text starts its streams a
little later than the one before, so that windows do not always break at the same places.

Where every line is a document, each stream reads one document after the other, from an empty state; the others wait for
the longest of them.

Shape legend: B streams, T characters in a window.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.config import DataSettings
from charnet.data.encoded_copy import Ends, Ids
from charnet.errors import CorpusError, plural

GOLDEN_RATIO = 0.6180339887498949
NO_TARGET = -100  # where there is nothing to predict: torch's cross-entropy leaves it out
DOCUMENTS_SAMPLED = 1 << 12
MOST_PIECES = 1 << 24  # windows of one document


class StreamPosition(NamedTuple):
    """Where reading stands: passes completed, and windows read in this pass. Part of every checkpoint."""

    passes: int = 0
    window: int = 0


def ends_of_lines(ids: Ids, line_end: int) -> Ends:
    """The places behind the lines of a text, the last of which may lack its end."""
    ends = np.flatnonzero(np.asarray(ids) == line_end).astype(np.uint64) + np.uint64(1)
    return ends if len(ends) and ends[-1] == len(ids) else np.append(ends, np.uint64(len(ids)))


class Split:
    """A text in two: `learned`, and `val`, which is held out; where lines are documents
    each with the places behind its own, and cut between two of them.

    Args:
        ids: the whole text; ends: the places behind its documents.
    """

    def __init__(self, ids: Ids, ends: Ends | None, data: DataSettings) -> None:
        cut = len(ids) - data.num_held_out(len(ids))
        self.train_ends = self.val_ends = None
        if ends is not None:
            learned = int(np.searchsorted(ends, cut, side="right"))
            cut = int(ends[learned - 1]) if learned else 0
            self.train_ends = ends[:learned]
            self.val_ends = ends[learned:] - np.uint64(cut)
        self.train, self.val = ids[:cut], ids[cut:]


class Streams:
    """B streams over a text, read in windows of T characters.

    Args:
        ids: the text, one id a character.
        batch_size: number of streams, B.
        window: characters in a window, T.

    Raises:
        CorpusError: the text is too short for one window in each stream.
    """

    def __init__(self, ids: Ids, batch_size: int, window: int) -> None:
        check_length(len(ids), batch_size, window)
        self._ids, self._batch_size, self._window = ids, batch_size, window

    def _start(self, passes: int) -> int:
        """The first character of a pass: somewhere in the first window, evenly spread over the passes."""
        spare = len(self._ids) - shortest(self._batch_size, self._window)
        return int(min(self._window, spare + 1) * ((passes * GOLDEN_RATIO) % 1.0))

    def windows_in_pass(self, passes: int) -> int:
        """How many windows each stream has in a pass."""
        return (len(self._ids) - 1 - self._start(passes)) // self._batch_size // self._window

    def read(self, position: StreamPosition) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The ids at a position, (B, T), and those that follow each of them, (B, T)."""
        start = self._start(position.passes)
        length = (len(self._ids) - 1 - start) // self._batch_size
        first = start + np.arange(self._batch_size) * length + position.window * self._window
        both = np.stack([self._ids[at : at + self._window + 1] for at in first.tolist()]).astype(np.int64)
        return both[:, :-1], both[:, 1:]

    def after(self, position: StreamPosition) -> StreamPosition:
        """The position that follows; its window is 0 where streams start again and the state with them."""
        if position.window + 1 < self.windows_in_pass(position.passes):
            return StreamPosition(position.passes, position.window + 1)
        return StreamPosition(position.passes + 1, 0)

    def resets_state(self, position: StreamPosition) -> bool:
        """Whether the state is empty before a position."""
        return position.window == 0

    def has(self, position: StreamPosition) -> bool:
        """Whether there is such a position in the text."""
        return position.window < self.windows_in_pass(position.passes)


class DocumentStreams:
    """The same for documents: B at a time, side by side, in windows of at most T characters, the longest as long as it
    takes. No state passes from one document to another.

    A document is predicted from its first character, which follows on `start_id`, to its end. The order is another in
    each pass. The `window` of a position is the number of the B documents times `MOST_PIECES`, and the window in them.

    Args:
        ids: the text; ends: the place behind each document.
        start_id: what the first character of a document follows on.
        begins: the place of the first character of each; else where the one before it ends.

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

    def _places(self, position: StreamPosition) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the B documents at a position begin and end, (B) each."""
        count = len(self._ends)
        at = position.window // MOST_PIECES * self._batch_size + np.arange(self._batch_size)
        chosen = (at % count * _stride(count, position.passes) + position.passes) % count
        ends = self._ends[chosen].astype(np.int64)
        if self._begins is not None:
            return self._begins[chosen].astype(np.int64), ends
        return np.where(chosen > 0, self._ends[chosen - 1].astype(np.int64), 0), ends

    def read(self, position: StreamPosition) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The ids at a position, (B, T'), and those that follow each of them, (B, T'); T' is at most T."""
        begins, ends = self._places(position)
        first = position.window % MOST_PIECES * self._window
        width = min(self._window, int((ends - begins).max()) - first)
        at_BT = begins[:, None] + first + np.arange(width)
        within = at_BT < ends[:, None]
        y_BT = self._ids[np.where(within, at_BT, 0)].astype(np.int64)
        x_BT = self._ids[np.where(within, at_BT - 1, 0)].astype(np.int64)
        x_BT[at_BT == begins[:, None]] = self._start_id
        y_BT[~within] = NO_TARGET
        return x_BT, y_BT

    def after(self, position: StreamPosition) -> StreamPosition:
        """The position that follows."""
        group, piece = divmod(position.window, MOST_PIECES)
        begins, ends = self._places(position)
        if (piece + 1) * self._window < int((ends - begins).max()):
            return StreamPosition(position.passes, position.window + 1)
        if group + 1 < self._groups:
            return StreamPosition(position.passes, (group + 1) * MOST_PIECES)
        return StreamPosition(position.passes + 1, 0)

    def resets_state(self, position: StreamPosition) -> bool:
        """Whether documents begin here."""
        return position.window % MOST_PIECES == 0

    def has(self, position: StreamPosition) -> bool:
        """Whether there is such a position in the text."""
        group, piece = divmod(position.window, MOST_PIECES)
        if group >= self._groups:
            return False
        begins, ends = self._places(position)
        return piece * self._window < int((ends - begins).max())


def _stride(count: int, passes: int) -> int:
    """How far apart, in so many documents, those lie that follow each other: such that each has its turn."""
    stride = max(1, int(count * ((passes + 1) * GOLDEN_RATIO % 1.0)))
    while math.gcd(stride, count) != 1:
        stride += 1
    return stride


def mean_fill(ends: Ends, batch_size: int) -> float:
    """Which share of the places in B documents side by side holds characters, by a sample of them."""
    count = min(len(ends), DOCUMENTS_SAMPLED) // batch_size * batch_size
    if not count:
        return 1.0
    lengths = sampled_lengths(ends)[:count].reshape(-1, batch_size)
    return float(lengths.sum() / (lengths.max(1).sum() * batch_size))


def sampled_lengths(ends: Ends) -> npt.NDArray[np.int64]:
    """The lengths in characters of documents spread evenly over the text."""
    chosen = np.linspace(0, len(ends) - 1, min(len(ends), DOCUMENTS_SAMPLED)).astype(np.int64)
    before = np.where(chosen > 0, ends[chosen - 1], 0)
    return (ends[chosen] - before).astype(np.int64)


def check_length(characters: int, batch_size: int, window: int) -> None:
    """Raises CorpusError if a text is too short for one window in each stream."""
    needed = shortest(batch_size, window)
    if characters >= needed:
        return
    if (fits := (characters - 1) // batch_size) >= 8:
        todo = f"give a longer text, or --window {fits}"
    elif (fits := (characters - 1) // window) >= 1:
        todo = f"give a longer text, or --batch-size {fits}"
    else:
        todo = f"give a longer text, or --batch-size 1 and a --window of at most {max(1, characters - 1)}"
    raise CorpusError(
        f"the text to learn from has {plural(characters, 'character')}; {plural(batch_size, 'stream')} with a window "
        f"of {window} need at least {needed:,}: {todo}"
    )


def shortest(batch_size: int, window: int) -> int:
    """Characters that a text needs at least: one window in each stream and one to predict."""
    return batch_size * window + 1


def steps_for(epochs: float, characters: int, batch_size: int, window: int) -> int:
    """Windows in that many passes over a text, at least one."""
    return max(1, round(epochs * ((characters - 1) // batch_size // window)))
