"""Normalizes a text before training, as the settings say: line ends, Unicode normal form, case.

Prompts and texts to evaluate are normalized in the same way, so everything here works on a whole text as on its pieces.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Literal, Protocol

LONGEST_CLUSTER = 1 << 20  # characters; no language puts so many marks on a letter
LONGEST_RUN = 1000  # marks that are put in order together: the time grows with their square
LETTERS_SHOWN = 3
# Of letters beyond these, NFKC changes ligatures, forms and symbols; that is what it is for.
LETTERS = (*range(0x100, 0x1E00), *range(0x3131, 0x318F))

Form = Literal["NFC", "NFD", "NFKC"]


class Normalization(Protocol):
    """The settings that this module needs; `DataSettings` has them."""

    @property
    def newlines(self) -> str: ...
    @property
    def normalize(self) -> str: ...
    @property
    def lowercase(self) -> bool: ...
    @property
    def document_end(self) -> str: ...


def normalize(text: str, data: Normalization) -> str:
    """Normalizes a whole text.

    >>> from charnet.config import DataSettings
    >>> normalize("Één\\r\\n", DataSettings(newlines="lf", lowercase=True))
    'één\\n'
    """
    if data.newlines == "lf" or data.document_end:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _compose(text, data)
    # A small letter may compose with a mark where its capital does not: T̈ has no code point, ẗ has.
    return _compose(_lower(text), data) if data.lowercase else text


def _compose(text: str, data: Normalization) -> str:
    return text if data.normalize == "none" else normal_form("NFC" if data.normalize == "nfc" else "NFKC", text)


def normal_form(form: Form, text: str) -> str:
    """Returns a Unicode normal form of a text, of each `LONGEST_RUN` marks in a row by themselves."""
    cuts = [0, *_cuts(text), len(text)]
    return "".join(unicodedata.normalize(form, text[begin:end]) for begin, end in itertools.pairwise(cuts))


def _cuts(text: str) -> Iterator[int]:
    """Yields the places to cut runs of more than `LONGEST_RUN` marks, counted from where each begins."""
    end = 0
    for at in range(LONGEST_RUN, len(text), LONGEST_RUN):  # a longer run has a mark at one of these places
        if at >= end and not starts_cluster(text[at]):
            begin = at
            while begin > end and not starts_cluster(text[begin - 1]):
                begin -= 1
            end = next((i for i in range(at, len(text)) if starts_cluster(text[i])), len(text))
            yield from range(begin + LONGEST_RUN, end, LONGEST_RUN)


def _lower(text: str) -> str:
    """Converts to lower case as Unicode does, but for İ: Unicode leaves a second dot, U+0307, on its i.

    >>> _lower("İSTANBUL ΟΔΟΣ")
    'istanbul οδος'
    """
    return text.replace("İ", "i").replace("I\u0307", "i").lower()


def normalize_stream(pieces: Iterable[str], data: Normalization) -> Iterator[str]:
    """Normalizes a text that comes in pieces. The result does not depend on where the text is cut."""
    if data.newlines == "keep" and data.normalize == "none" and not data.document_end and not data.lowercase:
        yield from pieces
        return
    rest = ""
    for piece in pieces:
        text = rest + piece
        cut = _last_cut(text, data)
        rest = text[cut:]
        if cut:
            yield normalize(text[:cut], data)
    yield normalize(rest, data)


def _last_cut(text: str, data: Normalization) -> int:
    """Returns the last place where a text can be cut and each side normalized alone, or 0."""
    for at in range(len(text) - 1, 0, -1):
        before, after = text[at - 1], text[at]
        if (
            before != "\r"
            and (data.normalize == "none" or starts_cluster(after))
            and not (data.lowercase and (_joins_words(before) or _joins_words(after)))
        ):
            return at
    return len(text) if len(text) > LONGEST_CLUSTER else 0


@cache
def starts_cluster(character: str) -> bool:
    """Returns whether a character never combines with the one before it, as marks and inner parts of Hangul do."""
    if character < "\x80":
        return True
    first = unicodedata.normalize("NFKD", character)[0]
    return not unicodedata.category(first).startswith("M") and not "\u1160" <= first <= "\u11ff"


@cache
def _joins_words(character: str) -> bool:
    """Returns whether the case of one side depends on the other, if a text is cut beside this character.

    Σ becomes ς at the end of a word. Marks, apostrophes and other "case-ignorable" characters are passed over where
    Unicode looks for that end: they end no word, and they begin none.
    """
    ends_word = ("AΣ" + character).lower()[1] == "ς"
    return character == "Σ" or (ends_word and ("AΣ" + character + "A").lower()[1] == "σ")


@cache
def _changed_by_nfkc() -> re.Pattern[str]:
    """Returns a pattern of the letters of languages that NFKC takes apart or replaces, and NFC keeps."""
    letters = [
        chr(code)
        for code in LETTERS
        if unicodedata.category(chr(code))[0] == "L" and unicodedata.decomposition(chr(code)).startswith("<compat>")
    ]
    return re.compile(f"[{''.join(letters)}]")


def count_changed(pieces: Iterable[str], changed: dict[str, int]) -> Iterator[str]:
    """Passes a text on, and counts the letters in it that NFKC changes."""
    for piece in pieces:
        for letter, count in Counter(_changed_by_nfkc().findall(piece)).items():
            changed[letter] = changed.get(letter, 0) + count
        yield piece


def note_changed(changed: Iterable[Mapping[str, int]]) -> list[str]:
    """Returns a sentence about the letters that NFKC changed in some texts, if there are any."""
    total = Counter[str]()
    for counts in changed:
        total.update(counts)
    common = total.most_common(LETTERS_SHOWN)
    names = [f"{letter} (U+{ord(letter):04X} {unicodedata.name(letter)}) x {count:,}" for letter, count in common]
    more = f" and {len(total) - len(names):,} more" if len(total) > len(names) else ""
    letters = ", ".join(names) + more
    return [f"nfkc changes letters of the language: {letters}; charnet train --normalize nfc keeps them"] * bool(total)
