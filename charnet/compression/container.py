"""The format of a compressed text: what a file of charnet holds, and the refusal of every other file.

    header   "CNZ", format, version of the arithmetic, flags, fingerprint of the model (16 bytes)
    block    length in symbols, decoding, symbols that are new, the count of each symbol beyond the alphabet, the number
             of words of code, the words, CRC-32 of the bytes that it stands for, CRC-32 of the file so far
    ...
    end      a block of length 0: a byte, CRC-32 of the file so far

Numbers are varints (7 bits a byte, the lowest first), others little-endian. All that memory or time could depend on is
checked against the bytes that are there before it is used.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from charnet.compression.counts import SYMBOLS_A_BIT
from charnet.compression.rans import BITS, WORD, Words
from charnet.compression.symbols import BLOCK, DECODINGS, MOST_BEYOND
from charnet.engines import exact
from charnet.errors import CompressedFileError

MAGIC, FORMAT = b"CNZ", 1
CODER = 1  # changes with anything between the logits and the code
ARITHMETIC = 16 * exact.VERSION + CODER
ADAPTIVE = 1  # a flag
FINGERPRINT, SHOWN = 16, 12  # bytes; digits
LONGEST_VARINT = 5  # bytes
AT_ONCE = 1 << 20  # bytes that are read before it is known whether they are there


@dataclass(frozen=True)
class Header:
    """The first bytes of a file."""

    fingerprint: bytes
    adaptive: bool

    def pack(self) -> bytes:
        return MAGIC + bytes([FORMAT, ARITHMETIC, ADAPTIVE * self.adaptive]) + self.fingerprint


@dataclass(frozen=True)
class CodedBlock:
    """A block as it is in a file.

    Attributes:
        length: symbols.
        new: the symbols beyond the alphabet that come here first, and what the network reads for each, plus one.
        counts: how often each symbol beyond the alphabet comes in the block.
        crc: of the bytes that it stands for.
    """

    length: int
    decoding: int
    new: list[int]
    read_as: list[int]
    counts: list[int]
    words: Words
    crc: int

    def pack(self) -> bytes:
        steps = [code - before for before, code in itertools.pairwise([0, *self.new])]
        listed = itertools.chain.from_iterable(zip(steps, self.read_as, strict=True))
        numbers = [self.length, self.decoding, len(self.new), *listed, *self.counts, len(self.words)]
        return b"".join(map(_varint, numbers)) + self.words.astype("<u4").tobytes() + self.crc.to_bytes(4, "little")


class Writer:
    """Packs a file part by part."""

    def __init__(self) -> None:
        self._crc = 0

    def header(self, header: Header) -> bytes:
        packed = header.pack()
        self._crc = zlib.crc32(packed)
        return packed

    def block(self, block: CodedBlock | None) -> bytes:
        """Packs a block, or the end of the file."""
        packed = block.pack() if block else _varint(0)
        self._crc = zlib.crc32(packed, self._crc)
        packed += self._crc.to_bytes(4, "little")
        self._crc = zlib.crc32(packed[-4:], self._crc)
        return packed


class Parser:
    """Reads a file part by part.

    Args:
        read: returns so many bytes, or fewer at the end of the file.
        name: of the file, for messages.
    """

    def __init__(self, read: Callable[[int], bytes], name: str) -> None:
        self._read, self._name, self._crc = read, name, 0

    def refuse(self, reason: str, advice: str = "get it again") -> NoReturn:
        """Raises CompressedFileError: the file is damaged."""
        raise CompressedFileError(f"{self._name}: {reason}; {advice}")

    def refuse_model(self, expected: bytes, found: bytes, name: str) -> NoReturn:
        """Raises CompressedFileError: the file was made with another model."""
        self.refuse(
            f"was compressed with the model {expected.hex()[:SHOWN]}, and {name} is the model {found.hex()[:SHOWN]}",
            "name the right one",
        )

    def header(self) -> Header:
        """Reads the header.

        Raises:
            CompressedFileError: the file is not one of charnet's, or of another version.
        """
        raw = self._read(len(MAGIC) + 3 + FINGERPRINT)
        if not raw.startswith(MAGIC):
            self.refuse("is no text that `charnet compress` wrote", "give a file that it wrote")
        if len(raw) < len(MAGIC) + 3 + FINGERPRINT:
            self.refuse("is cut off")
        version, arithmetic, flags = raw[len(MAGIC) : len(MAGIC) + 3]
        if version != FORMAT or arithmetic != ARITHMETIC or flags & ~ADAPTIVE:
            found = f"format {version}.{arithmetic}, this one reads {FORMAT}.{ARITHMETIC}"
            self.refuse(f"was written by another version of charnet ({found}), or is damaged", "use that version")
        self._crc = zlib.crc32(raw)
        return Header(raw[-FINGERPRINT:], bool(flags & ADAPTIVE))

    def blocks(self, num_beyond: Callable[[], int]) -> Iterator[CodedBlock]:
        """Reads the blocks; each is whole, as far as checksums can tell, and not too long for its bytes.

        Args:
            num_beyond: returns how many symbols beyond the alphabet are known before a block.

        Raises:
            CompressedFileError: the file is damaged, or goes on after its end.
        """
        while length := self._number(BLOCK):
            decoding = self._number(len(DECODINGS) - 1)
            new, read_as = self._new_symbols(self._number(min(length, MOST_BEYOND)))
            counts = [self._number(length) for _ in range(num_beyond() + len(new))]
            words = self._words(self._number(length * BITS // WORD + 2), length)
            crc = int.from_bytes(self._bytes(4), "little")
            self._check()
            if sum(counts) > length:
                self.refuse("is damaged")
            yield CodedBlock(length, decoding, new, read_as, counts, words, crc)
        self._check()
        if self._read(1):
            self.refuse("goes on after its end")

    def _new_symbols(self, count: int) -> tuple[list[int], list[int]]:
        new, read_as, code = [], [], 0
        for _ in range(count):
            code += self._number(1 << 21)
            new.append(code)
            read_as.append(self._number(1 << 21))
        return new, read_as

    def _words(self, count: int, length: int) -> Words:
        if length > count * WORD * SYMBOLS_A_BIT:
            self.refuse("is damaged")
        size = 4 * count
        parts = [self._bytes(min(AT_ONCE, size - at)) for at in range(0, size, AT_ONCE)]
        words: npt.NDArray[np.uint32] = np.frombuffer(b"".join(parts), "<u4").astype(np.uint32)
        return words

    def _check(self) -> None:
        """Compares the checksum of the file so far."""
        expected = self._crc
        if int.from_bytes(self._bytes(4), "little") != expected:
            self.refuse("is damaged: its checksum is another one")

    def _bytes(self, count: int) -> bytes:
        raw = self._read(count)
        if len(raw) < count:
            self.refuse("is cut off")
        self._crc = zlib.crc32(raw, self._crc)
        return raw

    def _number(self, most: int) -> int:
        """Reads a number that is at most `most`."""
        number, place, byte = 0, 0, 0x80
        while byte & 0x80 and place < LONGEST_VARINT:
            byte = self._bytes(1)[0]
            number |= (byte & 0x7F) << 7 * place
            place += 1
        if byte & 0x80 or number > most:
            self.refuse("is damaged")
        return number


def _varint(number: int) -> bytes:
    """Packs a number of at least 0.

    >>> _varint(300).hex()
    'ac02'
    """
    packed = bytearray()
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*packed, number])
