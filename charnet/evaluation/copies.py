"""How much of a text stands verbatim in the text that a model learned from.

The run at a symbol is the longest one that ends with it and stands in the learned text. An author repeats himself too:
what the runs of a model are compared with are those of the held-out text.

Shape legend: T symbols of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.data.copy_index import CopyIndex, Int64s
from charnet.data.vocab import Vocabulary
from charnet.storage.learned_text import LearnedText, Place

MOST_HELD_OUT = 1 << 15  # symbols: a third of a second in 6 MB of source code, less in prose
LONG = 40  # symbols


@dataclass(frozen=True)
class Copies:
    """The runs of a text. `share` is the share of its symbols that are part of a run of 40 or more. `median`, `p90` and
    `p99` are quantiles: of 90 % of the symbols the run is at most `p90`. `place` is where the longest run stands."""

    symbols: int
    mean: float
    median: int
    p90: int
    p99: int
    longest: int
    share: float
    place: Place | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        values = {name: value for name, value in vars(self).items() if name != "place"}
        values |= {"mean": round(self.mean, 3), "share": round(self.share, 6)}
        if self.place is not None:
            kind = "document" if self.place.is_document else "line"
            values |= {"file": self.place.file, kind: self.place.line}
        return values

    def __str__(self) -> str:
        where = f" ({self.place})" if self.place else ""
        return (
            f"runs of {self.mean:.1f} on average, half up to {self.median}, 90 % up to {self.p90}, "
            f"99 % up to {self.p99}, longest {self.longest:,}{where}; "
            f"{100 * self.share:.1f} % of the text in runs of {LONG} or more"
        )


def count(texts: Iterable[npt.NDArray[np.integer[Any]]], learned: LearnedText) -> Copies:
    """Counts the runs of texts, each by itself."""
    found, covered, longest, place = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0, None
    for ids in texts:
        lengths_T, ends_T = learned.index.runs(ids)
        found.append(lengths_T)
        covered.append(covering(lengths_T))
        if (most := int(lengths_T.max(initial=0))) > longest:
            longest, place = most, learned.place(int(ends_T[lengths_T.argmax()]) - most)
    lengths_T = np.concatenate(found)
    if not len(lengths_T):
        return Copies(0, 0.0, 0, 0, 0, 0, 0.0)
    median, p90, p99 = (int(each) for each in np.quantile(lengths_T, [0.5, 0.9, 0.99], method="inverted_cdf"))
    share = float((np.concatenate(covered) >= LONG).mean())
    return Copies(len(lengths_T), float(lengths_T.mean()), median, p90, p99, longest, share, place)


def yardstick(learned: LearnedText) -> Copies | None:
    """Counts the runs of the held-out text, or of the first 32,768 symbols of a longer one; None if there is none."""
    held_out = learned.held_out.head(MOST_HELD_OUT)
    return replace(count([held_out], learned), place=None) if len(held_out) else None


def covering(lengths_T: Int64s) -> Int64s:
    """Returns for each symbol the length of the longest run that it is part of, (T), from those that end with it.

    >>> covering(np.array([0, 1, 2, 3, 2, 0])).tolist()
    [0, 3, 3, 3, 2, 0]
    """
    covering_T = np.zeros(len(lengths_T), np.int64)
    ends = np.flatnonzero(lengths_T >= np.append(lengths_T[1:], 0)) + 1  # of the runs that no other one continues
    for end, length in zip(ends.tolist(), lengths_T[ends - 1].tolist(), strict=True):
        part_T = covering_T[end - length : end]
        np.maximum(part_T, length, out=part_T)
    return covering_T


def of_characters(text: str, vocab: Vocabulary, runs_T: Int64s) -> list[int]:
    """Returns for each character of a text the largest number of its symbols."""
    if not vocab.of_bytes:
        return list(map(int, runs_T))
    sizes = np.array([len(character.encode("utf-8", "surrogateescape")) for character in text], np.intp)
    return list(map(int, np.maximum.reduceat(runs_T, np.cumsum(sizes) - sizes))) if len(sizes) else []


def follow(texts: Iterable[str], vocab: Vocabulary, index: CopyIndex) -> Iterator[tuple[str, int]]:
    """Yields each character of a text that comes in pieces with the length of the longest run that it is part of, as
    soon as no other one can contain it."""
    ids: list[int] = []
    waiting: list[tuple[str, int, int]] = []  # a character, the index behind its symbols, and its run so far
    run = 0
    for character in (character for text in texts for character in text):
        longest = 0
        for i in vocab.encode_known(character)[0].tolist():
            ids.append(i)
            run = index.longest(ids, max(run + 1, index.shortest))
            run = run if run >= index.shortest else 0
            longest = max(longest, run)
            waiting = [(c, end, max(r, run) if end > len(ids) - run else r) for c, end, r in waiting]
        waiting.append((character, len(ids), longest))
        ready = 0
        while ready < len(waiting) and waiting[ready][1] <= len(ids) - run:
            yield waiting[ready][0], waiting[ready][2]
            ready += 1
        del waiting[:ready]
    yield from ((character, longest) for character, _, longest in waiting)
