"""How a text is put into shape before it is learned, if that is asked for: line ends, normal form, case.

The same is done to prompts and to texts that are judged, so everything here works on a whole text as on pieces of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Protocol

LONGEST_HELD = 1 << 20  # characters; no language puts so many marks on a letter


class Normalization(Protocol):
    """What the settings of the text say about it."""

    @property
    def newlines(self) -> str: ...
    @property
    def normalize(self) -> str: ...
    @property
    def lowercase(self) -> bool: ...
    @property
    def lines(self) -> bool: ...


def normalize(text: str, data: Normalization) -> str:
    """A whole text in the shape that the settings ask for.

    >>> from charnet.config import DataSettings
    >>> normalize("Één\\r\\n", DataSettings(newlines="lf", lowercase=True))
    'één\\n'
    """
    if data.newlines == "lf" or data.lines:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if data.normalize != "none":
        text = unicodedata.normalize("NFC" if data.normalize == "nfc" else "NFKC", text)
    if data.lowercase:
        # A sigma at the end of a word has a form of its own; where words end a piece of a text cannot know.
        text = text.replace("Σ", "σ").lower()
    return text


def normalize_stream(pieces: Iterable[str], data: Normalization) -> Iterator[str]:
    """The same for a text that comes in pieces, wherever it is cut."""
    if data.newlines == "keep" and data.normalize == "none" and not data.lines:
        yield from (normalize(piece, data) for piece in pieces)
        return
    held = ""
    for piece in pieces:
        text = held + piece
        cut = _last_cut(text, data)
        held = text[cut:]
        if cut:
            yield normalize(text[:cut], data)
    yield normalize(held, data)


def _last_cut(text: str, data: Normalization) -> int:
    """The last place where the two sides of a text can be put into shape one by one; 0 where there is none."""
    for at in range(len(text) - 1, 0, -1):
        if text[at - 1] != "\r" and (data.normalize == "none" or _starts_cluster(text[at])):
            return at
    return len(text) if len(text) > LONGEST_HELD else 0


@cache
def _starts_cluster(character: str) -> bool:
    """Whether a character never changes, nor is changed by, what stands before it: no mark, no inner part of a Hangul
    syllable."""
    if character < "\x80":
        return True
    first = unicodedata.normalize("NFKD", character)[0]
    return not unicodedata.category(first).startswith("M") and not "\u1160" <= first <= "\u11ff"


def normalized_documents(texts: Iterable[str], data: Normalization) -> Iterator[str]:
    """The characters of a text that comes in pieces, as they are learned and judged."""
    texts = normalize_stream(texts, data)
    return documents(texts) if data.lines else iter(texts)


def documents(pieces: Iterable[str]) -> Iterator[str]:
    """Lines as documents: each ends with one line end, the last one too; empty ones are left out."""
    last = "\n"
    for piece in pieces:
        text = re.sub("\n+", "\n", piece)
        text = text.removeprefix("\n") if last == "\n" else text
        if text:
            last = text[-1]
            yield text
    if last != "\n":
        yield "\n"
