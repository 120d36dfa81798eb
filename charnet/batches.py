"""The text as windows for truncated back-propagation through time.

The text is cut into B contiguous streams of equal length, read side by side. Window k + 1 of a stream continues its
window k, so the state carried from one to the next is the true state. Each pass over the text starts its streams a
little later than the one before, so that windows do not always break at the same places.

Shape legend: B streams, T characters in a window.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.corpus import Ids
from charnet.errors import CorpusError, plural

GOLDEN_RATIO = 0.6180339887498949


class Position(NamedTuple):
    """Where reading stands: passes completed, and windows read in this pass. Part of every checkpoint."""

    passes: int = 0
    window: int = 0


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

    def read(self, position: Position) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The ids at a position, (B, T), and those that follow each of them, (B, T)."""
        start = self._start(position.passes)
        length = (len(self._ids) - 1 - start) // self._batch_size
        first = start + np.arange(self._batch_size) * length + position.window * self._window
        both = np.stack([self._ids[at : at + self._window + 1] for at in first.tolist()]).astype(np.int64)
        return both[:, :-1], both[:, 1:]

    def after(self, position: Position) -> Position:
        """The position that follows; its window is 0 where streams start again and the state with them."""
        if position.window + 1 < self.windows_in_pass(position.passes):
            return Position(position.passes, position.window + 1)
        return Position(position.passes + 1, 0)


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
