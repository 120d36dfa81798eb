"""Characters and their ids. What happens to a character that the alphabet lacks is decided here and nowhere else."""

from __future__ import annotations

import codecs
import operator
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import numpy.typing as npt

from charnet.errors import PromptError

LAST_CODE_POINT = 0x10FFFF
RARE, RARE_BYTE = LAST_CODE_POINT + 1, 0x100  # stand for all that came too rarely for symbols of their own
RARE_SHOWN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Vocabulary:
    """An alphabet: sorted code points, or byte values where `of_bytes` is set. The id of a symbol is its rank.

    The last symbol may be `RARE` (`RARE_BYTE`): then every character that the alphabet lacks is that one, and none is
    unknown. `is_utf8` says of bytes that all text they were learned from was UTF-8.

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

    @classmethod
    def of_text(cls, text: str) -> Vocabulary:
        """The alphabet of a text."""
        return cls(tuple(sorted(map(ord, set(text)))))

    @classmethod
    def from_stored(cls, symbols: str | list[int], *, rare: bool, is_utf8: bool) -> Vocabulary:
        """An alphabet from how it is stored: its characters as a text, or its bytes as a list; without the rare one."""
        of_bytes = not isinstance(symbols, str)
        own = tuple(symbols) if not isinstance(symbols, str) else tuple(code_points(symbols).tolist())
        return cls((*own, RARE_BYTE if of_bytes else RARE) if rare else own, of_bytes, is_utf8)

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def rare_id(self) -> int | None:
        """The id of whatever came too rarely for one of its own, if there is such a thing."""
        return len(self) - 1 if self.symbols[-1] == (RARE_BYTE if self.of_bytes else RARE) else None

    @property
    def characters(self) -> tuple[int, ...]:
        """The symbols that stand for themselves."""
        return self.symbols if self.rare_id is None else self.symbols[:-1]

    @cached_property
    def id_of(self) -> npt.NDArray[np.int32]:
        """Table from symbol to id, -1 or the rare one where the alphabet lacks it; one entry more than the largest
        symbol."""
        table = np.full(self.symbols[-1] + 2, -1 if self.rare_id is None else self.rare_id, dtype=np.int32)
        table[list(self.symbols)] = np.arange(len(self.symbols), dtype=np.int32)
        return table

    def lookup(self, codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int32]:
        """Ids of code points or bytes, any shape; -1 for what the alphabet lacks."""
        return self.id_of.take(codes, mode="clip")

    def codes(self, text: str) -> npt.NDArray[np.unsignedinteger]:
        """The symbols that a text is made of: code points, or its bytes in UTF-8."""
        if not self.of_bytes:
            return code_points(text)
        try:
            return np.frombuffer(text.encode("utf-8", "surrogateescape"), dtype=np.uint8)
        except UnicodeEncodeError as error:
            raise PromptError(
                f"position {error.start + 1} of the text: expected a character, found half of one"
            ) from None

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Ids of a text.

        Raises:
            PromptError: the text holds a character that the alphabet lacks.
        """
        codes = self.codes(text)
        ids = self.lookup(codes)
        unknown = np.flatnonzero(ids < 0)
        if len(unknown):
            where = int(unknown[0])
            raise PromptError(
                f"the model does not know {self.name(int(codes[where]))}, at position {where + 1} of the prompt; "
                f"the nearest it knows: {', '.join(self.nearest(int(codes[where])))} "
                "(change the prompt, or drop such characters with --unknown skip)"
            )
        return ids

    def encode_known(self, text: str) -> tuple[npt.NDArray[np.int32], int]:
        """Ids of a text without the characters that the alphabet lacks, and how many those were."""
        ids = self.lookup(self.codes(text))
        known = ids[ids >= 0]
        return known, len(ids) - len(known)

    def decode(self, ids: list[int]) -> str:
        """The text that ids stand for; bytes that are not UTF-8 become lone surrogates (PEP 383)."""
        raw = b"".join(self.pieces[i] for i in ids)
        return raw.decode("utf-8", "surrogateescape")

    @cached_property
    def pieces(self) -> list[bytes]:
        """What each symbol is in UTF-8, or the byte that it is; the rare one is the sign for what cannot be shown."""
        known = [bytes([s]) if self.of_bytes else chr(s).encode() for s in self.characters]
        return known if self.rare_id is None else [*known, RARE_SHOWN.encode()]

    def decoder(self) -> IdDecoder:
        """A decoder for one id at a time."""
        return IdDecoder(self)

    def name(self, symbol: int) -> str:
        """A symbol as a person reads it.

        >>> Vocabulary.of_text("a").name(0xE9)
        "'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE)"
        """
        if symbol == (RARE_BYTE if self.of_bytes else RARE):
            return "a rare one"
        if self.of_bytes:
            return f"byte {symbol:#04x}"
        shown = repr(chr(symbol))
        return f"{shown} (U+{symbol:04X} {unicodedata.name(chr(symbol), 'without a name')})"

    def nearest(self, symbol: int, count: int = 3) -> list[str]:
        """The known symbols most like one: its base letter and other case first, then its neighbours in Unicode."""
        if self.of_bytes:
            return [f"{s:#04x}" for s in sorted(self.characters, key=lambda s: abs(s - symbol))[:count]]
        character = chr(symbol)
        base = unicodedata.normalize("NFKD", character)
        alike = set({"Pi": "\"'", "Pf": "\"'", "Pd": "-"}.get(unicodedata.category(character), ""))
        alike |= {character.lower(), character.upper(), base[0], base[0].lower(), base[0].upper()}
        ranked = sorted(self.characters, key=lambda s: (chr(s) not in alike, abs(s - symbol)))
        return [repr(chr(s)) for s in ranked[:count]]

    def start_id(self) -> int:
        """What a text without a prompt follows on from: a line end, else a space, else the first symbol."""
        for symbol in (0x0A, 0x20):
            if symbol in self.symbols:
                return self.symbols.index(symbol)
        return 0


LONGEST_UTF8 = 4  # bytes of a character
ANY = (0x80, 0xBF)  # what the bytes after the first may be, and the second after some
SECOND = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}


class Utf8Guard:
    """Which bytes may follow so that a text of bytes is UTF-8, and complete within a length (Unicode 16, table 3-7).

    Where the alphabet has no character so short, the last one is broken off.
    """

    def __init__(self, vocab: Vocabulary) -> None:
        self._symbols, lead = vocab.symbols, np.array(vocab.symbols, np.int64)
        needs = np.select([lead < 0x80, lead < 0xC2, lead < 0xE0, lead < 0xF0, lead < 0xF5], [1, 9, 2, 3, 4], 9)
        too_long = [needs > left for left in range(LONGEST_UTF8 + 1)]
        self._too_long = [too_long[-1] if all_V.all() else all_V for all_V in too_long]
        self._out_of = {(low, high): (lead < low) | (lead > high) for low, high in {ANY, *SECOND.values()}}

    def forbidden(self, last: Sequence[int], left: int) -> npt.NDArray[np.bool_]:
        """The symbols (V) that cannot come next.

        Args:
            last: the ids before it, three are enough.
            left: how many bytes the text may have more.
        """
        for back, i in enumerate(reversed(last), 1):
            byte = self._symbols[i]
            if 0xC2 <= byte < 0xF5:  # the first of a character, which has `length` bytes
                length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                if back < length:
                    return self._out_of[SECOND.get(byte, ANY) if back == 1 else ANY]
                break
            if not 0x80 <= byte < 0xC0:  # a character of its own, or what comes in no UTF-8, as the rare one
                break
        return self._too_long[min(left, LONGEST_UTF8)]


class IdDecoder:
    """Turns ids into text one at a time; holds back the bytes of a character that is not complete yet."""

    def __init__(self, vocab: Vocabulary) -> None:
        whole = [piece.decode() for piece in vocab.pieces] if not vocab.of_bytes else vocab.pieces
        self._pieces: Sequence[str | bytes] = whole
        self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def push(self, index: int) -> str:
        """The text that has become complete with this id, often one character, sometimes none."""
        piece = self._pieces[index]
        return piece if isinstance(piece, str) else self._utf8.decode(piece)

    def finish(self) -> str:
        """What was held back."""
        return self._utf8.decode(b"", final=True)


def code_points(text: str) -> npt.NDArray[np.unsignedinteger]:
    """The code points of a text, one number a character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
