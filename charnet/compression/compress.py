"""Compresses texts and restores them, block by block: memory does not grow with the text.

Shape legend: B streams, A characters in the model's alphabet, S symbols of a block and the one that never comes, N
symbols of a block.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from charnet.compression import rans
from charnet.compression.container import FINGERPRINT, CodedBlock, Header, Parser, Writer
from charnet.compression.counts import Int64s, Shares, starts
from charnet.compression.layout import Layout
from charnet.compression.network import Predictor, Reader
from charnet.compression.rans import CodeError, Words
from charnet.compression.symbols import Block, Symbols, blocks
from charnet.errors import ConfigError, CorpusError, short_repr
from charnet.storage.checkpoint import Checkpoint

Read = Callable[[int], bytes]
Report = Callable[[int], object]  # takes the bytes of the text that are done


@dataclass
class Totals:
    """What was compressed so far.

    Attributes:
        entropy: bits that the predictions called for.
    """

    text_bytes: int = 0
    characters: int = 0
    compressed_bytes: int = 0
    entropy: float = 0.0


class Coder(Protocol):
    """Turns the symbols of one block after the other into words of code and back."""

    def encode(self, ids_N: Int64s, shares: Shares, reader: Reader) -> tuple[Words, float]:
        """Returns the words, and the bits that the predictions call for."""
        ...

    def decode(self, words: Words, length: int, shares: Shares, reader: Reader) -> Int64s:
        """Returns the symbols (N).

        Raises:
            CodeError: the words stand for no such block.
        """
        ...


class PlainCoder:
    """Codes each symbol by what the model predicts, and nothing else."""

    def encode(self, ids_N: Int64s, shares: Shares, reader: Reader) -> tuple[Words, float]:
        layout = Layout(len(ids_N))
        starts_N, counts_N, bits = np.empty(len(ids_N), np.int64), np.empty(len(ids_N), np.int64), 0.0
        for at, ids_B in layout.steps(ids_N):
            (weights_BA,) = reader.weights()
            counts_BS = shares.counts(weights_BA)
            place = np.arange(len(ids_B)), ids_B
            starts_N[at : at + len(ids_B)] = starts(counts_BS)[place]
            counts_N[at : at + len(ids_B)] = counts_BS[place]
            bits += shares.bits(weights_BA, ids_B)
            reader.read(layout.padded(ids_B))
        return rans.encode(starts_N, counts_N), bits

    def decode(self, words: Words, length: int, shares: Shares, reader: Reader) -> Int64s:
        layout, decoder, pieces = Layout(length), rans.Decoder(words), []
        for size in layout.sizes():
            (weights_BA,) = reader.weights()
            starts_BS = starts(shares.counts(weights_BA))
            ids_B = np.array([decoder.decode(starts_BS[row]) for row in range(size)], np.int64)
            if ids_B.max() >= shares.size - 1:
                raise CodeError
            reader.read(layout.padded(ids_B))
            pieces.append(ids_B)
        decoder.finish()
        return layout.join(np.concatenate(pieces))


class Compressor:
    """Compresses and decompresses with one model.

    Args:
        checkpoint: fp32 weights are quantized to 8 bits first.
        adaptive: learn from the text too, while it is compressed.
    """

    def __init__(self, checkpoint: Checkpoint, *, adaptive: bool = False) -> None:
        self.adaptive = adaptive
        self.predictor = Predictor(checkpoint, separate=adaptive)
        self.name = str(checkpoint.path or "this model")
        self.fingerprint = self.predictor.fingerprint()[:FINGERPRINT]

    def _coder(self) -> Coder:
        if not self.adaptive:
            return PlainCoder()
        from charnet.compression.adaptive import AdaptiveCoder  # imported here: it loads numba

        return AdaptiveCoder(self.predictor)

    def compress(self, read: Read, totals: Totals | None = None, report: Report = lambda _: None) -> Iterator[bytes]:
        """Yields a compressed text part by part.

        Args:
            read: returns at most so many bytes of the text, none at its end.
            totals: is kept up to date.
        """
        totals = totals or Totals()
        writer, symbols, coder = Writer(), Symbols(self.predictor.vocab), self._coder()
        yield self._counted(writer.header(Header(self.fingerprint, self.adaptive)), totals)
        for raw in blocks(read):
            block, new = symbols.encode(raw)
            alphabet, length = len(symbols.vocab), len(block.ids)
            counts = np.bincount(block.ids, minlength=alphabet + len(symbols.beyond))[alphabet:]
            shares = Shares(alphabet, counts, length)
            words, bits = coder.encode(block.ids, shares, self._reader(length, symbols))
            read_as = [each + 1 for each in symbols.read_as[len(symbols.read_as) - len(new) :]]
            totals.text_bytes += len(raw)
            totals.characters += length
            totals.entropy += bits
            coded = CodedBlock(length, block.decoding, new, read_as, counts.tolist(), words, zlib.crc32(raw))
            yield self._counted(writer.block(coded), totals)
            report(totals.text_bytes)
        yield self._counted(writer.block(None), totals)

    def blocks(self, parser: Parser, header: Header, report: Report = lambda _: None) -> Iterator[bytes]:
        """Yields a text part by part. Each part is as it was, as far as its checksum can tell.

        Args:
            parser: has read the header.

        Raises:
            CompressedFileError: the file is damaged, or was made with another model.
        """
        if header.fingerprint != self.fingerprint:
            parser.refuse_model(header.fingerprint, self.fingerprint, self.name)
        symbols, done = Symbols(self.predictor.vocab), 0
        coder: Coder | None = None  # made when a block is whole: it may need much memory
        for coded in parser.blocks(lambda: len(symbols.beyond)):
            coder = coder or self._coder()
            try:
                symbols.add(coded.new, [each - 1 for each in coded.read_as])
                shares = Shares(len(symbols.vocab), np.array(coded.counts, np.int64), coded.length)
                ids = coder.decode(coded.words, coded.length, shares, self._reader(coded.length, symbols))
                raw = symbols.decode(Block(ids, coded.decoding))
            except ValueError:
                parser.refuse("is damaged")
            if zlib.crc32(raw) != coded.crc:
                parser.refuse("is damaged: the text has another checksum")
            done += len(raw)
            yield raw
            report(done)

    def _reader(self, length: int, symbols: Symbols) -> Reader:
        return Reader(self.predictor, Layout(length).batch, length, symbols.read_as)

    def _counted(self, part: bytes, totals: Totals) -> bytes:
        totals.compressed_bytes += len(part)
        return part


def decompress(checkpoint: Checkpoint, read: Read, name: str = "the data") -> Iterator[bytes]:
    """Yields a text part by part.

    Args:
        read: returns so many bytes of the compressed text, or fewer at its end.
        name: of the file, for messages.

    Raises:
        CompressedFileError: it is damaged, not one of charnet's, or was made with another model.
    """
    header = (parser := Parser(read, name)).header()
    yield from Compressor(checkpoint, adaptive=header.adaptive).blocks(parser, header)


def as_bytes(text: str | bytes) -> bytes:
    """Returns a text in UTF-8; bytes stay as they are.

    Raises:
        CorpusError: the text has half of a character, or is neither a text nor bytes.
    """
    if isinstance(text, bytes | bytearray | memoryview):
        return bytes(text)
    if not isinstance(text, str):
        raise CorpusError(f"text: expected a text or bytes, found {short_repr(text)}")
    if half := re.search("[\ud800-\udc7f\udd00-\udfff]", text):
        raise CorpusError(f"the text has half of a character, U+{ord(half[0]):04X}: give bytes, or leave it out")
    return text.encode("utf-8", "surrogateescape")


def checked_data(data: bytes) -> bytes:
    """Returns compressed data that a caller has given. Raises ConfigError if it is not bytes."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ConfigError(f"data: expected bytes, found {short_repr(data)}")
    return data
