"""Chooses the passages of a text that are looked at: spread evenly over it, so that they stand for the whole.

Shape legend: S passages, T characters in the longest, N places.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.data.documents import Documents
from charnet.data.encoded_copy import Ids
from charnet.data.split import Part

MOST_PASSAGES, SHORTEST, LONGEST_DOCUMENT = 16, 256, 2048  # of a running text; characters
WARM_UP = 128  # characters that are read before a passage, so that its first states are not those of an empty memory

Ints = npt.NDArray[np.int64]


class Passages(NamedTuple):
    """Where passages begin and end in `ids`, (S) each, and how many characters are read before each, (S)."""

    ids: Ids
    begins_S: Ints
    ends_S: Ints
    warm_S: Ints

    @property
    def lengths(self) -> Ints:
        return self.ends_S - self.begins_S

    @property
    def counted(self) -> npt.NDArray[np.bool_]:
        """Which of the T characters of the longest passage each passage has, (S, T)."""
        found: npt.NDArray[np.bool_] = np.arange(int(self.lengths.max())) < self.lengths[:, None]
        return found

    @property
    def characters(self) -> int:
        return int(self.lengths.sum())


def places(text: Part, count: int, before: int, block: int, fewest: int) -> Ints | None:
    """Returns where blocks of characters begin, (N), spread evenly over the text; None if there are too few.

    Args:
        count: how many blocks are wanted.
        before: characters that each block needs before it, in its text or its document.
        block: characters of a block.
        fewest: blocks; there may be so many fewer than wanted.
    """
    if text.documents is None:
        lengths_D, begins_D = np.array([len(text.ids)]), np.zeros(1, np.int64)
    else:
        lengths_D, begins_D = text.documents.lengths, text.documents.begins
    room_D = np.maximum(0, lengths_D - before) // block
    total = int(room_D.sum())
    if total < min(count, fewest):
        return None
    chosen_N = np.unique(np.arange(count) * total // count)
    behind_D = np.cumsum(room_D)
    of_N = np.searchsorted(behind_D, chosen_N, side="right")
    found: Ints = begins_D[of_N] + before + (chosen_N - (behind_D - room_D)[of_N]) * block
    return found


def as_part(text: Part | Ids) -> Part:
    """Returns a text as a part of one."""
    return text if isinstance(text, Part) else Part(text)


def spread(text: Part, characters: int) -> Passages:
    """Chooses passages of about so many characters in all: all of a short text.

    Each document is a passage of its own, and begins without a memory, as the model reads it.
    """
    if text.documents is not None:
        return _documents(text, characters)
    length = len(text.ids)
    count = max(1, min(MOST_PASSAGES, min(length, characters) // SHORTEST))
    each = min(length // count, max(1, characters // count))
    begins_S = np.arange(count) * (length // count)
    return _of(text.ids, begins_S, begins_S + each)


def first(text: Part, characters: int) -> Passages:
    """Chooses the beginning of a text, or its first documents."""
    if text.documents is not None:
        documents = text.documents.head(characters)
        return _whole(text.ids, documents.take(np.flatnonzero(documents.lengths)))
    return _of(text.ids, np.zeros(1, np.int64), np.array([min(characters, len(text.ids))]))


def _documents(text: Part, characters: int) -> Passages:
    assert text.documents is not None
    documents = text.documents.take(np.flatnonzero(text.documents.lengths))
    cut = Documents(documents.begins, np.minimum(documents.ends, documents.begins + LONGEST_DOCUMENT))
    count = len(cut.ends)
    wanted = min(count, max(1, round(characters / max(1.0, float(cut.lengths.mean())))))
    return _whole(text.ids, cut.take(np.arange(wanted) * count // wanted))


def _whole(ids: Ids, documents: Documents) -> Passages:
    return Passages(ids, documents.begins, documents.ends, np.zeros_like(documents.begins))


def _of(ids: Ids, begins_S: Ints, ends_S: Ints) -> Passages:
    return Passages(ids, begins_S, ends_S, np.minimum(begins_S, WARM_UP))
