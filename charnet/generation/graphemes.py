"""Grapheme clusters: what a reader takes for one symbol, of one character or several (UAX #29, by `regex`).

A flag, an emoji with its skin color, a letter with its combining marks and an Indic syllable are one cluster each.
`regex` is imported only for texts that may hold clusters of several characters.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from charnet.data.vocab import Vocabulary

if TYPE_CHECKING:
    import regex

LONGEST = 32  # characters; a longer cluster, as no language has it, counts as several
FIRST = 0x300  # no character before it joins another
JOINING = {"Mn", "Mc", "Me", "Cf", "Sk", "Cn"}  # categories; unknown characters may join
OTHERS = (  # of other categories: letters of Hangul, Thai and Lao vowels, kana voice marks, regional indicators
    *((0x1100, 0x11FF), (0xA960, 0xA97C), (0xD7B0, 0xD7FB)),
    *((0xE33, 0xE33), (0xEB3, 0xEB3), (0xFF9E, 0xFF9F), (0x1F1E6, 0x1F1FF)),
)


@lru_cache(4)
def may_join(vocab: Vocabulary) -> bool:
    """Returns whether an alphabet has a character that may be in a cluster with others.

    >>> may_join(Vocabulary.of_text("naïve “quotes” 中文")), may_join(Vocabulary.of_text("नि"))
    (False, True)
    """
    if vocab.of_bytes:
        return vocab.characters[-1] >= chr(FIRST).encode()[0]
    return any(
        unicodedata.category(chr(code)) in JOINING or any(first <= code <= last for first, last in OTHERS)
        for code in vocab.characters[bisect_left(vocab.characters, FIRST) :]
    )


def split(text: str) -> list[str]:
    r"""Splits a text into clusters. A carriage return and a line feed are two.

    >>> [len(cluster) for cluster in split("ae\u0301🇩🇪👩‍🚀\r\n")]
    [1, 2, 2, 3, 1, 1]
    """
    return list(text) if text.isascii() else _cluster().findall(text)


class Clusters:
    """Splits a text that comes in pieces. `last` is the cluster that the next character may join."""

    def __init__(self) -> None:
        self.last = ""

    def push(self, character: str) -> str:
        """Takes one more character; returns the cluster before it, or nothing if the two may be one."""
        joined = self.last + character
        if len(joined) == 1 or (len(joined) <= LONGEST and _cluster().fullmatch(joined)):
            self.last = joined
            return ""
        whole, self.last = self.last, character
        return whole

    def feed(self, text: str) -> str:
        """Takes more text; returns the clusters that are complete."""
        *whole, self.last = split(self.last + text) or [""]
        if len(self.last) > LONGEST:
            whole, self.last = [*whole, self.last], ""
        return "".join(whole)

    @property
    def is_open(self) -> bool:
        """Whether the next character may join the last cluster."""
        return bool(self.last) and unicodedata.category(self.last[-1]) != "Cc"


@cache
def _cluster() -> regex.Pattern[str]:
    import regex

    return regex.compile(r"\r|(?!\r)\X")
