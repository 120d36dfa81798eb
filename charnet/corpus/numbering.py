"""Characters become ids in two readings: the first counts them, the second writes their ids.

An id is a rank in the sorted alphabet, and that is known only at the end of a text. What comes once, or slowly (a
pipe, a packed file, a text put into shape), is kept on disk for the second reading, as symbols. Memory does not grow
with the text.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from charnet import shaping
from charnet.config import DataSettings
from charnet.corpus import opening
from charnet.corpus.decoding import Decoder
from charnet.corpus.finding import PACKED, Source
from charnet.errors import CorpusError
from charnet.vocab import Vocabulary

WRITTEN_AT_ONCE = 1 << 24  # bytes that the system is asked to bring to the disk while others are made
NUMBER_BYTES = 8

Numbers = npt.NDArray[np.unsignedinteger[Any]]
Done = Callable[[int], object]


def id_type(symbols: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The narrowest type that holds the ids of an alphabet of this size."""
    return np.dtype(np.uint8 if symbols <= 1 << 8 else np.uint16 if symbols <= 1 << 16 else np.uint32)


@dataclass
class Text:
    """What reading one source told: the file's contents, what was done about wrong bytes, and how it was encoded."""

    contents: opening.Contents = field(default_factory=opening.Contents)
    wrong: int = 0
    encoding: str = ""
    is_utf8: bool = False


@dataclass
class Tally:
    """What the first reading told: how often each symbol came, how many came in all, and of each source the rest."""

    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    length: int = 0
    texts: list[Text] = field(default_factory=list)

    def add(self, symbols: Numbers) -> None:
        """Counts symbols."""
        self.add_counts(_counted(symbols))
        self.length += len(symbols)

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


@dataclass(frozen=True)
class Part:
    """Sources that are read one after the other. `after` is what to append to each; `kept` the file for symbols that
    are not read again, or nothing."""

    sources: Sequence[Source]
    after: Sequence[str]
    data: DataSettings
    kept: str = ""


def is_read_once(source: Source, data: DataSettings) -> bool:
    """Whether a source comes only once, or so slowly that its symbols are kept for the second reading."""
    return source.is_stream or source.path.suffix in PACKED or (shaping.is_asked_for(data) and not data.bytes)


def count(part: Part, done: Done) -> Tally:
    """The first reading.

    Args:
        done: told now and then how many bytes are read.

    Raises:
        CorpusError: wrong bytes, half characters, a damaged or changing file.
        StorageError: the system refused to read.
    """
    tally = Tally()
    if not part.kept:
        for symbols in symbols_of(part, tally.texts, done):
            tally.add(symbols)
        return tally
    with Path(part.kept).open("r+b") as kept:
        for symbols in symbols_of(part, tally.texts, done):
            tally.add(symbols)
            for number in (symbols.itemsize, len(symbols)):
                kept.write(number.to_bytes(NUMBER_BYTES, "little"))
            kept.write(symbols.data)
    return tally


def write(part: Part, contents: Sequence[opening.Contents], vocab: Vocabulary, path: Path, at: int, done: Done) -> None:
    """The second reading: writes the ids of a part to a file, from the id at that place on.

    Args:
        contents: what the first reading found in the sources.

    Raises:
        CorpusError: the second reading found something else.
        StorageError: the system refused to read.
    """
    with path.open("r+b") as file:
        file.seek(at * id_type(len(vocab)).itemsize)
        if part.kept:
            with Path(part.kept).open("r+b") as kept:
                _write(file, _kept_symbols(kept), vocab)
                kept.truncate(0)  # for others to take its room
            return
        again: list[Text] = []
        _write(file, symbols_of(part, again, done), vocab)
    for source, text, before in zip(part.sources, again, contents, strict=True):
        if text.contents != before:
            raise opening.changed(source)


def _write(file: IO[bytes], pieces: Iterable[Numbers], vocab: Vocabulary) -> None:
    ids_of, begin = id_table(vocab), file.tell()
    for symbols in pieces:
        file.write(ids_of(symbols).data)
        if (end := file.tell()) - begin >= WRITTEN_AT_ONCE and hasattr(os, "posix_fadvise"):
            file.flush()
            # Begins to write to the disk; what is not written yet is not dropped.
            os.posix_fadvise(file.fileno(), begin, end - begin, os.POSIX_FADV_DONTNEED)
            begin = end


def id_table(vocab: Vocabulary) -> Callable[[Numbers], Numbers]:
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


def _kept_symbols(kept: IO[bytes]) -> Iterator[Numbers]:
    while number := kept.read(NUMBER_BYTES):
        width = int.from_bytes(number, "little")
        length = int.from_bytes(kept.read(NUMBER_BYTES), "little")
        yield np.frombuffer(kept.read(width * length), np.dtype(f"<u{width}"))


def symbols_of(part: Part, texts: list[Text], done: Done) -> Iterator[Numbers]:
    """The symbols of all sources, piece by piece: bytes, or code points.

    Args:
        texts: gets what there is to know about each source, as they are read.
        done: told now and then how many bytes are read.

    Raises:
        CorpusError: wrong bytes, half characters, a damaged or changing file.
        StorageError: the system refused to read.
    """
    read = 0

    def told(now: int) -> None:
        done(read + now)

    for source, after in zip(part.sources, part.after, strict=True):
        texts.append(Text())
        yield from _source_symbols(source, part.data, texts[-1], told)
        if after:
            yield _of_text(after) if not part.data.bytes else np.frombuffer(after.encode(), np.uint8)
        read += texts[-1].contents.size


def _source_symbols(source: Source, data: DataSettings, text: Text, done: Done) -> Iterator[Numbers]:
    """The symbols of one source; no piece is empty."""
    chunks = _told(opening.chunks(source, text.contents), text.contents, done)
    if data.bytes:
        yield from _raw(chunks, text)
        return
    decoder = Decoder(source.shown, data.encoding, data.encoding_errors)
    for piece in shaping.learned(decoder.texts(chunks), data):
        try:
            if piece:
                yield _of_text(piece)
        except UnicodeEncodeError:
            half = "it holds halves of characters (surrogates)"
            raise CorpusError(f"{source.shown}: in {decoder.encoding} {half}") from None
    text.wrong, text.encoding = decoder.wrong, decoder.encoding


def _of_text(text: str) -> Numbers:
    """The code points of a text; raises UnicodeEncodeError at half of a character (a surrogate)."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))


def _told(chunks: Iterable[bytes], contents: opening.Contents, done: Done) -> Iterator[bytes]:
    for raw in chunks:
        yield raw
        done(contents.size)


def _raw(chunks: Iterable[bytes], text: Text) -> Iterator[Numbers]:
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
