"""Advice about the characters of a text: those that are too rare, and those that are written in two ways."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from charnet.errors import plural

FEW = 10  # occurrences: too few to learn a character
MOST_FOLDED = 0.01  # share of the text


def on_rare(counts: Sequence[int]) -> list[str]:
    """Advises to fold rare characters, as long as nearly all of the text stays.

    Args:
        counts: of each character.
    """
    most = MOST_FOLDED * sum(counts)
    limit = max(n for n in range(1, FEW + 1) if sum(count for count in counts if count < n) <= most)
    few = sum(count < limit for count in counts)
    return [
        f"{plural(few, 'character')} of {len(counts):,} {'is' if few == 1 else 'are'} too rare to learn: "
        f"charnet train --min-count {limit} folds {'it' if few == 1 else 'them into one'}"
    ] * bool(few)


def on_two_forms(text: str) -> list[str]:
    """Advises to compose letters that are one character in some places, and a letter and its marks in others.

    >>> on_two_forms("e\\u0301"), len(on_two_forms("é, e\\u0301"))
    ([], 1)
    """
    if unicodedata.is_normalized("NFC", text):
        return []
    more = Counter(unicodedata.normalize("NFC", text)) - Counter(text)
    both = {letter: count for letter, count in more.items() if letter in text}
    if not both:
        return []
    letter, total = max(both, key=lambda each: both[each]), sum(both.values())
    return [
        f"{plural(total, 'character')} such as '{letter}' {'is' if total == 1 else 'are'} written as several, "
        "elsewhere as one: charnet train --normalize nfc makes them alike"
    ]
