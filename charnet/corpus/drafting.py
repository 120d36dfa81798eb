"""Characters become numbers in one reading.

What the alphabet will be is known only at the end, so characters first get numbers in the order in which they are met
(the 128 of ASCII, or all bytes, keep their own), in 8 bits a number until more are needed. At the end one pass over
the draft, in place, makes ids of them: ranks in the sorted alphabet. Memory does not grow with the text.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from charnet import shaping
from charnet.config import DataSettings
from charnet.corpus import opening
from charnet.corpus.decoding import Decoder
from charnet.corpus.finding import Source
from charnet.errors import CorpusError
from charnet.vocab import LAST_CODE_POINT, code_points

BLOCK = 1 << 20  # numbers that are turned into ids at once
UNMET = -1

Numbers = npt.NDArray[np.unsignedinteger[Any]]


def id_type(symbols: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The narrowest type that holds the ids of an alphabet of this size."""
    return np.dtype(np.uint8 if symbols <= 1 << 8 else np.uint16 if symbols <= 1 << 16 else np.uint32)


@dataclass
class Text:
    """What reading one source told: the file's contents, what was done about wrong bytes, and how it was encoded."""

    contents: opening.Contents
    wrong: int = 0
    encoding: str = ""
    is_utf8: bool = False


class Draft:
    """The numbers of a text in a file.

    `symbols` holds the code point or byte behind each number, `counts` how often each came, `length` how many numbers
    there are in the file, of type `dtype`.

    Args:
        file: empty, open for reading and writing; the draft does not close it.
    """

    def __init__(self, file: IO[bytes], *, of_bytes: bool = False) -> None:
        self.file, self.of_bytes, self.length = file, of_bytes, 0
        self.symbols: list[int] = list(range(256 if of_bytes else 128))
        self.counts = np.zeros(1 << 8, np.int64)
        self.dtype = id_type(len(self.symbols))
        self._number_of = np.full(LAST_CODE_POINT + 1, UNMET, np.int32)
        self._number_of[: len(self.symbols)] = self.symbols

    def add(self, text: str) -> None:
        """Appends characters.

        Raises:
            CorpusError: half of a character (a surrogate).
        """
        if text.isascii():
            self._write(np.frombuffer(text.encode("ascii"), np.uint8))
            return
        codes = code_points(text)
        numbers = self._number_of.take(codes)
        if numbers.min() == UNMET:
            self._meet(np.unique(codes[numbers == UNMET]))
            numbers = self._number_of.take(codes)
        self._write(numbers)

    def add_bytes(self, raw: bytes) -> None:
        """Appends bytes."""
        self._write(np.frombuffer(raw, np.uint8))

    def _meet(self, codes: Numbers) -> None:
        if np.any((codes >= 0xD800) & (codes <= 0xDFFF)):
            raise CorpusError("it holds halves of characters (surrogates)")
        self._number_of[codes] = np.arange(len(self.symbols), len(self.symbols) + len(codes))
        self.symbols.extend(codes.tolist())
        if (wider := id_type(len(self.symbols))) != self.dtype:
            renumber(self.file, self.length, self.dtype, np.arange(1 << 8 * self.dtype.itemsize).astype(wider))
            self.dtype = wider

    def _write(self, numbers: npt.NDArray[Any]) -> None:
        count = _counted(numbers)
        if len(count) > len(self.counts):
            self.counts = np.concatenate([self.counts, np.zeros(len(self.symbols) - len(self.counts), np.int64)])
        self.counts[: len(count)] += count
        self.file.write(numbers.astype(self.dtype, copy=False).data)
        self.length += len(numbers)


def _counted(numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How often each number comes; of single bytes two are counted at once, which is twice as fast."""
    if numbers.dtype != np.uint8 or len(numbers) < 1 << 16:
        return np.bincount(numbers)
    even = len(numbers) & ~1
    pairs = np.bincount(numbers[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    count: npt.NDArray[np.int64] = pairs.sum(0) + pairs.sum(1) + np.bincount(numbers[even:], minlength=256)
    return count


def renumber(file: IO[bytes], length: int, dtype: np.dtype[Any], table: Numbers) -> None:
    """Replaces each number in a file by its entry in a table, in place; the file shrinks or grows to the table's type.

    Afterwards the file stands at its end.
    """
    old, new, entries = dtype.itemsize, table.dtype.itemsize, _entries(dtype, table)
    starts = range(0, length, BLOCK)
    for start in starts if new <= old else reversed(starts):
        file.seek(start * old)
        numbers = np.frombuffer(file.read(min(BLOCK, length - start) * old), dtype)
        file.seek(start * new)
        file.write(entries(numbers).data)
    file.seek(length * new)
    file.truncate()


def append(file: IO[bytes], draft: Draft, table: Numbers) -> None:
    """Moves the numbers of a draft, as their entries in a table, to the end of another file."""
    entries = _entries(draft.dtype, table)
    for numbers in blocks(draft):
        file.write(entries(numbers).data)
    draft.file.truncate(0)  # for the next one to take its room


def _entries(dtype: np.dtype[Any], table: Numbers) -> Callable[[Numbers], Numbers]:
    """A function from numbers to their entries in a table; of single bytes two are looked up at once, which is twice as
    fast."""
    if dtype.itemsize > 1 or table.dtype.itemsize > 1:
        return table.take
    of_bytes = np.zeros(1 << 8, np.uint8)
    of_bytes[: len(table)] = table
    of_pairs = of_bytes[np.arange(1 << 16, dtype=np.uint16).view(np.uint8)].view(np.uint16)

    def entries(numbers: Numbers) -> Numbers:
        even = len(numbers) & ~1
        pairs = of_pairs.take(numbers[:even].view(np.uint16)).view(np.uint8)
        return pairs if even == len(numbers) else np.append(pairs, of_bytes[numbers[even:]])

    return entries


def blocks(draft: Draft) -> Iterator[Numbers]:
    """The numbers of a draft, a block at a time."""
    draft.file.seek(0)
    for start in range(0, draft.length, BLOCK):
        count = min(BLOCK, draft.length - start)
        yield np.frombuffer(draft.file.read(count * draft.dtype.itemsize), draft.dtype)


def add_source(draft: Draft, source: Source, data: DataSettings, done: Callable[[int], object], after: str) -> Text:
    """Reads one source to the end of a draft.

    Args:
        done: told now and then how many bytes of the file are read.
        after: what to append behind it.

    Raises:
        CorpusError: wrong bytes, half characters, a damaged or changing file.
        StorageError: the system refused to read.
    """
    text = Text(opening.Contents())
    chunks = _told(opening.chunks(source, text.contents), text.contents, done)
    if data.bytes:
        text.is_utf8 = _add_raw(draft, chunks)
        draft.add_bytes(after.encode())
        return text
    decoder = Decoder(source.shown, data.encoding, data.encoding_errors)
    try:
        for piece in shaping.learned(decoder.texts(chunks), data):
            draft.add(piece)
    except CorpusError as error:
        if str(error).startswith("it holds"):
            raise CorpusError(f"{source.shown}: in {decoder.encoding} {error}") from None
        raise
    draft.add(after)
    text.wrong, text.encoding = decoder.wrong, decoder.encoding
    return text


def _told(chunks: Iterable[bytes], contents: opening.Contents, done: Callable[[int], object]) -> Iterator[bytes]:
    for raw in chunks:
        yield raw
        done(contents.size)


def _add_raw(draft: Draft, chunks: Iterable[bytes]) -> bool:
    """Appends bytes as they are; whether they were UTF-8."""
    decoder, is_utf8 = codecs.getincrementaldecoder("utf-8")(), True
    for raw in chunks:
        draft.add_bytes(raw)
        try:
            if is_utf8:
                decoder.decode(raw, final=not raw)
        except UnicodeDecodeError:
            is_utf8 = False
    return is_utf8
