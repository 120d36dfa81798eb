"""Statistics of the lines of a text. A line ends at \\n, \\r\\n or \\r, and nowhere else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LONG_ENOUGH = 20  # characters in a line, for its repeats to be more than chance
LONGEST_OF_A_LIST, NEARLY_ALL = 40, 0.9  # characters; share of the lines that are no longer in a list
MANY_REPEATED = 0.1  # share of the lines of a list, or of documents
MOST_BLANK = 0.05  # share of the lines in a list
LONGEST_SHOWN = 60


@dataclass(frozen=True)
class LineStats:
    """Statistics of lines.

    Attributes:
        lengths: in characters, of all lines.
        ends: the count of each line end.
        repeated, distinct: the number of lines that came before, and of the others; blank ones do not count.
        repeated_characters: of lines of `LONG_ENOUGH` characters or more that came before.
        most_repeated: the line with the most of these, and how often it occurs.
    """

    lengths: npt.NDArray[np.int64]
    ends: dict[str, int]
    repeated: int
    distinct: int
    repeated_characters: int
    most_repeated: tuple[str, int]

    @classmethod
    def of(cls, text: str) -> LineStats:
        """Measures the lines of a text.

        >>> found = LineStats.of("Ada\\rBo\\nAda\\r\\nform\\ffeed")
        >>> found.lengths.tolist(), found.repeated, found.distinct
        ([3, 2, 3, 9], 1, 3)
        """
        both = text.count("\r\n")
        ends = {"\\n": text.count("\n") - both, "\\r\\n": both, "\\r": text.count("\r") - both}
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if not lines[-1]:
            lines.pop()
        count = Counter(lines)
        repeats = {line: len(line) * (times - 1) for line, times in count.items() if len(line) >= LONG_ENOUGH}
        most = max(repeats, key=lambda line: repeats[line], default="")
        times = {line: times for line, times in count.items() if line and not line.isspace()}
        return cls(
            lengths=np.array([len(line) for line in lines], np.int64),
            ends={name: number for name, number in ends.items() if number},
            repeated=sum(times.values()) - len(times),
            distinct=len(times),
            repeated_characters=sum(repeats.values()),
            most_repeated=(most[:LONGEST_SHOWN], count[most]) if repeats.get(most) else ("", 0),
        )

    @property
    def is_list(self) -> bool:
        """Whether the text is a list of short lines, as of names, rather than running text."""
        if not len(self.lengths):
            return False
        is_short = float(np.quantile(self.lengths, NEARLY_ALL)) <= LONGEST_OF_A_LIST
        return is_short and self.repeated + self.distinct >= (1 - MOST_BLANK) * len(self.lengths)


def without_ends(text: str, end: int | None) -> tuple[str, int, int]:
    """Returns a text with line ends between its documents, the number of documents that came before, and of the others.

    >>> without_ends("Ada|Bo|Ada|", ord("|")), without_ends("Ada", None)
    (('Ada\\nBo\\nAda\\n', 1, 2), ('Ada', 0, 0))

    Args:
        end: the character that ends a document; None where there are none of several lines.
    """
    if end is None:
        return text, 0, 0
    documents = text.removesuffix(chr(end)).split(chr(end))
    distinct = len(set(documents))
    return text.replace(chr(end), "\n"), len(documents) - distinct, distinct


def advice_on_held_out(what: str, repeated: int, distinct: int) -> str:
    """Says that too many lines or documents are repeated for the held-out ones to be new; empty if few are."""
    share = repeated / max(1, repeated + distinct)
    return (
        f"{100 * share:.0f} % of the {what} came before ({distinct:,} distinct): held-out {what} are also among the "
        "learned ones, so the loss will look better than it is"
    ) * (share > MANY_REPEATED)


def quantiles(lengths: npt.NDArray[np.int64]) -> dict[str, int]:
    """Returns the shortest length, the median, others up to the longest; nothing if there is none."""
    if not len(lengths):
        return {}
    places = {"shortest": 0.0, "median": 0.5, "90 %": 0.9, "99 %": 0.99, "longest": 1.0}
    return {name: int(np.quantile(lengths, place)) for name, place in places.items()}
