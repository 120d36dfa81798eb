"""Maps characters to ids and back. Only this module decides what becomes of a character that is not in the alphabet."""

from __future__ import annotations

import codecs
import operator
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.errors import PromptError, plural

LAST_CODE_POINT = 0x10FFFF
RARE, RARE_BYTE = LAST_CODE_POINT + 1, 0x100  # one symbol for all characters too rare for symbols of their own
CONTROLS = {
    0x00: "NULL", 0x07: "BELL", 0x08: "BACKSPACE", 0x09: "TAB", 0x0A: "LINE FEED", 0x0B: "VERTICAL TAB",
    0x0C: "FORM FEED", 0x0D: "CARRIAGE RETURN", 0x1A: "SUBSTITUTE", 0x1B: "ESCAPE", 0x7F: "DELETE", 0x85: "NEXT LINE",
}  # fmt: skip
OTHERS_SHOWN = 9  # of the unknown characters of a prompt, after the first one
RARE_SHOWN = "\N{REPLACEMENT CHARACTER}"


def code_points(text: str) -> npt.NDArray[np.unsignedinteger]:
    """Returns the code points of a text, one number for each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def id_dtype(alphabet_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Returns the narrowest type that holds the ids of an alphabet of this size."""
    return np.dtype(np.uint8 if alphabet_size <= 1 << 8 else np.uint16 if alphabet_size <= 1 << 16 else np.uint32)


@dataclass(frozen=True)
class Vocabulary:
    """An alphabet: sorted code points, or sorted byte values if `of_bytes` is set. The id of a symbol is its rank.

    The last symbol may be `RARE` (`RARE_BYTE` for bytes). Then every character that is not in the alphabet maps to it,
    and no character is unknown. `is_utf8` is for alphabets of bytes: whether the whole training text was UTF-8.
    `document_end` is the symbol that ends each document, if that is not the line end; it is never written. If the text
    `has_documents`, the model read the start id before each of them.

    Raises:
        ValueError: the symbols are not sorted, not unique or out of range.

    >>> abc = Vocabulary.of_text("banana")
    >>> abc.encode("nab").tolist()
    [2, 0, 1]
    >>> abc.decode([1, 0, 2])
    'ban'
    """

    symbols: tuple[int, ...]
    of_bytes: bool = False
    is_utf8: bool = False
    document_end: int | None = None
    has_documents: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        last = RARE_BYTE if self.of_bytes else RARE
        if not self.symbols:
            raise ValueError("an alphabet needs at least one symbol")
        if not all(map(operator.lt, self.symbols, islice(self.symbols, 1, None))):
            raise ValueError("symbols must be sorted and unique")
        if self.symbols[0] < 0 or self.symbols[-1] > last or not self.characters:
            raise ValueError("a symbol is out of range")
        if not self.of_bytes and bisect_left(self.symbols, 0xD800) < bisect_left(self.symbols, 0xE000):
            raise ValueError("a surrogate is not a character")
        if self.document_end is not None and self.document_end not in self.symbols:
            raise ValueError("the end of a document is not in the alphabet")

    @classmethod
    def of_text(cls, text: str) -> Vocabulary:
        """Makes the alphabet of a text."""
        return cls(tuple(sorted(map(ord, set(text)))))

    @classmethod
    def from_stored(
        cls, symbols: str | list[int], *, rare: bool, is_utf8: bool, document_end: int | None = None
    ) -> Vocabulary:
        """Makes an alphabet from its stored form: its characters as a string, or its bytes as a list.

        Args:
            symbols: all symbols but the one for rare characters.
            rare: whether the alphabet has that one too.
        """
        of_bytes = not isinstance(symbols, str)
        own = tuple(symbols) if not isinstance(symbols, str) else tuple(code_points(symbols).tolist())
        return cls((*own, RARE_BYTE if of_bytes else RARE) if rare else own, of_bytes, is_utf8, document_end)

    def __len__(self) -> int:
        return len(self.symbols)

    def union(self, other: Vocabulary) -> Vocabulary:
        """Returns this alphabet with the symbols of another one added.

        >>> Vocabulary.of_text("cab").union(Vocabulary.of_text("bed")).symbols
        (97, 98, 99, 100, 101)
        """
        symbols = tuple(sorted({*self.symbols, *other.symbols}))
        return Vocabulary(symbols, self.of_bytes, self.is_utf8 and other.is_utf8, self.document_end)

    @property
    def rare_id(self) -> int | None:
        """The id of the symbol for rare characters, if the alphabet has one."""
        return len(self) - 1 if self.symbols[-1] == (RARE_BYTE if self.of_bytes else RARE) else None

    @property
    def characters(self) -> tuple[int, ...]:
        """The symbols without the one for rare characters."""
        return self.symbols if self.rare_id is None else self.symbols[:-1]

    @cached_property
    def id_of(self) -> npt.NDArray[np.int32]:
        """Table from symbol to id: `rare_id`, else -1, for a symbol that is not in the alphabet.

        It has one entry more than the largest symbol, so that a lookup that clips finds "not in the alphabet" there.
        """
        table = np.full(self.symbols[-1] + 2, -1 if self.rare_id is None else self.rare_id, dtype=np.int32)
        table[list(self.symbols)] = np.arange(len(self.symbols), dtype=np.int32)
        return table

    def lookup(self, codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int32]:
        """Returns the ids of code points or bytes, in any shape; -1 for those that are not in the alphabet."""
        return self.id_of.take(codes, mode="clip")

    def codes(self, text: str) -> npt.NDArray[np.unsignedinteger]:
        """Returns the symbols of a text: its code points, or its bytes in UTF-8.

        Raises:
            PromptError: the text holds a surrogate that does not stand for a byte.
        """
        if not self.of_bytes:
            return code_points(text)
        try:
            return np.frombuffer(text.encode("utf-8", "surrogateescape"), dtype=np.uint8)
        except UnicodeEncodeError as error:
            raise PromptError(
                f"position {error.start + 1} of the text: found half of a character (a lone surrogate); remove it"
            ) from None

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Returns the ids of a text.

        Raises:
            PromptError: the text holds a character that is not in the alphabet.
        """
        codes = self.codes(text)
        ids = self.lookup(codes)
        unknown = np.flatnonzero(ids < 0)
        if len(unknown):
            first, *others = dict.fromkeys(codes[unknown].tolist())
            raise PromptError(
                f"the model does not know {self.name(first)}, at position {int(unknown[0]) + 1} of the prompt"
                f"{self.advice(first)}{self._others(others)} "
                "(change the prompt, or drop such characters with --unknown skip)"
            )
        return ids

    def _others(self, symbols: Sequence[int]) -> str:
        """Returns the unknown symbols of a prompt after the first one, as the end of a message, or ""."""
        named = []
        for symbol in symbols[:OTHERS_SHOWN]:
            near = "".join(f" (nearest: {each})" for each in self.nearest(symbol, 1))
            named.append((self.name(symbol) if self.of_bytes else repr(chr(symbol))) + near)
        more = f" and {plural(len(symbols) - OTHERS_SHOWN, 'other')}" if len(symbols) > OTHERS_SHOWN else ""
        return f"; nor {', '.join(named)}{more}" if named else ""

    def encode_known(self, text: str) -> tuple[npt.NDArray[np.int32], int]:
        """Returns the ids of the characters that are in the alphabet, and the number of the other characters.

        Of a character of several bytes all are known or none: half of one is no character.
        """
        ids = self.lookup(self.codes(text))
        is_known, owner = self._known(text, ids)
        return ids[is_known[owner]], len(is_known) - int(np.count_nonzero(is_known))

    def unknown_characters(self, text: str) -> list[str]:
        """Returns the characters of a text that are not in the alphabet, each once."""
        is_known, _ = self._known(text, self.lookup(self.codes(text)))
        return list(dict.fromkeys(text[at] for at in np.flatnonzero(~is_known).tolist()))

    def _known(self, text: str, ids: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Returns which characters are in the alphabet, and to which character each of the ids belongs."""
        owner = np.arange(len(text))
        if self.of_bytes:
            points = code_points(text)
            is_byte = (points >= 0xD800) & (points < 0xE000)  # a byte that is not UTF-8 (PEP 383)
            sizes = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
            owner = np.repeat(owner, np.where(is_byte, 1, sizes))
        is_known = np.ones(len(text), dtype=np.bool_)
        is_known[owner[ids < 0]] = False
        return is_known, owner

    def decode(self, ids: list[int]) -> str:
        """Returns the text of some ids; bytes that are not UTF-8 become lone surrogates (PEP 383)."""
        raw = b"".join(self.pieces[i] for i in ids)
        return raw.decode("utf-8", "surrogateescape")

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes of each symbol: the character in UTF-8, or the byte. Rare characters are shown as U+FFFD."""
        known = [bytes([s]) if self.of_bytes else chr(s).encode() for s in self.characters]
        return known if self.rare_id is None else [*known, RARE_SHOWN.encode()]

    def decoder(self) -> IdDecoder:
        """Returns a decoder for one id at a time."""
        return IdDecoder(self)

    def name(self, symbol: int) -> str:
        """Returns the name of a symbol for messages.

        >>> Vocabulary.of_text("a").name(0xE9)
        "'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE)"
        """
        if symbol == (RARE_BYTE if self.of_bytes else RARE):
            return "a rare character"
        if self.of_bytes:
            return f"byte {symbol:#04x}"
        shown = repr(chr(symbol))
        return f"{shown} (U+{symbol:04X} {unicodedata.name(chr(symbol), CONTROLS.get(symbol, 'without a name'))})"

    def nearest(self, symbol: int, count: int = 3) -> list[str]:
        """Returns characters of the alphabet that are other forms of this one: in width, case or accent, another quote
        or dash, simplified or traditional. There may be none."""
        if self.of_bytes:
            return []
        from charnet.data.variants import base_letter, variants  # imported here: only an error needs it

        known = {chr(s) for s in self.characters if s != self.document_end}
        alike = [c for c in variants(chr(symbol)) if c in known]
        if base := base_letter(chr(symbol)):
            alike += [c for c in sorted(known) if base_letter(c) == base]
        return [repr(c) for c in dict.fromkeys(alike)][:count]

    def advice(self, symbol: int) -> str:
        """Returns what the alphabet has in place of a symbol that it lacks, as the end of a message, or ""."""
        near = self.nearest(symbol)
        return f"; the nearest it knows: {', '.join(near)}" if near else ""

    def start_id(self) -> int:
        """Returns the id that precedes a text without a prompt: the end of a document or a line, a space, or 0."""
        for symbol in (self.document_end, 0x0A, 0x20):
            if symbol in self.symbols:
                return self.symbols.index(symbol)
        return 0


class IdDecoder:
    """Decodes one id at a time. It holds back the bytes of a character until the character is complete."""

    def __init__(self, vocab: Vocabulary) -> None:
        whole = [piece.decode() for piece in vocab.pieces] if not vocab.of_bytes else vocab.pieces
        self._pieces: Sequence[str | bytes] = whole
        self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def push(self, index: int) -> str:
        """Returns the text that is complete with this id: often one character, sometimes none."""
        piece = self._pieces[index]
        return piece if isinstance(piece, str) else self._utf8.decode(piece)

    def push_unknown(self, symbol: int) -> str:
        """Returns the text that is complete with a symbol that the alphabet lacks."""
        return chr(symbol) if self._pieces and isinstance(self._pieces[0], str) else self._utf8.decode(bytes([symbol]))

    def finish(self) -> str:
        """Returns the bytes that were held back, as text."""
        return self._utf8.decode(b"", final=True)
