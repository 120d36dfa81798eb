"""Fits a prompt to a model: its encoding, its Unicode normal form, the width of its characters.

People type on another keyboard than the author of the training text. What a prompt says stays the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

import numpy as np

from charnet.data.variants import of_width
from charnet.data.vocab import Vocabulary
from charnet.errors import PromptError, plural

SHOWN = 5  # pairs of characters in a note


def decode(raw: bytes, name: str, encoding: str, *, of_bytes: bool) -> str:
    """Decodes a prompt: UTF-8, or else the encoding of the training text. A model of bytes takes any.

    Args:
        name: of the prompt, for messages.
        encoding: of the training text.

    Raises:
        PromptError: it is in neither encoding.
    """
    try:
        return raw.decode("utf-8", "surrogateescape" if of_bytes else "strict").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        found = f"byte {raw[error.start]:#04x} at offset {error.start}"
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            raise PromptError(f"{name}: expected a prompt in UTF-8, found {found}; convert it first") from None


def fit(text: str, vocab: Vocabulary) -> tuple[str, list[str]]:
    """Replaces characters that the alphabet lacks by other forms of them that it has.

    Returns:
        The text, and sentences that say what was replaced.

    >>> fit("cafe\u0301, 7", Vocabulary.of_text("café，7 "))
    ('café， 7', ['the prompt was composed (NFC), as the alphabet is', "read in the alphabet's width: ',' as '，'"])
    """
    text, notes = compose(text, vocab)
    unknown = [] if vocab.of_bytes else _unknown(text, vocab)
    replaced = {c: wide for c in dict.fromkeys(unknown) if (wide := of_width(c)) and not _unknown(wide, vocab)}
    if replaced:
        pairs = [f"'{before}' as '{after}'" for before, after in replaced.items()]
        more = f" and {plural(len(pairs) - SHOWN, 'other')}" if len(pairs) > SHOWN else ""
        notes.append(f"read in the alphabet's width: {', '.join(pairs[:SHOWN])}{more}")
    return "".join(replaced.get(c, c) for c in text), notes


def compose(text: str, vocab: Vocabulary) -> tuple[str, list[str]]:
    """Composes or decomposes a text if the alphabet then has more of its characters. Returns also what was done."""
    notes: list[str] = []
    unknown = _unknown(text, vocab)
    if vocab.of_bytes or not unknown:
        return text, notes
    forms: tuple[tuple[Literal["NFC", "NFD"], str], ...] = (("NFC", "composed"), ("NFD", "decomposed"))
    for form, done in forms:
        other = unicodedata.normalize(form, text)
        if len(left := _unknown(other, vocab)) < len(unknown):
            text, unknown = other, left
            notes.append(f"the prompt was {done} ({form}), as the alphabet is")
    return text, notes


def _unknown(text: str, vocab: Vocabulary) -> Sequence[str]:
    """Returns the characters that the alphabet lacks, in their order."""
    ids = vocab.lookup(vocab.codes(text))
    is_unknown = (ids < 0) | (ids == vocab.rare_id) if vocab.rare_id is not None else ids < 0
    return [text[at] for at in np.flatnonzero(is_unknown).tolist()]
