"""Divides a text into parts: one to train on, one held out for validation, one for a test at the end.

A part to tune on is taken from the one to train on, if it is asked for.

Documents, and many short files, are drawn by the seed: the end of a sorted list is not like the rest of it. Of a few
longer files the end of each is held out, of a single running text its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.config import DataSettings
from charnet.data.batches import Streams
from charnet.data.documents import FACTOR, Documents, DocumentStreams, Ints, hashes, mix, windows_in_pass
from charnet.data.encoded_copy import Ends, Ids
from charnet.errors import ConfigError, CorpusError, plural

FILES_TO_DRAW_FROM = 50  # of fewer files the end of each is held out
FEW_HELD_OUT = 100  # characters
LONG, MUCH_LONGER = 1000, 50  # characters; times the median
MUCH_SEEN = 0.1  # of the held-out documents
# The part to tune on: a fraction of the text, and the fewest and most characters; of a short text at most a twentieth.
TUNING_FRACTION, FEWEST_TUNING, MOST_TUNING, LARGEST_TUNING_FRACTION = 0.01, 2000, 50_000, 0.05
LAST, RANDOM, EACH = "last", "random", "each"


class Excerpt:
    """Pieces of a text one behind the other, as an array of ids that is read piece by piece and never copied whole."""

    def __init__(self, ids: Ids, pieces: Documents) -> None:
        self._ids, self._behind = ids, np.cumsum(pieces.lengths)
        self._shift = pieces.ends - self._behind  # from an index in the excerpt to one in the text
        self.begins = self._behind - pieces.lengths  # of the pieces, as indices in the excerpt

    def __len__(self) -> int:
        return int(self._behind[-1]) if len(self._behind) else 0

    def __getitem__(self, at: Any) -> npt.NDArray[np.unsignedinteger[Any]]:
        if isinstance(at, slice):
            at = np.arange(*at.indices(len(self)))
        piece = np.searchsorted(self._behind, at, side="right")
        found: npt.NDArray[np.unsignedinteger[Any]] = self._ids[at + self._shift[piece]]
        return found


@dataclass(frozen=True)
class Part:
    """A part of a text: running text, or documents that lie in `ids`."""

    ids: Any  # an array of ids or an `Excerpt` of one
    documents: Documents | None = None

    def __len__(self) -> int:
        """The number of characters."""
        return len(self.ids) if self.documents is None else int(self.documents.lengths.sum())

    def padded_length(self, window: int) -> int:
        """Returns the characters in which training reads this part: documents are padded to whole windows."""
        return len(self) if self.documents is None else window * int(windows_in_pass(self.documents, window).sum())

    def fill(self, window: int) -> float:
        """Returns how much of what training reads in a pass is text; the rest is padding behind documents."""
        if self.documents is None:
            return 1.0
        read = np.minimum(self.documents.lengths, window * windows_in_pass(self.documents, window))
        return float(read.sum()) / self.padded_length(window)

    def streams(self, start_id: int, batch_size: int, window: int) -> Streams | DocumentStreams:
        """Returns this part in streams, to train on."""
        if self.documents is None:
            return Streams(self.ids, batch_size, window)
        return DocumentStreams(self.ids, self.documents, start_id, batch_size, window)

    def head(self, characters: int) -> Ids:
        """Returns the ids of the first characters, or of all if there are fewer."""
        if self.documents is None:
            return np.asarray(self.ids[:characters])
        return np.asarray(Excerpt(self.ids, self.documents.head(characters))[:])

    def tail(self, characters: int) -> Ids:
        """Returns the ids of the last characters, or of all if there are fewer."""
        if self.documents is None:
            return np.asarray(self.ids[max(0, len(self.ids) - characters) :])
        last = self.documents.take(slice(None, None, -1)).head(characters)
        return np.asarray(Excerpt(self.ids, last.take(slice(None, None, -1)))[:])


class Split:
    """The parts of a text: `train`, `val`, `test` and `tune`. Settings and seed decide where each character belongs.

    `train_pieces` says where the first one lies in the text.

    Args:
        ids: the whole text.
        ends: the indices behind its documents, if it has some.
        data: how much is held out, and which part.
        seed: draws the documents that are held out.
        file_ends: the indices behind the files of a running text.
        symbols: the alphabet: documents are then drawn alike in every alphabet that has their characters.
        tunes: whether to leave a part to tune on out of the text to train on.

    Raises:
        CorpusError: there is only one document, and a part of the text is to be held out.
        ConfigError: the end of each file is to be held out, and the text has documents.
    """

    def __init__(
        self,
        ids: Ids,
        ends: Ends | None,
        data: DataSettings,
        seed: int = 0,
        file_ends: Sequence[int] = (),
        symbols: Sequence[int] | None = None,
        *,
        tunes: bool = False,
    ) -> None:
        self.kind = data.val or default_val(ends, file_ends)
        self._word = "line" if data.document_end == "\n" else "document"
        pieces = Documents.up_to(np.array((file_ends or [len(ids)]) if ends is None else ends))
        pieces = pieces.take(np.flatnonzero(pieces.lengths))  # a file may be empty
        held_out = (data.val_fraction, data.test_fraction)
        fractions = (*held_out, tuning_fraction(int(pieces.lengths.sum())) if tunes else 0.0)
        lengths = np.sort(pieces.lengths) if ends is not None else np.zeros(1, np.int64)
        self._longest, self._median = int(lengths[-1]), int(lengths[(len(lengths) - 1) // 2])
        if ends is not None and self.kind == EACH:
            raise ConfigError(f"--val each: every {self._word} is a text of its own here; choose random or last")
        if ends is not None and len(pieces.ends) < 2 and any(held_out):
            option = "--field" if data.field else "--lines" if data.document_end == "\n" else "--documents"
            raise CorpusError(f"one {self._word}: {option} needs two or more; leave it out, or give --val-fraction 0")
        if self.kind == RANDOM and len(pieces.ends) < 2 and any(held_out):
            raise CorpusError("one running text: --val random needs --lines or several files; leave it out")
        if self.kind == RANDOM:
            symbols_V = None if symbols is None else np.array(symbols, np.uint32)
            parts = _drawn(hashes(ids, pieces, symbols_V), pieces, fractions, seed)
        elif self.kind == EACH:
            parts = _ends_of_each(pieces, fractions)
        elif ends is None:
            parts = _ends_of_each(Documents.up_to(np.array([len(ids)])), fractions)
        else:
            parts = _last_documents(pieces, fractions)
        self.train_pieces = parts[0]
        self.train, self.val, self.test, self.tune = (_part(ids, each, ends is not None) for each in parts)

    def notes(self) -> tuple[str, ...]:
        """Returns sentences about documents that are much longer than the others, and about repeated ones."""
        notes = []
        if 0 < len(self.val) < FEW_HELD_OUT:
            notes.append(f"only {plural(len(self.val), 'character')} held out: the validation loss says little")
        longest, median = self._longest, self._median
        if longest >= max(LONG, MUCH_LONGER * median):
            notes.append(
                f"the longest {self._word} has {plural(longest, 'character')}, the median {median:,}: is it one?"
            )
        if (share := self.share_seen()) >= MUCH_SEEN:
            notes.append(
                f"{100 * share:.0f} % of the held-out {self._word}s are also among those to learn from: "
                "the validation loss says little about new ones"
            )
        return tuple(notes)

    def share_seen(self) -> float:
        """Returns the share of held-out documents of which an equal one is among those to train on."""
        train, val = self.train.documents, self.val.documents
        if train is None or val is None or not len(val.ends):
            return 0.0
        return float(np.isin(hashes(self.val.ids, val), hashes(self.train.ids, train)).mean())


def tuning_fraction(characters: int) -> float:
    """Returns which fraction of a text of this length is the part to tune on."""
    wanted = max(TUNING_FRACTION * characters, min(FEWEST_TUNING, LARGEST_TUNING_FRACTION * characters))
    return min(wanted, MOST_TUNING) / max(1, characters)


def default_val(ends: Ends | None, file_ends: Sequence[int]) -> str:
    """Returns which part of a new text is held out, unless the user chooses."""
    if ends is not None or len(file_ends) >= FILES_TO_DRAW_FROM:
        return RANDOM
    return EACH if len(file_ends) > 1 else LAST


def _part(ids: Ids, pieces: Documents, of_documents: bool) -> Part:
    if of_documents:
        return Part(ids, pieces)
    if len(pieces.ends) == 1:
        return Part(ids[int(pieces.begins[0]) : int(pieces.ends[0])])
    return Part(Excerpt(ids, pieces) if len(pieces.ends) else ids[:0])


Fractions = tuple[float, float, float]  # for validation, for the test, to tune on
Parts = tuple[Documents, Documents, Documents, Documents]  # the first one to train on


def _drawn(hash_N: npt.NDArray[np.uint64], pieces: Documents, fractions: Fractions, seed: int) -> Parts:
    """Draws whole pieces for each part, up to its fraction of the characters.

    A piece that is longer than that is never drawn and does not count. If all are, the shortest is held out. The draw
    depends on the content: in a longer list the same documents are held out, and few more.
    """
    lengths, held_out = pieces.lengths, []
    left = _shuffled(hash_N, seed)
    for fraction in fractions:
        fitting = left[lengths[left] <= int(lengths.sum() * fraction)]
        target = int(fraction * lengths[lengths <= int(lengths.sum() * fraction)].sum())
        chosen = fitting[:0]
        while len(fitting):  # pass over those that no longer fit
            count = int(np.searchsorted(np.cumsum(lengths[fitting]), target, side="right"))
            chosen, target = np.append(chosen, fitting[:count]), target - int(lengths[fitting[:count]].sum())
            fitting = fitting[count:][lengths[fitting[count:]] <= target]
        if fraction and not len(chosen) and len(left) > 1:
            chosen = left[[int(np.argmin(lengths[left]))]]
        left = left[~np.isin(left, chosen)]
        held_out.append(pieces.take(chosen))
    return pieces.take(np.sort(left)), held_out[0], held_out[1], held_out[2]


def _shuffled(hash_N: npt.NDArray[np.uint64], seed: int) -> Ints:
    """Returns the indices of documents in an order that the seed and their content decide; copies are spread."""
    order = np.argsort(hash_N, kind="stable")
    begins_run = np.append(True, np.diff(hash_N[order]) != 0)
    run_starts = np.flatnonzero(begins_run)
    copy_N = np.empty(len(order), np.uint64)
    copy_N[order] = np.arange(len(order)) - run_starts[np.cumsum(begins_run) - 1]
    seeded = mix(np.array([seed], np.uint64) + np.uint64(FACTOR))
    return np.argsort(mix(hash_N + seeded + copy_N * np.uint64(FACTOR)), kind="stable")


def _ends_of_each(pieces: Documents, fractions: Fractions) -> Parts:
    """Takes the end of each piece for the test, what lies before it for validation, and its middle to tune on: what a
    text says just before the held-out part tells most about that, so it is learned."""
    val, test, tune = ((pieces.lengths * fraction).astype(np.int64) for fraction in fractions)
    second_cut = pieces.ends - test
    cut = second_cut - val
    middle = pieces.begins + (cut - tune - pieces.begins) // 2
    bounds = (
        _around(pieces.begins, middle, middle + tune, cut) if tune.any() else Documents(pieces.begins, cut),
        Documents(cut, second_cut), Documents(second_cut, pieces.ends), Documents(middle, middle + tune),
    )  # fmt: skip
    return tuple(part.take(np.flatnonzero(part.lengths)) for part in bounds)  # type: ignore[return-value]


def _around(begins: Ints, ends: Ints, later_begins: Ints, later_ends: Ints) -> Documents:
    """Returns the two pieces of each text, in the order of the texts."""
    return Documents(np.stack([begins, later_begins], 1).ravel(), np.stack([ends, later_ends], 1).ravel())


def _last_documents(documents: Documents, fractions: Fractions) -> Parts:
    """Takes the last documents for the test, those before them for validation, and those in the middle of the others
    to tune on."""
    length = int(documents.ends[-1])
    val, test, tune = (int(length * fraction) for fraction in fractions)
    first_cut, second_cut = length - val - test, length - test
    middle = (first_cut - tune) // 2
    cuts = (middle, middle + tune, first_cut, second_cut)
    begin, end, first, second = (int(np.searchsorted(documents.ends, cut, side="right")) for cut in cuts)
    if tune and begin == end and first > 1:  # a document is longer than the part
        begin, end = (begin, end + 1) if end < first else (begin - 1, end)
    train = np.append(np.arange(begin), np.arange(end, first))
    return (
        documents.take(train), documents.take(slice(first, second)), documents.take(slice(second, None)),
        documents.take(slice(begin, end)),
    )  # fmt: skip
