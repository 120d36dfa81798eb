"""A block of bytes as symbols: the characters that the model knows, and those of the text beyond its alphabet.

Every byte comes back. A block is decoded in the way that gives the model the most characters that it knows; bytes that
are no characters become lone surrogates (PEP 383), which are symbols like others. The symbols beyond the alphabet are
listed in the block where they come first. For each the list says which character the network reads in its place: the
same letter in another case, for instance. No table of Unicode is asked when a file is decompressed: it may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from charnet.data.vocab import Vocabulary, code_points

BLOCK = 1 << 20  # bytes at most
MOST_BEYOND = 1 << 13
NOTHING = -1  # the network reads no character in place of this one
KNOWN_BITS, BEYOND_BITS, LISTED_BITS = 2, 8, 20  # about what a symbol costs
CR = 0x0D

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Decoding:
    """A way in which bytes become characters: an encoding, and whether line ends of two characters become one."""

    encoding: str
    errors: str
    two_character_ends: bool = False

    def decode(self, raw: bytes) -> str | None:
        """Returns the characters, or None if these bytes would not come back."""
        try:
            text = raw.decode(self.encoding, self.errors)
            text = text.replace("\r\n", "\n") if self.two_character_ends else text
            return text if self.encode(text) == raw else None
        except UnicodeError:
            return None

    def encode(self, text: str) -> bytes:
        """Returns the bytes of characters.

        Raises:
            UnicodeEncodeError: this encoding does not have them.
        """
        text = text.replace("\n", "\r\n") if self.two_character_ends else text
        return text.encode(self.encoding, self.errors)


DECODINGS = [
    Decoding(encoding, errors, two)
    for encoding, errors in (
        ("utf-8", "surrogateescape"),
        ("latin-1", "strict"),
        ("utf-16-le", "surrogatepass"),
        ("utf-16-be", "surrogatepass"),
    )
    for two in (False, True)
]
AS_BYTES = 2  # the place of latin-1: each byte is the character of this number


@dataclass(frozen=True)
class Block:
    """Some bytes as symbols.

    Attributes:
        ids: of the symbols: those of the alphabet, then those beyond it.
        decoding: its place among `DECODINGS`.
    """

    ids: Codes
    decoding: int


@dataclass
class Symbols:
    """The symbols of a text so far; both sides have the same after each block.

    Attributes:
        beyond: code points, or bytes, that the alphabet lacks, in the order of their ids.
        read_as: for each the id that the network reads in its place, or `NOTHING`.
    """

    vocab: Vocabulary
    beyond: list[int] = field(default_factory=list)
    read_as: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._alphabet = np.array(self.vocab.characters, np.int64)

    def add(self, codes: list[int], read_as: list[int]) -> None:
        """Appends symbols beyond the alphabet.

        Raises:
            ValueError: they are in the alphabet or known already, out of order or out of range.
        """
        last = 0xFF if self.vocab.of_bytes else 0x10FFFF
        if codes != sorted(set(codes)) or (codes and not 0 <= codes[0] <= codes[-1] <= last):
            raise ValueError("symbols out of order")
        if len(self.beyond) + len(codes) > MOST_BEYOND or set(codes) & {*self.beyond, *self.vocab.characters}:
            raise ValueError("symbols that are known")
        if len(codes) != len(read_as) or any(not NOTHING <= i < len(self.vocab) for i in read_as):
            raise ValueError("symbols that are read as unknown ones")
        self.beyond += codes
        self.read_as += read_as

    def encode(self, raw: bytes) -> tuple[Block, list[int]]:
        """Finds the best way to decode a block.

        Returns:
            The block, and the symbols that were added for it.
        """
        best: tuple[int, int, Codes, list[int]] | None = None
        for place, decoding in enumerate(DECODINGS):
            if self.vocab.of_bytes and place != AS_BYTES:
                continue
            if decoding.two_character_ends and (CR in self.vocab.characters or b"\r" not in raw):
                continue
            if (text := decoding.decode(raw)) is None:
                continue
            codes = code_points(text).astype(np.int64)
            beyond = codes[self._lookup(codes) < 0]
            new = sorted(set(beyond.tolist()) - set(self.beyond))
            reserve = 0 if place == AS_BYTES else 0x100
            if len(self.beyond) + len(new) > MOST_BEYOND - reserve:
                continue
            cost = KNOWN_BITS * len(codes) + BEYOND_BITS * len(beyond) + LISTED_BITS * len(new)
            if best is None or cost < best[0]:
                best = cost, place, codes, new
            if not len(beyond):
                break
        assert best is not None  # latin-1 decodes all bytes
        _, place, codes, new = best
        self.add(new, [self._instead_of(code) for code in new])
        return Block(self._ids(codes), place), new

    def decode(self, block: Block) -> bytes:
        """Returns the bytes of a block.

        Raises:
            ValueError: its symbols are none of its encoding.
        """
        table = np.array([*self.vocab.symbols, *self.beyond], np.int64)  # the rare one is never in a block
        text = table[block.ids].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
        return DECODINGS[block.decoding].encode(text)

    def _lookup(self, codes: Codes) -> Codes:
        """Returns the ids of characters in the alphabet, -1 for others."""
        at = np.minimum(np.searchsorted(self._alphabet, codes), len(self._alphabet) - 1)
        return np.where(self._alphabet[at] == codes, at, -1)

    def _ids(self, codes: Codes) -> Codes:
        ids = self._lookup(codes)
        if self.beyond:
            order = np.argsort(self.beyond)
            found = np.searchsorted(np.array(self.beyond)[order], codes[ids < 0])
            ids[ids < 0] = len(self.vocab) + order[found]
        return ids

    def _instead_of(self, code: int) -> int:
        """Returns the id that the network reads in place of a character that it does not know."""
        if not self.vocab.of_bytes and not 0xD800 <= code < 0xE000:
            from charnet.data.variants import variants  # imported here: most texts have no such character

            for other in variants(chr(code)):
                if len(other) == 1 and (found := int(self._lookup(np.array([ord(other)]))[0])) >= 0:
                    return found
        return NOTHING if self.vocab.rare_id is None else self.vocab.rare_id


def blocks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Reads a file in blocks, none of which ends within a character of UTF-8 or between the two of a line end."""
    rest = b""
    while more := read(BLOCK - len(rest)):
        raw = rest + more
        if len(raw) < BLOCK:  # a pipe gives what it has
            rest = raw
            continue
        end = _whole(raw)
        yield raw[:end]
        rest = raw[end:]
    if rest:
        yield rest


def _whole(raw: bytes) -> int:
    """Returns where to cut a block: before the first bytes of a character of UTF-8, or of a line end."""
    for back in range(1, min(4, len(raw) + 1)):
        byte = raw[-back]
        if byte >= 0xC0:  # the first of two bytes or more
            return len(raw) - back if back < 2 + (byte >= 0xE0) + (byte >= 0xF0) else len(raw)
        if byte < 0x80:
            break
    return len(raw) - 1 if raw.endswith(b"\r") and not raw.endswith(b"\0\r") else len(raw)
