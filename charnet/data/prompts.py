"""Fits a prompt to a model: its encoding, its Unicode normal form, the width of its characters.

People type on another keyboard than the author of the training text. What a prompt says stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from charnet.config import DataSettings
from charnet.data.decoding import check_encoding
from charnet.data.encodings import MARKS, is_same
from charnet.data.normalize import Form, normal_form, normalize
from charnet.data.variants import of_width
from charnet.data.vocab import Vocabulary
from charnet.errors import PromptError, plural, short_repr, shortened

SHOWN = 5  # characters, or pairs of them, in a note


def decode(raw: bytes, name: str, encoding: str, *, of_bytes: bool) -> str:
    """Decodes a prompt: UTF-8, or else what its byte order mark says, or the encoding of the training text.

    A model of bytes takes any.

    Args:
        name: of the prompt, for messages.
        encoding: of the training text.

    Raises:
        PromptError: it is in none of these encodings.
    """
    if of_bytes:
        return raw.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    own = next((marked for mark, marked in MARKS.items() if raw.startswith(mark)), encoding)
    check_encoding(own)
    is_wide = b"\0" in raw and b"\0" in "a".encode(own)  # then it may be UTF-8 too, with zeros between its letters
    found = ""
    for each in (own, "utf-8") if is_wide else ("utf-8", own):
        try:
            return raw.decode(each).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            found = f"byte {raw[error.start]:#04x} at offset {error.start}"
    expected = "UTF-8" if is_same(own, "utf-8") else f"UTF-8 or {own}"
    raise PromptError(f"{name}: expected a prompt in {expected}, found {found}; convert it first")


def checked(text: str, name: str = "prompt") -> str:
    """Returns a text that a caller has given as it is.

    Args:
        name: of the argument, for messages.

    Raises:
        PromptError: it is no text.
    """
    if isinstance(text, str):
        return text
    hint = "; decode it first, as in data.decode()" if isinstance(text, bytes | bytearray | memoryview) else ""
    raise PromptError(f"{name}: expected a text, found {short_repr(text)}{hint}")


def checked_list(texts: Sequence[str]) -> list[str]:
    """Returns several prompts as a list. Raises PromptError if they are one text, whose characters are no prompts."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise PromptError(f"prompts: expected a list of texts, found {short_repr(texts)}")
    return [checked(text, f"prompts[{i}]") for i, text in enumerate(texts)]


def ids_of(text: str, vocab: Vocabulary, data: DataSettings, name: str = "prompt") -> list[int]:
    """Returns the ids of a text that a caller has given, in the form of the training text, for a model to read.

    Args:
        name: of the argument, for messages.

    Raises:
        PromptError: it is no text, or holds a character that the alphabet lacks.
    """
    return list[int](vocab.encode(fit(normalize(checked(text, name), data), vocab)[0]).tolist())


def without_line_end(text: str) -> str:
    r"""Drops the last line end of a text: editors and shells put one behind what was typed.

    >>> without_line_end("Iva\r\n"), without_line_end("Iva\n\n")
    ('Iva', 'Iva\n')
    """
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


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


def read(
    text: str, vocab: Vocabulary, data: DataSettings, *, skip_unknown: bool
) -> tuple[str, npt.NDArray[np.int32], list[str]]:
    """Makes of a prompt what a model reads.

    Args:
        skip_unknown: leave out characters that the alphabet lacks.

    Returns:
        The text that is read, the ids of its characters, and sentences that say what was replaced or left out.

    Raises:
        PromptError: the alphabet lacks a character.
    """
    text, notes = fit(normalize(text, data), vocab)
    if not skip_unknown:
        return text, vocab.encode(text), notes
    ids, left_out = known_of(text, vocab)
    return vocab.decode(ids.tolist()) if left_out else text, ids, notes + left_out


def known_of(text: str, vocab: Vocabulary) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Returns the ids of the characters that the alphabet has, and a sentence about the others if there are any.

    >>> known_of("café, Zoë", Vocabulary.of_text("acefoz, "))[1]
    ["left out 3 characters that the model does not know: 'é', 'Z', 'ë'"]
    >>> known_of("café", Vocabulary.of_text("acef"))[1]
    ["left out 1 character that the model does not know: 'é'; the nearest it knows: 'e'"]
    """
    ids, dropped = vocab.encode_known(text)
    if not dropped:
        return ids, []
    unknown = vocab.unknown_characters(text)
    names = ", ".join(map(_shown, unknown[:SHOWN]))
    more = ", ..." if len(unknown) > SHOWN else vocab.advice(ord(unknown[0])) if len(unknown) == 1 else ""
    return ids, [f"left out {plural(dropped, 'character')} that the model does not know: {names}{more}"]


def _known(vocab: Vocabulary) -> str:
    """Returns the symbols of the alphabet that can be shown, for a message; of bytes beyond ASCII their number."""
    last = 0x7E if vocab.of_bytes else max(vocab.characters, default=0)
    shown = " ".join(chr(symbol) for symbol in vocab.characters if symbol <= last and chr(symbol).isprintable())
    others = sum(symbol > last for symbol in vocab.characters)
    parts = [shortened(shown.strip())] * bool(shown.strip()) + [f"{plural(others, 'byte')} beyond ASCII"] * (others > 0)
    return ", and ".join(parts)


def _shown(character: str) -> str:
    """Returns a character for a message; a byte that is not UTF-8 as a number."""
    return f"{ord(character) & 0xFF:#04x}" if "\udc80" <= character <= "\udcff" else repr(character)


def read_turn(text: str, vocab: Vocabulary) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Returns the ids of a turn of a conversation, without the characters that the alphabet lacks, and notes.

    Raises:
        PromptError: the alphabet has none of its characters.
    """
    text, notes = fit(text, vocab)
    ids, left_out = known_of(text, vocab)
    if text and not len(ids):
        raise PromptError(f"the model knows none of these characters; it knows: {_known(vocab)}")
    return ids, notes + left_out


def compose(text: str, vocab: Vocabulary) -> tuple[str, list[str]]:
    """Composes or decomposes a text if the alphabet then has more of its characters. Returns also what was done."""
    notes: list[str] = []
    unknown = [] if vocab.of_bytes else _unknown(text, vocab)
    if not unknown:
        return text, notes
    forms: tuple[tuple[Form, str], ...] = (("NFC", "composed"), ("NFD", "decomposed"))
    for form, done in forms:
        other = normal_form(form, text)
        if len(left := _unknown(other, vocab)) < len(unknown):
            text, unknown = other, left
            notes.append(f"the prompt was {done} ({form}), as the alphabet is")
    return text, notes


def _unknown(text: str, vocab: Vocabulary) -> Sequence[str]:
    """Returns the characters that an alphabet of characters lacks, in their order."""
    ids = vocab.lookup(vocab.codes(text))
    is_unknown = (ids < 0) | (ids == vocab.rare_id) if vocab.rare_id is not None else ids < 0
    return [text[at] for at in np.flatnonzero(is_unknown).tolist()]
