"""Normalizes a text before training, as the settings say: line ends, Unicode normal form, case.

Prompts and texts to evaluate are normalized in the same way, so everything here works on a whole text as on its pieces.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Protocol

LONGEST_CLUSTER = 1 << 20  # characters; no language puts so many marks on a letter


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
    if data.normalize != "none":
        text = unicodedata.normalize("NFC" if data.normalize == "nfc" else "NFKC", text)
    if data.lowercase:
        # lower() knows another sigma for the end of a word, but a piece of a text does not show where words end.
        text = text.replace("Σ", "σ").lower()
    return text


def normalize_stream(pieces: Iterable[str], data: Normalization) -> Iterator[str]:
    """Normalizes a text that comes in pieces. The result does not depend on where the text is cut."""
    if data.newlines == "keep" and data.normalize == "none" and not data.document_end:
        yield from (normalize(piece, data) for piece in pieces)
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
        if text[at - 1] != "\r" and (data.normalize == "none" or _starts_cluster(text[at])):
            return at
    return len(text) if len(text) > LONGEST_CLUSTER else 0


@cache
def _starts_cluster(character: str) -> bool:
    """Returns whether a character never combines with the one before it, as marks and inner parts of Hangul do."""
    if character < "\x80":
        return True
    first = unicodedata.normalize("NFKD", character)[0]
    return not unicodedata.category(first).startswith("M") and not "\u1160" <= first <= "\u11ff"
