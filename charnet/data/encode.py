"""Characters become ids: first they are counted and kept on disk as they come, then their ids are written.

An id is a rank in the sorted alphabet, and that is known only at the end of a text. A text itself is read once, and
memory does not grow with it.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charnet import machine
from charnet.config import DataSettings
from charnet.data import normalize, readers
from charnet.data.decoding import ByteDecoder
from charnet.data.sources import Source
from charnet.data.vocab import Vocabulary
from charnet.errors import CorpusError

LARGEST_PIECE = 1 << 20  # symbols, where several are written as one
PIECES_AT_ONCE = 16

Numbers = npt.NDArray[np.unsignedinteger[Any]]
OnProgress = Callable[[int], object]
NewFile = Callable[[], Path]


def id_type(symbols: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The narrowest type that holds the ids of an alphabet of this size."""
    return np.dtype(np.uint8 if symbols <= 1 << 8 else np.uint16 if symbols <= 1 << 16 else np.uint32)


@dataclass
class SourceInfo:
    """What reading one source told: the file's contents, what was done about wrong bytes, and how it was encoded."""

    contents: readers.Contents = field(default_factory=readers.Contents)
    wrong: int = 0
    encoding: str = ""
    is_utf8: bool = False


@dataclass
class SymbolCounts:
    """What counting told: how often each symbol came, of each source the rest, and how the symbols are kept: `pieces`
    are bytes a symbol and symbols, one piece behind the other in a file."""

    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    pieces: list[tuple[int, int]] = field(default_factory=list)
    texts: list[SourceInfo] = field(default_factory=list)

    @property
    def length(self) -> int:
        """How many symbols came."""
        return sum(length for _, length in self.pieces)

    def add(self, symbols: Numbers) -> None:
        """Counts a piece."""
        self.add_counts(_counted(symbols))
        width, length = symbols.itemsize, len(symbols)
        if self.pieces and self.pieces[-1][0] == width and self.pieces[-1][1] + length <= LARGEST_PIECE:
            length += self.pieces.pop()[1]
        self.pieces.append((width, length))

    def add_counts(self, counts: npt.NDArray[np.int64]) -> None:
        """Adds how often each symbol came elsewhere."""
        if len(counts) > len(self.counts):
            self.counts = np.pad(self.counts, (0, len(counts) - len(self.counts)))
        self.counts[: len(counts)] += counts


def _counted(symbols: Numbers) -> npt.NDArray[np.int64]:
    """How often each symbol comes; of single bytes two are counted at once, which is twice as fast."""
    if symbols.dtype != np.uint8 or len(symbols) < 1 << 16:
        return np.bincount(symbols)
    even = len(symbols) & ~1
    pairs = np.bincount(symbols[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    count: npt.NDArray[np.int64] = pairs.sum(0) + pairs.sum(1) + np.bincount(symbols[even:], minlength=256)
    return count


def count(
    sources: Sequence[Source],
    separators: Sequence[str],
    data: DataSettings,
    kept: Path,
    tally: SymbolCounts,
    on_progress: OnProgress,
) -> None:
    """Counts the symbols of some sources, and keeps them at the end of a file; arguments and errors are those of
    `symbols_of`."""
    with kept.open("ab") as file:
        for symbols in symbols_of(sources, separators, data, tally.texts, on_progress):
            tally.add(symbols)
            file.write(symbols.data)


def write_ids(vocab: Vocabulary, tallies: Sequence[SymbolCounts], kept: Sequence[Path], new_file: NewFile) -> Path:
    """Writes the ids of all symbols that are kept to one file, on all cores; the others shrink meanwhile.

    That is the first one where ids are as wide as its symbols: to write over what is there takes half the time.
    """
    ids_of, width, at = _table(vocab), id_type(len(vocab)).itemsize, 0
    path = kept[0] if all(each == width for each, _ in tallies[0].pieces) else new_file()

    def write(piece: Piece) -> None:
        with piece.kept.open("rb", buffering=0) as file:
            file.seek(piece.begin)
            symbols = np.frombuffer(file.read(piece.width * piece.length), np.dtype(f"<u{piece.width}"))
        with path.open("r+b") as file:
            file.seek(piece.at * width)
            file.write(ids_of(symbols).data)

    with ThreadPoolExecutor(machine.processor_cores()) as pool:
        for tally, file in zip(tallies, kept, strict=True):
            pieces = list(_pieces(tally, file, at))
            for end in range(len(pieces), 0, -PIECES_AT_ONCE):
                now = pieces[max(0, end - PIECES_AT_ONCE) : end]
                for _ in pool.map(write, now):
                    pass
                if file != path:
                    os.truncate(file, now[0].begin)
            at += tally.length
    return path


class Piece(NamedTuple):
    """Symbols that are kept: in which file, where they begin, bytes a symbol, how many, and the place of the first."""

    kept: Path
    begin: int
    width: int
    length: int
    at: int


def _pieces(tally: SymbolCounts, kept: Path, at: int) -> Iterator[Piece]:
    begin = 0
    for width, length in tally.pieces:
        yield Piece(kept, begin, width, length, at)
        begin, at = begin + width * length, at + length


def _table(vocab: Vocabulary) -> Callable[[Numbers], Numbers]:
    """A function from symbols to their ids; of single bytes two are looked up at once, which is twice as fast."""
    table = vocab.id_of.astype(id_type(len(vocab)))
    of_bytes = table.take(np.arange(1 << 8), mode="clip").astype(np.uint8)  # used where ids are single bytes
    of_pairs = of_bytes[np.arange(1 << 16, dtype=np.uint16).view(np.uint8)].view(np.uint16)

    def ids_of(symbols: Numbers) -> Numbers:
        if table.itemsize > 1 or symbols.itemsize > 1:
            return table.take(symbols, mode="clip")
        even = len(symbols) & ~1
        pairs = of_pairs.take(symbols[:even].view(np.uint16)).view(np.uint8)
        return pairs if even == len(symbols) else np.append(pairs, of_bytes[symbols[even:]])

    return ids_of


def symbols_of(
    sources: Sequence[Source],
    separators: Sequence[str],
    data: DataSettings,
    texts: list[SourceInfo],
    on_progress: OnProgress,
) -> Iterator[Numbers]:
    """The symbols of all sources, piece by piece: bytes, or code points.

    Args:
        after: what to append to each source.
        texts: gets what there is to know about each source, as they are read.
        done: told now and then how many bytes are read.

    Raises:
        CorpusError: wrong bytes, half characters, a damaged or changing file.
        StorageError: the system refused to read.
    """
    read = 0

    def told(now: int) -> None:
        on_progress(read + now)

    for source, behind in zip(sources, separators, strict=True):
        texts.append(SourceInfo())
        yield from _source_symbols(source, data, texts[-1], told)
        if behind:
            yield _separator(behind, data)
        read += texts[-1].contents.size


def _source_symbols(source: Source, data: DataSettings, text: SourceInfo, done: OnProgress) -> Iterator[Numbers]:
    """The symbols of one source; no piece is empty."""
    chunks = _reporting(readers.chunks(source, text.contents), text.contents, done)
    if data.bytes:
        yield from _raw(chunks, text)
        return
    decoder = ByteDecoder(source.shown, data.encoding, data.encoding_errors)
    for piece in normalize.normalized_documents(decoder.texts(chunks), data):
        try:
            if piece:
                yield _of_text(piece)
        except UnicodeEncodeError:
            half = "it holds halves of characters (surrogates)"
            raise CorpusError(f"{source.shown}: in {decoder.encoding} {half}") from None
    text.wrong, text.encoding = decoder.wrong, decoder.encoding


def _separator(text: str, data: DataSettings) -> Numbers:
    """A separator as symbols; bytes that are no text, as a shell may give them, are bytes."""
    try:
        return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8) if data.bytes else _of_text(text)
    except UnicodeEncodeError:
        raise CorpusError(f"--document-separator: expected whole characters, found {text[:40]!a}") from None


def _of_text(text: str) -> Numbers:
    """The code points of a text; raises UnicodeEncodeError at half of a character (a surrogate)."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    raw = text.encode("utf-16-le")
    if len(raw) == 2 * len(text):
        return np.frombuffer(raw, np.dtype("<u2"))
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))


def _reporting(chunks: Iterable[bytes], contents: readers.Contents, done: OnProgress) -> Iterator[bytes]:
    for raw in chunks:
        yield raw
        done(contents.size)


def _raw(chunks: Iterable[bytes], text: SourceInfo) -> Iterator[Numbers]:
    """Bytes as they are; notes whether they were UTF-8."""
    decoder, text.is_utf8 = codecs.getincrementaldecoder("utf-8")(), True
    for raw in chunks:
        if raw:
            yield np.frombuffer(raw, np.uint8)
        try:
            if text.is_utf8:
                decoder.decode(raw, final=not raw)
        except UnicodeDecodeError:
            text.is_utf8 = False
