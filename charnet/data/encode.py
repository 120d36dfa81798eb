"""Encodes a text: counts its symbols while they are written to a file, then replaces each symbol by its id.

An id is a rank in the sorted alphabet, which is known only at the end of the text. The text itself is read once, and
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
from charnet.data import fields, gutenberg, readers, tables
from charnet.data.decoding import ANY_BYTES, ByteDecoder
from charnet.data.encoded_copy import Ids
from charnet.data.normalize import count_changed
from charnet.data.refusals import Refusal, SourceInfo, texts_only
from charnet.data.segment import segment
from charnet.data.sources import Source
from charnet.data.vocab import Vocabulary, id_dtype
from charnet.errors import CorpusError

MAX_SEGMENT = 1 << 20  # symbols, when short segments are joined
SEGMENTS_AT_ONCE = 16

Symbols = npt.NDArray[np.unsignedinteger[Any]]  # code points or bytes
OnProgress = Callable[[int], object]  # called with the bytes that are read
NewFile = Callable[[], Path]


@dataclass
class SymbolCounts:
    """The symbols of a part of the text.

    `counts` has one number for each symbol. `segments` tells how the symbols lie in their file, one segment behind the
    other: bytes per symbol, and number of symbols. `sources` has one entry for each source that was read.
    """

    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    segments: list[tuple[int, int]] = field(default_factory=list)
    sources: list[SourceInfo] = field(default_factory=list)

    @property
    def length(self) -> int:
        """The number of symbols."""
        return sum(length for _, length in self.segments)

    def add(self, symbols: Symbols) -> None:
        """Counts symbols that are appended to the file."""
        self.add_counts(_count_each(symbols))
        width, length = symbols.itemsize, len(symbols)
        if self.segments and self.segments[-1][0] == width and self.segments[-1][1] + length <= MAX_SEGMENT:
            length += self.segments.pop()[1]
        self.segments.append((width, length))

    def add_counts(self, counts: npt.NDArray[np.int64]) -> None:
        """Adds counts from elsewhere."""
        if len(counts) > len(self.counts):
            self.counts = np.pad(self.counts, (0, len(counts) - len(self.counts)))
        self.counts[: len(counts)] += counts


def _count_each(symbols: Symbols) -> npt.NDArray[np.int64]:
    """Counts each symbol. Bytes are counted two at a time, which is twice as fast."""
    if symbols.dtype != np.uint8 or len(symbols) < 1 << 16:
        return np.bincount(symbols)
    even = len(symbols) & ~1
    pairs = np.bincount(symbols[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    counts: npt.NDArray[np.int64] = pairs.sum(0) + pairs.sum(1) + np.bincount(symbols[even:], minlength=256)
    return counts


def count(
    sources: Sequence[Source],
    separators: Sequence[str],
    data: DataSettings,
    path: Path,
    part: SymbolCounts,
    on_progress: OnProgress,
) -> None:
    """Counts the symbols of some sources and appends them to a file.

    Args:
        path: the file; part: gets the counts. The other arguments and the errors are those of `symbols_of`.
    """
    with path.open("ab") as file:
        for symbols in symbols_of(sources, separators, data, part.sources, on_progress):
            part.add(symbols)
            file.write(symbols.data)


def write_ids(vocab: Vocabulary, parts: Sequence[SymbolCounts], paths: Sequence[Path], new_file: NewFile) -> Path:
    """Writes the ids of all symbols to one file, on all cores. The files of symbols shrink meanwhile.

    If ids are as wide as all symbols of the first file, they replace these in place: to overwrite pages that exist
    takes half the time.

    Args:
        paths: the file of symbols of each part.

    Returns:
        The path of the ids.
    """
    ids_of, width, position = _id_function(vocab), id_dtype(len(vocab)).itemsize, 0
    in_place = all(symbol_width == width for symbol_width, _ in parts[0].segments)
    to = paths[0] if in_place else new_file()

    def write(segment: _Segment) -> None:
        with segment.path.open("rb", buffering=0) as file:
            file.seek(segment.offset)
            symbols = np.frombuffer(file.read(segment.width * segment.length), np.dtype(f"<u{segment.width}"))
        with to.open("r+b") as file:
            file.seek(segment.position * width)
            file.write(ids_of(symbols).data)

    with ThreadPoolExecutor(machine.processor_cores()) as pool:
        for part, path in zip(parts, paths, strict=True):
            segments = list(_segments(part, path, position))
            for end in range(len(segments), 0, -SEGMENTS_AT_ONCE):
                group = segments[max(0, end - SEGMENTS_AT_ONCE) : end]
                for _ in pool.map(write, group):
                    pass
                if path != to:
                    os.truncate(path, group[0].offset)
            position += part.length
    return to


class _Segment(NamedTuple):
    """Symbols in a file: their offset there, bytes per symbol, their number, the position of the first in the text."""

    path: Path
    offset: int
    width: int
    length: int
    position: int


def _segments(part: SymbolCounts, path: Path, position: int) -> Iterator[_Segment]:
    offset = 0
    for width, length in part.segments:
        yield _Segment(path, offset, width, length, position)
        offset, position = offset + width * length, position + length


def _id_function(vocab: Vocabulary) -> Callable[[Symbols], Ids]:
    """Returns a function from symbols to their ids. It looks bytes up two at a time, which is twice as fast."""
    id_of = vocab.id_of.astype(id_dtype(len(vocab)))
    id_of_byte = id_of.take(np.arange(1 << 8), mode="clip").astype(np.uint8)  # used where ids are bytes
    ids_of_pair = id_of_byte[np.arange(1 << 16, dtype=np.uint16).view(np.uint8)].view(np.uint16)

    def ids_of(symbols: Symbols) -> Ids:
        if id_of.itemsize > 1 or symbols.itemsize > 1:
            return id_of.take(symbols, mode="clip")
        even = len(symbols) & ~1
        pairs = ids_of_pair.take(symbols[:even].view(np.uint16)).view(np.uint8)
        return pairs if even == len(symbols) else np.append(pairs, id_of_byte[symbols[even:]])

    return ids_of


def symbols_of(
    sources: Sequence[Source],
    separators: Sequence[str],
    data: DataSettings,
    infos: list[SourceInfo],
    on_progress: OnProgress,
) -> Iterator[Symbols]:
    """Yields the symbols of all sources, bytes or code points, in arrays that are not empty.

    Args:
        separators: a text to append to each source.
        infos: gets an entry for each source, which is complete once the source was read.
        on_progress: called now and then with the bytes that are read.

    Raises:
        CorpusError: a separator is no whole text. A source that cannot be read is noted in its info, so that all such
            are known at the end: invalid bytes, surrogates, no text, a file that is damaged or that changes.
        StorageError: the system refused to read.
    """
    read, is_whole = 0, True

    def report(read_of_source: int) -> None:
        on_progress(read + read_of_source)

    for source, separator in zip(sources, separators, strict=True):
        info = SourceInfo(source.name)
        infos.append(info)
        try:
            for symbols in _source_symbols(source, data, info, report):
                info.length += len(symbols)
                if is_whole:
                    yield symbols
        except CorpusError as error:
            info.refusal, is_whole = Refusal.of(error), False
        if separator and is_whole:
            yield (symbols := _separator_symbols(separator, data))
            info.length += len(symbols)
        read += info.digest.size


def _source_symbols(source: Source, data: DataSettings, info: SourceInfo, report: OnProgress) -> Iterator[Symbols]:
    """Yields the symbols of one source, and completes `info`."""
    chunks = _report_chunks(readers.chunks(source, info.digest), info.digest, report)
    if data.bytes:
        yield from _bytes(chunks, source.name, data, info)
        return
    chunks = texts_only(chunks, source, info)
    decoder = ByteDecoder(source.name, data.encoding, data.encoding_errors)
    texts = gutenberg.strip(decoder.decode(chunks), info.gutenberg, take_off=bool(data.strip))
    if data.normalize == "nfkc":
        texts = count_changed(texts, info.changed)
    if data.field:
        texts = fields.documents(texts, source.name, data, info.left_out)
    else:
        texts = tables.watched(texts, source.name, info.tables)
    for text in segment(texts, data, info.left_out, source.name):
        try:
            if text:
                yield _code_points(text)
        except UnicodeEncodeError:
            raise CorpusError(
                f"{source.name}: in {decoder.encoding} it holds halves of characters (surrogates); "
                f"name another encoding with --encoding; {ANY_BYTES}"
            ) from None
    info.num_errors, info.encoding = decoder.num_errors, decoder.encoding
    info.is_ascii, info.is_really = decoder.is_ascii, decoder.is_really


def _separator_symbols(text: str, data: DataSettings) -> Symbols:
    """Returns a separator as symbols. A surrogate from the shell stands for a byte, which only a text of bytes has."""
    try:
        return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8) if data.bytes else _code_points(text)
    except UnicodeEncodeError:
        raise CorpusError(f"--document-separator: expected whole characters, found {text[:40]!a}") from None


def _code_points(text: str) -> Symbols:
    """Returns the code points of a text in the narrowest type.

    Raises:
        UnicodeEncodeError: it holds half of a character (a surrogate).
    """
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    raw = text.encode("utf-16-le")
    if len(raw) == 2 * len(text):
        return np.frombuffer(raw, np.dtype("<u2"))
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))


def _report_chunks(chunks: Iterable[bytes], digest: readers.FileDigest, report: OnProgress) -> Iterator[bytes]:
    for raw in chunks:
        yield raw
        report(digest.size)


def _bytes(chunks: Iterable[bytes], name: str, data: DataSettings, info: SourceInfo) -> Iterator[Symbols]:
    """Yields the bytes as they are, or as documents, and notes whether they are UTF-8."""
    decoded = (raw.decode("latin-1") for raw in _note_utf8(chunks, info))
    texts = gutenberg.strip(decoded, info.gutenberg, take_off=bool(data.strip))
    for text in segment(texts, data, info.left_out, name) if data.document_end else texts:
        if text:
            yield np.frombuffer(text.encode("latin-1"), np.uint8)


def _note_utf8(chunks: Iterable[bytes], info: SourceInfo) -> Iterator[bytes]:
    decoder, info.is_utf8 = codecs.getincrementaldecoder("utf-8")(), True
    for raw in chunks:
        yield raw
        try:
            if info.is_utf8:
                decoder.decode(raw, final=not raw)
        except UnicodeDecodeError:
            info.is_utf8 = False
